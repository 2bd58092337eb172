"""How loads share the processor with what is served: at a lower priority, so that requests wait less for it.

A thread's priority is inherited by the threads that it starts, and cannot be raised again without a privilege: a pool
that a framework makes while it loads would keep the low one for good. So the first load of a model keeps its priority,
and is only marked by the scheduling policy for batch work, which is inherited just so, and which anybody may take back.
Marked threads that are there when it ends are its pool. Where there was none the next version loads at the lower
priority, and is marked too: as soon as a load leaves threads behind, the next one keeps its priority again.

Linux only: elsewhere priorities belong to processes. With any other policy than the usual one nothing is changed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

__all__ = ["LOADING_NICE", "LoadPriority"]

log = structlog.get_logger(__name__)

LOADING_NICE: Final = 5
"""What a load adds to its niceness: a third of the weight of a thread that serves.

More would help little, and a load in a process that is never idle would take much longer.
"""

_HIGHEST_NICE: Final = 19
_TASKS: Final = Path("/proc/self/task")


class LoadPriority:
    """Which models' loads leave no threads behind. Thread-safe; one for all loads of a process."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._loading: Final[dict[int, bool]] = {}  # thread -> it cannot be told whose the threads are
        self._leave_none: Final[set[str]] = set()

    @contextmanager
    def lowered(self, model: str) -> Iterator[None]:
        """Lower the calling thread's priority for a load, where that is known to concern no other thread.

        The thread may keep the low priority: it should end with the load.

        Parameters
        ----------
        model
            Whose version is loaded.
        """
        thread = threading.get_native_id()
        if not self._begin(thread, model):
            yield
            return
        try:
            yield
        finally:
            self._end(thread, model)

    def _begin(self, thread: int, model: str) -> bool:
        if sys.platform != "linux":
            return False
        with self._lock:
            try:
                if os.sched_getscheduler(thread) != os.SCHED_OTHER or not _TASKS.is_dir():
                    return False
                os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
            except OSError:  # a sandbox forbids it
                return False
            self._loading[thread] = False
            if model in self._leave_none:
                with suppress(OSError):
                    nice = os.getpriority(os.PRIO_PROCESS, thread)
                    os.setpriority(os.PRIO_PROCESS, thread, min(nice + LOADING_NICE, _HIGHEST_NICE))
        return True

    def _end(self, thread: int, model: str) -> None:
        with self._lock:
            cannot_tell = self._loading.pop(thread)
            started = [each for each in _marked_threads() if each != thread and each not in self._loading]
            for each in (thread, *started):
                with suppress(OSError):  # it has ended meanwhile
                    os.sched_setscheduler(each, os.SCHED_OTHER, os.sched_param(0))
            if started:  # loads that run beside may have started them just as well
                self._loading.update(dict.fromkeys(self._loading, True))
            if not started and not cannot_tell:
                self._leave_none.add(model)
            elif model in self._leave_none:
                self._leave_none.discard(model)
                log.info("load_left_threads", model=model, threads=len(started))


def _marked_threads() -> list[int]:
    """Return this process's threads of the policy for batch work."""
    found = []
    for entry in _TASKS.iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if os.sched_getscheduler(int(entry.name)) == os.SCHED_BATCH:
                found.append(int(entry.name))
    return found
