"""The driver of one servable's queue: hands batches to worker threads and answers to callers.

Everything here runs on the event loop except :meth:`Batcher._work`. Decisions are
:mod:`navi_core.batching.queue`'s, the work on a batch is :mod:`navi_core.batching.execution`'s.

A request's way: ``submit`` -> queue -> ``_pump`` takes a batch for a free slot -> a worker thread gathers, runs
and splits -> ``_finished`` answers the callers and pumps again. A caller whose deadline passes is answered
then, wherever its request is; one that goes away costs no run that has not begun.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import structlog

from navi_core.batching.buffers import BufferPool
from navi_core.batching.execution import BatchReport, Outcome, Steps, Task, batch_steps, run_blocking
from navi_core.batching.late import late
from navi_core.batching.prepared import Answer, Prepared
from navi_core.batching.queue import BatchQueue, CloseReason, DropReason, Entry, split_rows
from navi_core.errors import (
    DrainingError,
    InferenceError,
    NaviError,
    RequestCancelledError,
    StaleRequestError,
)
from navi_core.metrics.metrics import Metrics, SignatureMetrics, WorkSaved
from navi_core.models.served import LoadedVersion
from navi_core.types import NamedArrays

__all__ = ["Batcher"]

log = structlog.get_logger(__name__)

_SAVED: Final[dict[type[NaviError], WorkSaved]] = {
    RequestCancelledError: "cancelled",
    StaleRequestError: "stale",
}
"""Why a request was refused before its run -> what metrics call the work saved; else it was late."""


@dataclass(slots=True, eq=False)
class _Pending:
    """One queued request or part: what the loop keeps beside the task."""

    request: Prepared
    task: Task
    future: asyncio.Future[Answer]
    metrics: SignatureMetrics
    timer: asyncio.TimerHandle | None = None
    queue_seconds: float = 0.0


class Batcher:
    """Queue, slots and workers of one loaded version. Belongs to one event loop.

    Parameters
    ----------
    loaded
        The version.
    pool
        Buffers for batches.
    threads
        Where blocking servables run.
    metrics
        Where figures go.
    now
        The monotonic clock, in seconds.
    """

    def __init__(
        self,
        loaded: LoadedVersion,
        *,
        pool: BufferPool,
        threads: Executor,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loaded = loaded
        self._model = loaded.artifact.name
        self._version = loaded.artifact.version
        self._pool = pool
        self._threads = threads
        self._metrics = metrics
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._queue: BatchQueue[_Pending] = BatchQueue(loaded.policy, self._model)
        limit = loaded.servable.max_concurrent_runs
        self._slots = loaded.policy.max_concurrent_batches
        if limit is not None:
            self._slots = min(self._slots, limit)
        self._is_async = inspect.iscoroutinefunction(loaded.servable.run)
        self._running = 0
        self._wake: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.in_flight = 0

    @property
    def queue(self) -> BatchQueue[_Pending]:
        """The queue, for gauges."""
        return self._queue

    async def submit(self, request: Prepared) -> Answer:
        """Run one request; returns its answer.

        Raises
        ------
        QueueFullError
            The queue is at a limit.
        DeadlineExceededError
            The deadline passed, before or during the run; ``reason`` says where.
        StaleRequestError
            It waited longer than ``batch_drop_ms``.
        NaviError
            Whatever its run ended with.
        """
        if self._closed:
            raise DrainingError
        policy = self._loaded.policy
        if (
            policy.split_large_requests
            and request.plan is None
            and request.key is not None
            and request.num_rows > policy.max_batch_rows
        ):
            return await self._submit_parts(request, split_rows(request.num_rows, policy.max_batch_rows))
        return await self._submit_whole(request)

    async def _submit_parts(self, request: Prepared, parts: Sequence[tuple[int, int]]) -> Answer:
        """Run the parts of a large request, each as a request of its own, and join the answers."""
        share = request.size_bytes // len(parts)
        jobs = [
            asyncio.ensure_future(
                self._submit_whole(
                    Prepared(
                        served=request.served,
                        outputs=request.outputs,
                        inputs={name: array[start:stop] for name, array in request.inputs.items()},
                        plan=None,
                        num_rows=stop - start,
                        size_bytes=share,
                        key=request.key,
                        parameters=request.parameters,
                        deadline=request.deadline,
                        priority=request.priority,
                    )
                )
            )
            for start, stop in parts
        ]
        try:
            answers = await asyncio.gather(*jobs)
        except BaseException:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise
        outputs = {
            name: np.concatenate([answer.outputs[name] for answer in answers]) for name in request.outputs
        }
        for answer in answers:
            _release(answer)
        return Answer(
            outputs=outputs,
            batch_rows=max(answer.batch_rows for answer in answers),
            queue_seconds=max(answer.queue_seconds for answer in answers),
            run_seconds=sum(answer.run_seconds for answer in answers),
        )

    async def _submit_whole(self, request: Prepared) -> Answer:
        now = self._now()
        metrics = self._metrics.for_signature(self._model, self._version, request.served.name)
        if request.deadline is not None and now >= request.deadline:
            metrics.work_saved("late")
            raise late("admission")
        policy = self._loaded.policy
        drop_s = policy.batch_drop_s
        pending = _Pending(
            request,
            Task(
                inputs=request.inputs,
                plan=request.plan,
                num_rows=request.num_rows,
                deadline=request.deadline,
                stale_at=None if drop_s is None else now + drop_s,
            ),
            self._loop.create_future(),
            metrics,
        )
        entry = Entry(
            pending,
            request.key,
            request.num_rows,
            request.size_bytes,
            now,
            request.deadline,
            policy.level_of(request.priority),
        )
        self._queue.offer(entry)
        if request.deadline is not None:
            pending.timer = self._loop.call_later(request.deadline - now, self._give_up, entry)
        self.in_flight += 1
        self._idle.clear()
        self._pump()
        try:
            return await pending.future
        except asyncio.CancelledError:
            future = pending.future
            if future.done() and not future.cancelled() and future.exception() is None:
                _release(future.result())  # answered, but the caller went before it could take the answer
            raise
        finally:
            self.in_flight -= 1
            if pending.timer is not None:
                pending.timer.cancel()
            self._forget(entry)

    def _forget(self, entry: Entry[_Pending]) -> None:
        """Clean up once the caller has its answer, or has gone."""
        pending = entry.item
        if self._queue.drop(entry, DropReason.CANCELLED):
            pending.metrics.work_saved("cancelled")
            self._check_idle()
        if not pending.future.done() or pending.future.cancelled():
            pending.task.is_gone = True

    def _give_up(self, entry: Entry[_Pending]) -> None:
        """Answer a request whose deadline has passed, wherever it is."""
        pending = entry.item
        if pending.future.done():
            return
        pending.task.is_gone = True
        if self._queue.drop(entry, DropReason.DEADLINE):
            pending.metrics.work_saved("late")
            pending.future.set_exception(late("queue"))
            self._check_idle()
        else:
            pending.future.set_exception(late("run"))

    # --- from the queue to the workers ---------------------------------------------------------

    def _pump(self) -> None:
        """Give every free slot what is ready."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        while self._running < self._slots and len(self._queue):
            now = self._now()
            decision = self._queue.take(now)
            for entry in decision.dropped:
                self._refuse(entry.item, entry.dropped)
            if decision.batch:
                self._start(
                    [entry.item for entry in decision.batch],
                    [e.enqueued_at for e in decision.batch],
                    now,
                    decision.reason,
                )
            elif decision.wake_at is not None:
                self._wake = self._loop.call_later(max(0.0, decision.wake_at - now), self._pump)
                break
        self._check_idle()

    def _refuse(self, pending: _Pending, reason: DropReason | None) -> None:
        pending.metrics.work_saved("stale" if reason is DropReason.STALE else "late")
        if pending.future.done():
            return
        if reason is DropReason.STALE:
            drop_ms = (self._loaded.policy.batch_drop_s or 0.0) * 1000
            msg = f"request waited longer than {drop_ms:g} ms and was dropped (model '{self._model}')"
            pending.future.set_exception(StaleRequestError(msg))
        else:
            pending.future.set_exception(late("queue"))

    def _start(self, batch: list[_Pending], enqueued: list[float], now: float, reason: CloseReason) -> None:
        self._running += 1
        self._idle.clear()
        first = batch[0]
        for pending, enqueued_at in zip(batch, enqueued, strict=True):
            pending.queue_seconds = now - enqueued_at
            pending.metrics.queue_wait(pending.queue_seconds)
        report = BatchReport()
        steps = batch_steps(
            [pending.task for pending in batch],
            served=first.request.served,
            outputs=first.request.outputs,
            parameters=first.request.parameters,
            allowed_rows=self._loaded.policy.allowed_batch_rows,
            pool=self._pool,
            report=report,
            model=self._model,
        )
        if self._is_async:
            task = self._loop.create_task(self._run_async(batch, steps, report, reason))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._threads.submit(self._work, batch, steps, report, reason)

    def _work(self, batch: list[_Pending], steps: Steps, report: BatchReport, reason: CloseReason) -> None:
        """Run one batch, on a worker thread."""
        request = batch[0].request
        try:
            outcomes = run_blocking(steps, self._loaded.servable, request.served.name, request.outputs)
        except BaseException as error:  # a bug of ours: the callers get an answer all the same
            log.exception("batch_failed", model=self._model, version=self._version)
            outcomes = _all_failed(batch, error)
        try:
            self._loop.call_soon_threadsafe(self._finished, batch, outcomes, report, reason)
        except RuntimeError:  # the loop was closed under a running batch: nobody is left to answer
            log.warning("batch_abandoned", model=self._model, version=self._version)

    async def _run_async(
        self, batch: list[_Pending], steps: Steps, report: BatchReport, reason: CloseReason
    ) -> None:
        """Run one batch of an async servable: its run is awaited here, the rest is a worker's."""
        servable, request = self._loaded.servable, batch[0].request
        step: Callable[[], Any] = lambda: next(steps)  # noqa: E731 - replaced below, step by step
        outcomes: list[Outcome]
        try:
            while True:
                run, ended = await self._loop.run_in_executor(self._threads, _step, step)
                if ended is not None:
                    outcomes = ended
                    break
                try:
                    coming = servable.run(request.served.name, run.inputs, request.outputs, run.context)
                    result = await cast("Awaitable[NamedArrays]", coming)
                except Exception as error:
                    step = _Throw(steps, error)
                else:
                    step = _Send(steps, result)
        except BaseException as error:
            outcomes = _all_failed(batch, error)
            self._finished(batch, outcomes, report, reason)
            if not isinstance(error, Exception):
                raise
            log.exception("batch_failed", model=self._model, version=self._version)
            return
        self._finished(batch, outcomes, report, reason)

    def _finished(
        self, batch: list[_Pending], outcomes: list[Outcome], report: BatchReport, reason: CloseReason
    ) -> None:
        """Answer the callers of one batch and use the free slot."""
        self._running -= 1
        self._record(batch[0].metrics, len(batch), report, reason)
        for pending, outcome in zip(batch, outcomes, strict=True):
            if pending.future.done():  # cancelled, or answered at its deadline
                if outcome.lease is not None:
                    outcome.lease.release()
            elif outcome.error is not None:
                pending.future.set_exception(outcome.error)
            else:
                pending.future.set_result(
                    Answer(
                        outputs=outcome.outputs or {},
                        lease=outcome.lease,
                        batch_rows=report.num_rows,
                        queue_seconds=pending.queue_seconds,
                        run_seconds=report.run_seconds,
                    )
                )
        self._pump()

    @staticmethod
    def _record(
        metrics: SignatureMetrics, num_requests: int, report: BatchReport, reason: CloseReason
    ) -> None:
        for refusal in report.refused:
            metrics.work_saved(_SAVED.get(type(refusal), "late"))
        num_run = num_requests - len(report.refused)
        if not num_run:
            return
        metrics.batch_started(num_run, report.num_rows, report.padding_rows, reason)
        metrics.converted(report.convert_seconds, report.num_rows)
        metrics.ran(report.run_seconds, report.ok)
        if report.retried:
            metrics.retried(report.retried)

    # --- the end --------------------------------------------------------------------------------

    def _check_idle(self) -> None:
        if self._running == 0 and not len(self._queue):
            self._idle.set()

    async def close(self) -> None:
        """Take no more, run what is queued without lingering, and return when nothing runs."""
        self._closed = True
        self._queue.drain()
        self._pump()
        await self._idle.wait()
        if self._wake is not None:
            self._wake.cancel()


@dataclass(slots=True)
class _Send:
    steps: Steps
    result: NamedArrays

    def __call__(self) -> Any:
        return self.steps.send(self.result)


@dataclass(slots=True)
class _Throw:
    steps: Steps
    error: Exception

    def __call__(self) -> Any:
        return self.steps.throw(self.error)


def _step(step: Callable[[], Any]) -> tuple[Any, list[Outcome] | None]:
    """Take one step; a StopIteration cannot cross an executor, so the outcomes are returned."""
    try:
        return step(), None
    except StopIteration as stop:
        return None, stop.value


def _release(answer: Answer) -> None:
    if answer.lease is not None:
        answer.lease.release()


def _all_failed(batch: Sequence[_Pending], error: BaseException) -> list[Outcome]:
    failure = (
        error
        if isinstance(error, NaviError)
        else InferenceError(f"running the batch failed: {type(error).__name__}")
    )
    return [Outcome(error=failure) for _ in batch]
