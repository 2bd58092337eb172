"""The calls that a transport runs now, and how they end when the host stops."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any, Final

__all__ = ["DRAINING_TEXT", "Ending", "InFlight", "RunningCall"]

DRAINING_TEXT: Final = "draining"

_READ_GRACE_S: Final = 0.25
"""READ calls get so long to end by themselves once all other calls have ended."""

_INTERRUPT_GRACE_S: Final = 2.0
"""Interrupted handlers get so long to clean up."""


class Ending(StrEnum):
    """Why a handler was cancelled."""

    DRAINING = "draining"
    DEADLINE = "deadline"
    CLIENT_GONE = "client_gone"
    NOBODY = "nobody"  # the handler raised CancelledError by itself


class RunningCall:
    """One call whose handler runs.

    Attributes
    ----------
    is_read
        A READ operation: it does not hold a drain up (a health watch never ends by itself).
    """

    __slots__ = ("_reason", "_task", "is_read")

    def __init__(self, task: asyncio.Task[Any] | None, *, is_read: bool) -> None:
        self._task = task
        self._reason: Ending | None = None
        self.is_read = is_read

    def interrupt(self, reason: Ending) -> None:
        """Cancel the handler; whoever runs it answers for ``reason``, the first one given."""
        if self._task is not None and self._reason is None and not self._task.done():
            self._reason = reason
            self._task.cancel()

    def ending(self) -> Ending:
        """Tell why CancelledError came, where it was caught; an interruption of ours is then over."""
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            return Ending.NOBODY
        if self._reason is not None and task.uncancel() == 0:
            return self._reason
        return Ending.CLIENT_GONE  # the server's library cancelled the task

    def forget(self) -> None:
        """Interrupt nothing from now on."""
        self._task = None


class InFlight:
    """Every call of one transport between the router's yes and the written answer. One event loop only."""

    def __init__(self) -> None:
        self._calls: Final[set[RunningCall]] = set()
        self._num_working = 0
        self._waiters: Final[list[tuple[bool, asyncio.Future[None]]]] = []

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, *, is_read: bool) -> RunningCall:
        """Count a call; its handler runs in the current task."""
        call = RunningCall(asyncio.current_task(), is_read=is_read)
        self.add(call)
        return call

    def add(self, call: RunningCall) -> None:
        """Count a call that was made before, so that it could be interrupted while its message came."""
        self._calls.add(call)
        self._num_working += not call.is_read

    def end(self, call: RunningCall) -> None:
        """Count a call no longer, and have it forget its task. Idempotent."""
        call.forget()
        if call not in self._calls:
            return
        self._calls.remove(call)
        self._num_working -= not call.is_read
        for waits_for_reads, waiter in self._waiters:
            if not waiter.done() and self._is_idle(including_reads=waits_for_reads):
                waiter.set_result(None)

    def interrupt(self, *, only_reads: bool) -> None:
        """Cancel the handlers of READ calls, or of all; each is answered ``draining``."""
        for call in tuple(self._calls):
            if call.is_read or not only_reads:
                call.interrupt(Ending.DRAINING)

    async def wait_idle(self, timeout_s: float, *, including_reads: bool) -> bool:
        """Wait until no call runs, READ calls counted or not; False when the time was up before."""
        if self._is_idle(including_reads=including_reads):
            return True
        entry = (including_reads, asyncio.get_running_loop().create_future())
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                await entry[1]
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(entry)
        return True

    async def finish(self, timeout_s: float) -> bool:
        """Wait for the calls that work, then end those that only read; False when time was up."""
        if not await self.wait_idle(timeout_s, including_reads=False):
            return False
        if not await self.wait_idle(min(_READ_GRACE_S, timeout_s), including_reads=True):
            self.interrupt(only_reads=True)
            return await self.wait_idle(_INTERRUPT_GRACE_S, including_reads=True)
        return True

    async def abandon(self) -> None:
        """End every call now, with an answer where one can still be written."""
        self.interrupt(only_reads=False)
        await self.wait_idle(_INTERRUPT_GRACE_S, including_reads=True)

    def _is_idle(self, *, including_reads: bool) -> bool:
        return not self._calls if including_reads else self._num_working == 0
