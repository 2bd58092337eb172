"""Runs several workers until a signal asks to stop: this process is their parent.

The first SIGTERM or SIGINT has all of them stop in order, as a host of one process does; exit 0. A second one ends
them at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import structlog

from navi_core.cli.run_host import cancelled, write_addresses
from navi_core.config.records import HostConfig
from navi_core.errors import NaviError
from navi_core.event_loops import loop_factory
from navi_core.logs import LogFormat
from navi_core.plugins.registry import Registry
from navi_core.start_collection import collect_as_usual
from navi_core.workers.supervisor import Supervisor

__all__ = ["run_workers"]

log = structlog.get_logger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run_workers(
    config: HostConfig,
    registry: Registry,
    *,
    address_file: Path | None = None,
    beside: Callable[[Supervisor], Coroutine[Any, Any, None]] | None = None,
    log_level: str = "info",
    log_format: LogFormat = "auto",
) -> None:
    """Start the workers, serve until a signal asks to stop, and stop in order.

    For the main thread of a process that does nothing else.

    Parameters
    ----------
    config
        What to serve and how; ``workers`` says how many processes do.
    registry
        Installed plugins.
    address_file
        Where to write the addresses, once all workers listen.
    beside
        What else runs meanwhile; it is cancelled at the stop.
    log_level, log_format
        As this process logs.

    Raises
    ------
    NaviError, OSError
        The workers could not start; nothing is left open.
    """
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(config, registry, address_file, beside, log_level, log_format))
    finally:
        if address_file is not None:
            address_file.unlink(missing_ok=True)


async def _serve(
    config: HostConfig,
    registry: Registry,
    address_file: Path | None,
    beside: Callable[[Supervisor], Coroutine[Any, Any, None]] | None,
    log_level: str,
    log_format: LogFormat,
) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    supervisor = Supervisor(config, registry, log_level=log_level, log_format=log_format)

    def stop(number: signal.Signals) -> None:
        if told_to_stop.is_set():
            log.warning("stopped_at_once", signal=number.name)
            supervisor.kill()
            os._exit(128 + number)
        log.info("stopping", signal=number.name, drain_timeout_s=config.drain_timeout_s)
        told_to_stop.set()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    waiting = loop.create_task(told_to_stop.wait())
    starting = loop.create_task(supervisor.start())
    tasks: list[asyncio.Task[None]] = []
    try:
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            await cancelled(starting)
            return
        await starting
        if address_file is not None:
            write_addresses(address_file, supervisor.addresses)
        log.info(
            "serving",
            pid=os.getpid(),
            workers=supervisor.size,
            models=[model.model_name for model in config.models],
        )
        tasks.append(loop.create_task(_note_readiness(supervisor)))
        if beside is not None:
            tasks.append(loop.create_task(beside(supervisor)))
        await waiting
    finally:
        await cancelled(waiting)
        for task in tasks:
            await cancelled(task)
        await supervisor.stop()
    log.info("stopped")


async def _note_readiness(supervisor: Supervisor) -> None:
    try:
        await supervisor.wait_ready()
    except NaviError as error:
        log.error("not_ready", error=error.message)  # noqa: TRY400 - the text says it all, a traceback adds nothing
    else:
        log.info("ready")
    finally:
        collect_as_usual()
