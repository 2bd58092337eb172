"""Wakes an event loop when requests are due: loops' own timers are late by up to a millisecond."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["Pacer"]

_MAX_AT_ONCE: Final = 4096


class Pacer:
    """A thread that sleeps until requests are due and hands them to the loop.

    Parameters
    ----------
    due_ns
        When, by the monotonic clock, in rising order.
    on_due
        Takes those that are due, on the loop.
    on_end
        Called on the loop when there are no more.
    """

    def __init__(
        self,
        due_ns: Iterator[int],
        on_due: Callable[[list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        self._due_ns = due_ns
        self._on_due = on_due
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pacer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Hand out nothing any more; ``on_end`` is not called."""
        self._is_stopped.set()
        self._thread.join()

    def _run(self) -> None:
        batch: list[int] = []
        for due in self._due_ns:
            now = time.monotonic_ns()
            if due > now or len(batch) == _MAX_AT_ONCE:
                if batch:
                    self._loop.call_soon_threadsafe(self._on_due, batch)
                    batch = []
                # an event's wait would let a stop in, but it is less exact than a sleep
                while (left_ns := due - time.monotonic_ns()) > 0 and not self._is_stopped.is_set():
                    time.sleep(min(left_ns / 1e9, 0.1))
            if self._is_stopped.is_set():
                return
            batch.append(due)
        if batch:
            self._loop.call_soon_threadsafe(self._on_due, batch)
        self._loop.call_soon_threadsafe(self._on_end)
