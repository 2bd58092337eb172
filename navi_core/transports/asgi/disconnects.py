"""DisconnectWatch: looks for clients that have gone, for all calls of one application with one timer.

A call that ends before the second look costs an entry in a set, not a timer of its own.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

__all__ = ["DisconnectWatch", "Watched"]


class Watched(Protocol):
    """What begins to look by itself when it is told to."""

    def begin_to_look(self) -> None:
        """Look for a disconnect from now on."""


class DisconnectWatch:
    """Starts to watch what has run for one to two intervals. One event loop only.

    Parameters
    ----------
    interval_s
        Seconds between looks.
    """

    __slots__ = ("_fresh", "_ripe", "_timer", "interval_s")

    def __init__(self, interval_s: float) -> None:
        self.interval_s: Final = interval_s
        self._fresh: set[Watched] = set()
        self._ripe: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watched: Watched) -> None:
        """Have it begin to look unless it is discarded before."""
        self._fresh.add(watched)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.interval_s, self._look)

    def discard(self, watched: Watched) -> None:
        """Forget it. Idempotent."""
        self._fresh.discard(watched)
        self._ripe.discard(watched)

    def _look(self) -> None:
        due, self._ripe, self._fresh = self._ripe, self._fresh, set()
        self._timer = None
        if self._ripe:
            self._timer = asyncio.get_running_loop().call_later(self.interval_s, self._look)
        for watched in due:
            watched.begin_to_look()
