"""SIGHUP: the configuration is read again, and its models are served as it says now.

The same signal says that the terminal is gone: whoever was started in it ends then, as on Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Final, Self

import structlog

from navi_core.config.records import HostConfig, ModelConfig
from navi_core.errors import NaviError
from navi_core.model_reload import other_settings

__all__ = ["Hangup", "ignore_hangup"]

log = structlog.get_logger(__name__)

_SIGNAL: Final = getattr(signal, "SIGHUP", None)
"""None: this system has none."""

_STANDARD_STREAMS: Final = (0, 1, 2)


class Hangup:
    """What SIGHUP does to a host; a context manager, for the main thread, entered before anything is read.

    Parameters
    ----------
    read
        Reads the configuration again; blocking.
    source
        What that is, for the log; empty: there is none, so there is nothing to read.
    """

    def __init__(self, read: Callable[[], HostConfig], source: str) -> None:
        self._read: Final = read
        self._source: Final = source
        self._is_due = False
        self._wake: Callable[[], object] | None = None
        self._terminals: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        self._terminals = tuple(filter(os.isatty, _STANDARD_STREAMS))
        if _SIGNAL is not None:
            self._before = signal.signal(_SIGNAL, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        if _SIGNAL is not None:
            signal.signal(_SIGNAL, self._before)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        """Take the signal, at any moment of the main thread."""
        if not all(map(os.isatty, self._terminals)):
            signal.raise_signal(signal.SIGTERM)
            return
        self._is_due = True
        if self._wake is not None:
            self._wake()

    async def follow(
        self,
        config: HostConfig,
        apply: Callable[[Sequence[ModelConfig], Sequence[ModelConfig]], Awaitable[bool]],
    ) -> None:
        """Read the configuration again whenever the signal comes; never returns.

        Parameters
        ----------
        config
            What it said when the host started.
        apply
            Serves its models, given those before and those now; tells whether it did.
        """
        loop, due = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(due.set)
        if self._is_due:
            due.set()
        try:
            while True:
                await due.wait()
                due.clear()
                self._is_due = False
                config = await self._reload(config, apply)
        finally:
            self._wake = None

    async def _reload(
        self,
        config: HostConfig,
        apply: Callable[[Sequence[ModelConfig], Sequence[ModelConfig]], Awaitable[bool]],
    ) -> HostConfig:
        """Return what holds now."""
        if not self._source:
            log.warning("signal_ignored", signal="SIGHUP", reason="no file of models was given to read again")
            return config
        log.info("config_read_again", file=self._source)
        try:
            found = await asyncio.to_thread(self._read)
        except NaviError as error:
            log.error("config_refused", file=self._source, error=error.message)  # noqa: TRY400 - the text says it all
            return config
        others = other_settings(config, found)
        if others:
            log.warning("config_needs_restart", file=self._source, settings=others)
        return found if await apply(config.models, found.models) else config


def ignore_hangup() -> None:
    """Have SIGHUP do nothing: in processes whose parent reads the configuration; whoever signals a group reaches them."""
    if _SIGNAL is not None:
        signal.signal(_SIGNAL, signal.SIG_IGN)
