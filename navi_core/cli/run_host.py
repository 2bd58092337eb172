"""Runs a host until it is told to stop: loop, signals, address file.

The first SIGTERM or SIGINT stops it in order: not ready, nothing new is taken, what was taken is finished
within the drain timeout; exit 0. A second one ends the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from navi_core.errors import ConfigError, NaviError
from navi_core.event_loops import loop_factory
from navi_core.start_collection import collect_as_usual

if TYPE_CHECKING:
    from navi_core.contracts.transport import Address
    from navi_core.host import Host

__all__ = ["address_table", "cancelled", "run_host", "write_addresses"]

log = structlog.get_logger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_UNLOAD_TIMEOUT_S: Final = 15.0
"""How long versions may take to unload, after the drain timeout."""

_END_TIMEOUT_S: Final = 1.0
"""How long the process may take to end once the host has stopped: a run that never returns holds a thread."""


def run_host(
    host: Host,
    *,
    address_file: Path | None = None,
    beside: Callable[[Host], Coroutine[Any, Any, None]] | None = None,
    until: Callable[[], Coroutine[Any, Any, None]] | None = None,
    is_worker: bool = False,
) -> None:
    """Start a host, serve until a signal asks to stop, and stop in order.

    For the main thread of a process that does nothing else: it handles SIGTERM and SIGINT, and ends the
    process itself where a thread that never returns would keep it.

    Parameters
    ----------
    host
        Not started.
    address_file
        Where to write the addresses, once they are listened on.
    beside
        What else runs while the host does; it is cancelled when that stops.
    until
        Returns when the host should stop without any signal; None: never.
    is_worker
        A parent passes signals on, and ends this process where it must end at once: a second signal changes nothing.
        Whoever signals a whole group (systemd's control groups) reaches a worker twice.

    Raises
    ------
    NaviError, OSError
        The host could not start; nothing is left open.
    """
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(host, address_file, beside, until, is_worker=is_worker))
    finally:
        if address_file is not None:
            address_file.unlink(missing_ok=True)


async def _serve(
    host: Host,
    address_file: Path | None,
    beside: Callable[[Host], Coroutine[Any, Any, None]] | None,
    until: Callable[[], Coroutine[Any, Any, None]] | None,
    *,
    is_worker: bool,
) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        if told_to_stop.is_set():
            if is_worker:
                return
            log.warning("stopped_at_once", signal=number.name)
            _exit_now(128 + number)
        log.info("stopping", signal=number.name, drain_timeout_s=host.config.drain_timeout_s)
        told_to_stop.set()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    waiting = loop.create_task(told_to_stop.wait())
    ends = None if until is None else loop.create_task(_set_after(until, told_to_stop))
    try:
        if not await _first(loop.create_task(host.start()), waiting):
            return
        if address_file is not None:
            write_addresses(address_file, host.addresses)
        log.info("serving", pid=os.getpid(), models=[model.model_name for model in host.config.models])
        tasks = [loop.create_task(_note_readiness(host))]
        if beside is not None:
            tasks.append(loop.create_task(beside(host)))
        await waiting
        for task in tasks:
            await cancelled(task)
    finally:
        await cancelled(waiting)
        if ends is not None:
            await cancelled(ends)
        overdue = _end_process_in(host.config.drain_timeout_s + _UNLOAD_TIMEOUT_S, status=1)
        await host.stop()
        overdue.cancel()
        if address_file is not None:  # here, too: below, the process may be ended before it comes to that
            address_file.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing is served any more
    log.info("stopped")
    _end_process_in(_END_TIMEOUT_S, status=0)


async def _set_after(until: Callable[[], Coroutine[Any, Any, None]], event: asyncio.Event) -> None:
    await until()
    event.set()


async def _first(start: asyncio.Task[None], waiting: asyncio.Task[bool]) -> bool:
    """Wait for the start, unless a signal comes first; tell whether it is done."""
    await asyncio.wait({start, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        await cancelled(start)
        return False
    await start
    return True


async def _note_readiness(host: Host) -> None:
    """Log when every model can answer, or that one cannot: the others serve on and loads are retried."""
    try:
        await host.wait_ready()
    except NaviError as error:
        log.error("not_ready", error=error.message)  # noqa: TRY400 - the text says it all, a traceback adds nothing
    else:
        log.info("ready")
    finally:
        collect_as_usual()


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def address_table(addresses: Mapping[str, Sequence[Address]]) -> dict[str, list[dict[str, str | int]]]:
    """Return transport name -> addresses, as the address file has them."""
    return {
        name: [
            {"url": str(each), "scheme": each.scheme, "host": each.host, "port": each.port}
            for each in listened
        ]
        for name, listened in addresses.items()
    }


def write_addresses(path: Path, addresses: Mapping[str, Sequence[Address]]) -> None:
    """Write the addresses that are listened on, in one step, so that whoever waits for it never reads half of it.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    unfinished: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
        ) as file:
            unfinished = Path(file.name)
            json.dump({"pid": os.getpid(), "addresses": address_table(addresses)}, file)
        unfinished.replace(path)
    except OSError as error:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}", path="--address-file") from None


def _end_process_in(seconds: float, *, status: int) -> threading.Timer:
    """End the process after a while, whatever its threads do."""
    timer = threading.Timer(seconds, _give_up, (status,))
    timer.daemon = True
    timer.start()
    return timer


def _give_up(status: int) -> None:
    names = [thread.name for thread in threading.enumerate() if not thread.daemon]
    log.warning("threads_left_behind", threads=names)
    _exit_now(status)


def _exit_now(status: int) -> None:
    logging.shutdown()
    os._exit(status)
