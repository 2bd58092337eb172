"""The workers' processes: how one is started, kept ready, and ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from navi_core.cores import CORES_VARIABLE, core_count
from navi_core.logs import LogFormat
from navi_core.workers.restarts import Restarts
from navi_core.workers.seat import SeatOrders

__all__ = ["Process", "Processes", "end", "kill", "words_of"]

log = structlog.get_logger(__name__)

Process: TypeAlias = asyncio.subprocess.Process

WORKER_MODULE: Final = "navi_core.cli.run_worker"

_SPARE: Final = 0
"""The number of the process that waits to replace one: it gets that one's."""


class Processes:
    """Starts workers' processes, and has one ready. On one event loop.

    Parameters
    ----------
    folder
        Where the parent's socket and the workers' configuration are.
    size
        How many workers share the cores.
    log_level, log_format
        As the parent logs.
    """

    def __init__(self, folder: Path, size: int, *, log_level: str, log_format: LogFormat) -> None:
        self._folder: Final = folder
        self._size: Final = size
        self._log_level: Final = log_level
        self._log_format: Final[LogFormat] = log_format
        self._spare: Process | None = None
        self._is_spare_taken = asyncio.Event()

    @property
    def spare(self) -> Sequence[Process]:
        """The process that waits to become a worker, if there is one."""
        return () if self._spare is None else (self._spare,)

    async def spawn(self, index: int) -> Process:
        """Return the process that is to be worker ``index``: the spare one, or a new one; raises OSError."""
        spare = self._spare
        if spare is not None and spare.returncode is None and spare.stdin is not None:
            self._spare = None
            self._is_spare_taken.set()
            with suppress(OSError):
                spare.stdin.write(f"{index}\n".encode())
                await spare.stdin.drain()
                spare.stdin.close()
                return spare
            kill(spare)  # it has not heard which worker it is to be
        return await self._start(index)

    async def keep_spare(self) -> None:
        """Have a process ready to replace one: an interpreter that has imported everything, and nothing else.

        Most of a start is imports, which would take longer than the second within which a worker is to be replaced. As
        soon as one is taken the next is started; one that ends by itself is followed as a worker would be.
        """
        restarts, clock = Restarts(), asyncio.get_running_loop().time
        while True:
            began = clock()
            self._is_spare_taken.clear()
            try:
                self._spare = spare = await self._start(_SPARE)
            except OSError as error:
                log.error("spare_not_started", error=str(error))  # noqa: TRY400 - the text says it all
            else:
                if await self._is_taken_before_end(spare):
                    continue
                self._spare = None
                log.warning("spare_ended", pid=spare.pid, how=words_of(spare.returncode or 0))
            await asyncio.sleep(restarts.ended(clock() - began))

    async def _is_taken_before_end(self, spare: Process) -> bool:
        taken = asyncio.ensure_future(self._is_spare_taken.wait())
        ended = asyncio.ensure_future(spare.wait())
        try:
            await asyncio.wait({taken, ended}, return_when=asyncio.FIRST_COMPLETED)
            return taken.done()
        finally:
            taken.cancel()
            ended.cancel()

    async def _start(self, index: int) -> Process:
        orders = SeatOrders(
            socket=str(self._folder / "workers.sock"),
            index=index,
            config=str(self._folder / "host.json"),
            log_level=self._log_level,
            log_format=self._log_format,
        )
        share = max(1, core_count() // self._size)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            WORKER_MODULE,
            env={**os.environ, CORES_VARIABLE: str(share), **orders.variables()},
            stdin=asyncio.subprocess.PIPE if index == _SPARE else asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is the parent's to pass on
        )


async def end(process: Process, grace_s: float) -> None:
    """Ask a process to end, and make it after a while."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        log.warning("worker_killed", pid=process.pid, timeout_s=grace_s)
        kill(process)
        await process.wait()


def kill(process: Process) -> None:
    """End a process at once."""
    with suppress(ProcessLookupError):
        process.kill()


def words_of(status: int) -> str:
    """Return how a process ended, in words."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
