"""Threads that run batches: a hand-over is one queue's put, with no future to make and to settle.

The threads are borrowed from a :class:`~concurrent.futures.ThreadPoolExecutor`, whose rules for the end of the process
they keep: one that has had nothing to do for a while goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Final, TypeAlias

import structlog

__all__ = ["RunThreads"]

log = structlog.get_logger(__name__)

_LINGER_S: Final = 0.2
"""How long an idle thread waits for more; a process that ends without a shutdown waits no longer for it."""

_Work: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]


class RunThreads:
    """At most ``max_threads`` threads that call what they are given, first come, first served. Thread-safe.

    Parameters
    ----------
    max_threads
        How many calls run at once.
    name
        What the threads' names begin with.
    """

    def __init__(self, max_threads: int, *, name: str = "navi-run") -> None:
        self._executor: Final = ThreadPoolExecutor(max_threads, thread_name_prefix=name)
        self._max_threads: Final = max_threads
        self._work: Final[SimpleQueue[_Work | None]] = SimpleQueue()
        self._lock: Final = Lock()
        self._num_threads = 0
        self._num_free = (
            0  # threads that wait, less the calls that do: below zero no thread is there for the next
        )
        self._is_shut = False

    def start(self, call: Callable[..., object], *args: Any) -> None:
        """Have a thread call ``call(*args)``; what it returns is dropped, what it raises is logged.

        Raises
        ------
        RuntimeError
            :meth:`shutdown` was called, or the interpreter is ending.
        """
        with self._lock:
            if self._is_shut:
                msg = "the threads were shut down"
                raise RuntimeError(msg)
            if self._num_free <= 0 and self._num_threads < self._max_threads:
                self._executor.submit(self._serve)
                self._num_threads += 1
                self._num_free += 1
            self._num_free -= 1
            self._work.put((call, args))

    def shutdown(self) -> None:
        """Take no more, and drop what no thread has begun. Does not wait. Idempotent."""
        with self._lock:
            if not self._is_shut:
                self._is_shut = True
                while not self._work.empty():
                    self._work.get_nowait()
                for _ in range(self._num_threads):
                    self._work.put(None)
        self._executor.shutdown(wait=False)

    def _serve(self) -> None:
        work = self._work
        while True:
            try:
                item = work.get(timeout=_LINGER_S)
            except Empty:
                with self._lock:
                    if self._num_free > 0 or self._is_shut:  # nobody counts on this thread
                        self._num_free -= 1
                        self._num_threads -= 1
                        return
                continue
            if item is None:
                return
            call, args = item
            try:
                call(*args)
            except BaseException:  # a thread that ended would be missed by those who count on it
                log.exception("run_thread_call_failed")
            del item, call, args  # nothing of a finished batch is kept while this thread waits
            with self._lock:
                self._num_free += 1
