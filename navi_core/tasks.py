"""Work on the event loop that nobody awaits: kept until it is done, and logged where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

__all__ = ["Tasks"]


class Tasks:
    """The tasks of one owner. On one event loop, which keeps no task alive by itself.

    Parameters
    ----------
    log, failure
        Where a task that fails is logged, and as which event.

    Attributes
    ----------
    running
        Those that are not done.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger, failure: str) -> None:
        self._log = log
        self._failure = failure
        self.running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work."""
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error(self._failure, exc_info=task.exception())
