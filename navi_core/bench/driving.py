"""The loops of a worker: requests that follow each other, or requests that have a schedule."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from navi_core.bench.load import LoadPlan
from navi_core.bench.pacing import Pacer
from navi_core.bench.schedule import arrivals_s
from navi_core.bench.senders import CONNECTION, Sender
from navi_core.bench.tally import Tally

__all__ = ["WRONG", "Drive"]

WRONG: Final = "wrong answer"
"""The code of answers that came, and were wrong."""

_AFTER_CONNECTION_S: Final = 0.02
_STOP_WAIT_S: Final = 0.5
_PASSING: Final = frozenset({CONNECTION, "UNAVAILABLE"})


class Drive:
    """Carries out one worker's part of a plan, and counts.

    Parameters
    ----------
    sender
        Connected.
    plan
        This worker's own part: its lanes, its number of requests; the rate is that of all parts.
    check
        Says what is wrong with an answer, empty: nothing; None: answers are not looked at.
    part, num_parts
        Which part of the schedule is this worker's.
    """

    def __init__(
        self,
        sender: Sender,
        plan: LoadPlan,
        check: Callable[[bytes], str] | None,
        *,
        part: int = 0,
        num_parts: int = 1,
    ) -> None:
        self.tally = Tally()
        self.num_ended = 0
        self._sender = sender
        self._plan = plan
        self._check = check
        self._part = part
        self._num_parts = num_parts
        self._is_stopped = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._measure_ns = 0
        self._end_ns: int | None = None
        self._left = plan.num_requests
        self._error: BaseException | None = None

    def stop(self) -> None:
        """End early: nothing is sent any more, and what is in flight has half a second."""
        self._is_stopped = True
        asyncio.get_running_loop().call_later(_STOP_WAIT_S, self._cancel)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def run(self, begin_ns: int) -> Tally:
        """Carry out the plan from a time of the monotonic clock on."""
        plan = self._plan
        self._measure_ns = begin_ns + round(plan.warm_up_s * 1e9)
        if plan.duration_s is not None:
            self._end_ns = self._measure_ns + round(plan.duration_s * 1e9)
        await asyncio.sleep(max(begin_ns - time.monotonic_ns(), 0) / 1e9)
        if plan.rate_per_s is None:
            self._tasks = {asyncio.create_task(self._repeat(lane)) for lane in range(plan.concurrency)}
            await asyncio.wait(self._tasks)
            _raise_any(self._tasks)
        else:
            await self._follow_schedule(begin_ns, plan.rate_per_s)
        return self.tally

    # --- closed loop

    async def _repeat(self, lane: int) -> None:
        while not self._is_stopped:
            now = time.monotonic_ns()
            if self._end_ns is not None and now >= self._end_ns:
                return
            if now >= self._measure_ns and self._left is not None:
                if not self._left:
                    return
                self._left -= 1
            await self._one(lane, now)

    async def _one(self, lane: int, from_ns: int) -> None:
        code, content = await self._sender.send(lane)
        ended = time.monotonic_ns()
        self.num_ended += 1
        if from_ns >= self._measure_ns:
            at = ended - self._measure_ns
            wrong = self._check(content) if not code and self._check is not None else ""
            if code:
                self.tally.fail(at, code, content.decode("utf-8", "replace"))
            elif wrong:
                self.tally.fail(at, WRONG, wrong)
            else:
                self.tally.succeed(at, ended - from_ns)
        if code in _PASSING:  # a server that is gone refuses at once: do not ask it a million times a second
            await asyncio.sleep(_AFTER_CONNECTION_S)

    # --- open loop

    async def _follow_schedule(self, begin_ns: int, rate_per_s: float) -> None:
        free = deque(range(self._plan.concurrency))
        waiting: deque[int] = deque()
        has_ended = asyncio.Event()

        async def serve(lane: int, due: int) -> None:
            while True:
                await self._one(lane, due)
                if not waiting or self._is_over():
                    break
                due = waiting.popleft()
            free.append(lane)

        def on_due(batch: list[int]) -> None:
            now = time.monotonic_ns()
            if batch[-1] >= self._measure_ns:
                # what the warm-up could not send would be answered in the place of what counts
                while waiting and waiting[0] < self._measure_ns:
                    waiting.popleft()
            for due in batch:
                if due >= self._measure_ns:
                    self.tally.lateness.record(now - due)
                if not free:
                    waiting.append(due)
                    continue
                task = asyncio.create_task(serve(free.popleft(), due))
                self._tasks.add(task)
                task.add_done_callback(self._finish)

        pacer = Pacer(self._due_ns(begin_ns, rate_per_s), on_due, has_ended.set)
        pacer.start()
        try:
            while not has_ended.is_set() and not self._is_stopped:
                await _wait(has_ended, 0.1)
        finally:
            pacer.stop()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._error is not None:
            raise self._error
        self.tally.num_unsent = sum(due >= self._measure_ns for due in waiting)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            self._is_stopped = True

    def _is_over(self) -> bool:
        return self._is_stopped or (self._end_ns is not None and time.monotonic_ns() >= self._end_ns)

    def _due_ns(self, begin_ns: int, rate_per_s: float) -> Iterator[int]:
        offsets = arrivals_s(
            rate_per_s,
            self._plan.arrival,
            part=self._part,
            num_parts=self._num_parts,
            seed=self._plan.seed,
        )
        times = (begin_ns + round(offset * 1e9) for offset in offsets)
        if self._end_ns is not None:
            end_ns = self._end_ns
            return itertools.takewhile(lambda due: due < end_ns, times)
        return self._counted(times)

    def _counted(self, times: Iterator[int]) -> Iterator[int]:
        left = self._plan.num_requests or 0
        for due in times:
            if due >= self._measure_ns:
                if not left:
                    return
                left -= 1
            yield due


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _raise_any(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
