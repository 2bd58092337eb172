"""Time, as something that is handed in: policies take a ``now``, machinery takes a clock."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "MonotonicClock"]


class Clock(Protocol):
    """Seconds that never go back. The event loop's clock is the same one (``time.monotonic``)."""

    def now(self) -> float:
        """Return the current time in seconds."""
        ...


class MonotonicClock:
    """The process's monotonic clock."""

    def now(self) -> float:
        """Return the current time in seconds."""
        return time.monotonic()


class ManualClock:
    """A clock for tests: it moves only when told.

    Parameters
    ----------
    start
        The first reading, in seconds.
    """

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the current time in seconds."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move forward by ``seconds`` and return the new time."""
        if seconds < 0:
            msg = f"a monotonic clock cannot go back (advance by {seconds} s)"
            raise ValueError(msg)
        self._now += seconds
        return self._now
