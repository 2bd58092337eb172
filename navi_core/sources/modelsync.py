"""Navi's model sync: an external command that is run before each look at the model directories."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from navi_core.errors import ConfigError

__all__ = ["ModelSync"]

log = structlog.get_logger(__name__)

_CHUNK_BYTES: Final = 8192
_MAX_LINE: Final = 2000
_MAX_LINES: Final = 1000


class ModelSync:
    """Runs one command again and again.

    The contract is Navi's: the command is split at white space, and ``--model-spec NAME --cur-version
    VERSION`` is appended for every model in order, with an empty VERSION before the first load. What it
    writes is logged. When it fails, that is logged and nothing else happens. Beyond Navi: it may take
    ``timeout_s``, then it is ended together with everything it started.

    Parameters
    ----------
    command
        Program and first arguments.
    timeout_s
        How long one run may take.
    current_versions
        Gives (model name, text of its newest loaded version, or empty) in order of configuration.
    kill_after_s
        Time between SIGTERM and SIGKILL.

    Raises
    ------
    ConfigError
        The command is empty.
    """

    def __init__(
        self,
        command: str,
        *,
        timeout_s: float,
        current_versions: Callable[[], Sequence[tuple[str, str]]],
        kill_after_s: float = 2.0,
    ) -> None:
        self._command = command.split()
        if not self._command:
            raise ConfigError("expected a command, got nothing", path="modelsync_command")
        self._timeout_s = timeout_s
        self._current_versions = current_versions
        self._kill_after_s = kill_after_s
        self._turn = asyncio.Lock()

    def arguments(self) -> list[str]:
        """Return program and arguments of the next run."""
        arguments = list(self._command)
        for name, version in self._current_versions():
            arguments += ["--model-spec", name, "--cur-version", version]
        return arguments

    async def run(self) -> bool:
        """Run the command to its end; tells whether it succeeded. Raises nothing of its own.

        Never runs twice at once: a second caller waits for its turn.
        """
        async with self._turn:
            return await self._run()

    async def _run(self) -> bool:
        try:
            process = await asyncio.create_subprocess_exec(
                *self.arguments(), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            log.warning("modelsync_not_started", program=self._command[0], problem=str(error))
            return False
        output = [
            asyncio.create_task(_log_lines(stream, name))
            for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr"))
            if stream is not None
        ]
        has_ended = False
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.gather(process.wait(), *output)
            has_ended = True
        except TimeoutError:
            log.warning("modelsync_timed_out", program=self._command[0], timeout_s=self._timeout_s)
            return False
        finally:
            if not has_ended:  # out of time, or cancelled
                for task in output:
                    task.cancel()
                await asyncio.shield(self._kill(process))
        if process.returncode != 0:
            log.warning("modelsync_failed", program=self._command[0], exit_status=process.returncode)
            return False
        log.debug("modelsync_finished", program=self._command[0])
        return True

    async def _kill(self, process: Process) -> None:
        """End the command and all that it started."""
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._kill_after_s):
                await process.wait()
        _signal_group(process.pid, signal.SIGKILL)  # what outlived the command, or ignored the first signal
        await process.wait()
        # a child that left the group may hold the pipes for ever, and asyncio has no public way to let go of them
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - see above


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


async def _log_lines(stream: asyncio.StreamReader, name: str) -> None:
    """Log what comes, line by line; long lines are cut, and many lines are only counted."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending, num_lines = "", 0
    while chunk := await stream.read(_CHUNK_BYTES):
        *lines, pending = (pending + decoder.decode(chunk)).split("\n")
        pending = pending[:_MAX_LINE]
        for line in lines[: max(_MAX_LINES - num_lines, 0)]:
            log.info("modelsync_output", stream=name, line=line.rstrip("\r")[:_MAX_LINE])
        num_lines += len(lines)
    if pending and num_lines < _MAX_LINES:
        log.info("modelsync_output", stream=name, line=pending)
    if num_lines > _MAX_LINES:
        log.info("modelsync_output_cut", stream=name, num_lines=num_lines, shown=_MAX_LINES)
