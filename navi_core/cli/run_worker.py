"""One worker process: ``python -m navi_core.cli.run_worker``, started by the parent of several, never by hand."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import importlib
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from navi_core.cli.ending import end_process
from navi_core.cli.hangup import ignore_hangup
from navi_core.config.records import HostConfig
from navi_core.errors import ConfigError, NaviError, PluginNotFoundError
from navi_core.logs_without_rich import configure_logging
from navi_core.start_collection import collect_rarely
from navi_core.workers.seat import Seat, SeatOrders, seat_from_environment

if TYPE_CHECKING:
    from navi_core.plugins.registry import Registry

__all__ = ["main"]

_FAILED: Final = 1
_USAGE: Final = 2
_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """Serve as one worker until told to stop; return the exit status."""
    collect_rarely()
    seat = seat_from_environment()
    if seat is None:
        sys.stderr.write("'navi-host serve --workers N' starts this program: it is none to start by hand\n")
        return _USAGE
    _end_with_parent()
    ignore_hangup()
    orders = seat.orders
    if not orders.index:
        found = _assigned(orders)
        if found is None:
            return 0
        orders = found
        seat = Seat(orders)
    configure_logging(level=orders.log_level, log_format=orders.log_format, worker=orders.index)
    try:
        return _run(seat)
    except (NaviError, OSError) as error:
        fault = error if isinstance(error, NaviError) else NaviError(str(error))
        with suppress(NaviError):
            asyncio.run(_report(orders, fault))
        return _USAGE if isinstance(error, ConfigError | PluginNotFoundError) else _FAILED


def _config(orders: SeatOrders) -> HostConfig:
    return msgspec.json.decode(Path(orders.config).read_bytes(), type=HostConfig)


@functools.cache
def _registry() -> Registry:
    from navi_core.plugins.discovery import discover  # noqa: PLC0415 - logs are set up before
    from navi_core.plugins.registry import Registry  # noqa: PLC0415 - see above

    return Registry(discover())


def _assigned(orders: SeatOrders) -> SeatOrders | None:
    """Import what a worker needs, and wait to become one; None: nobody needs this process any more."""
    for module in ("navi_core.cli.run_host", "navi_core.host"):
        importlib.import_module(module)
    for name in _config(orders).transports:
        _registry().transport(name).prepare()
    line = sys.stdin.readline()
    if not line:
        return None
    assigned = msgspec.structs.replace(orders, index=int(line))
    os.environ.update(assigned.variables())
    return assigned


def _run(seat: Seat) -> int:
    from navi_core.cli.run_host import run_host  # noqa: PLC0415 - logs are set up before
    from navi_core.host import Host  # noqa: PLC0415 - see above

    config, registry = _config(seat.orders), _registry()
    foreign = [name for name in config.transports if registry.transport(name).hosting == "hosts_us"]
    if foreign:
        from navi_core.cli.run_hosted import run_hosted  # noqa: PLC0415 - only for such transports

        orders = seat.orders
        return run_hosted(
            registry.transport(foreign[0]),
            config,
            log_level=orders.log_level,
            log_format=orders.log_format,
            is_worker=True,
        )
    run_host(Host(config, registry=registry, seat=seat), until=seat.parent_gone, is_worker=True)
    return 0


async def _report(orders: SeatOrders, fault: NaviError) -> None:
    """Tell the parent why this worker cannot serve."""
    seat = Seat(orders)
    await seat.failed(fault)
    await asyncio.sleep(0.1)  # the loop writes it
    seat.leave()


def _end_with_parent() -> None:
    """Have the kernel ask this process to stop when the parent ends, however it does; on Linux."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended just before
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    end_process(main())
