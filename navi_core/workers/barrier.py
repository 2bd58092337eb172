"""The admission barrier of one worker: while it is up, new requests wait at the door; none is refused for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from navi_core.types import Bytes

__all__ = ["Barrier"]

log = structlog.get_logger(__name__)

_SAFETY_S: Final = 2.0
"""The parent lowers the barrier; should it be stopped itself, requests go on after this time."""

_READ_S: Final = 0.05
"""Where this process itself stood still, what the parent said meanwhile is read within this time, and comes first."""


class Barrier:
    """Holds requests back for moments. On one loop.

    Parameters
    ----------
    now
        The monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now: Final = now
        self._lowered: asyncio.Event | None = None
        self._since = 0.0
        self._safety: asyncio.TimerHandle | None = None

    @property
    def is_up(self) -> bool:
        """Whether requests wait."""
        return self._lowered is not None

    def raise_(self) -> None:
        """Have new requests wait from now on."""
        if self._lowered is None:
            self._lowered = asyncio.Event()
            self._since = self._now()
            self._safety = asyncio.get_running_loop().call_later(_SAFETY_S, self._give_up)

    def lower(self) -> float:
        """Let requests flow; returns for how many seconds they were held, 0 if they were not."""
        if self._lowered is None:
            return 0.0
        if self._safety is not None:
            self._safety.cancel()
        self._lowered.set()
        self._lowered = self._safety = None
        return self._now() - self._since

    async def passed(self) -> None:
        """Wait until the barrier is down."""
        while self._lowered is not None:
            await self._lowered.wait()

    async def each(self, messages: AsyncIterator[Bytes]) -> AsyncIterator[Bytes]:
        """Yield a stream's messages; those that come while the barrier is up, when it is down."""
        async for message in messages:
            if self._lowered is not None:
                await self.passed()
            yield message

    def _give_up(self) -> None:
        self._safety = asyncio.get_running_loop().call_later(_READ_S, self._forgotten)

    def _forgotten(self) -> None:
        log.error("barrier_forgotten", seconds=_SAFETY_S)
        self.lower()
