"""The driver of one servable's queue: hands batches to worker threads and answers to callers.

Everything here runs on the event loop except :meth:`Batcher._work`. Decisions are
:mod:`navi_core.batching.queue`'s and :mod:`navi_core.batching.inlining`'s, the work on a batch is
:mod:`navi_core.batching.execution`'s.

A request's way: ``submit`` -> queue -> ``_pump`` takes a batch for a free slot -> a worker thread gathers, runs
and splits -> ``_finished`` answers the callers and pumps again. A caller whose deadline passes is answered
then, wherever its request is; one that goes away costs no run that has not begun.

A model whose runs were measured to be very short is spared the threads: a batch is gathered, run and split on the
loop, at the end of the turn in which its requests came. Where a run takes no longer than the queue would,
``run_now`` answers a request at once.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from navi_core.batching.async_running import run_async
from navi_core.batching.buffers import BufferPool
from navi_core.batching.execution import Steps, batch_steps, run_blocking
from navi_core.batching.inlining import InlineGate, InlineGates
from navi_core.batching.lane import Lane
from navi_core.batching.late import late
from navi_core.batching.lone import run_alone
from navi_core.batching.parts import joined, parts_of
from navi_core.batching.pending import Pending, all_failed, answer, count
from navi_core.batching.prepared import Answer, Prepared
from navi_core.batching.preparing import Preparer
from navi_core.batching.queue import BatchQueue, CloseReason, DropReason, Entry, split_rows
from navi_core.batching.tasks import BatchReport, Outcome, Task
from navi_core.batching.threads import RunThreads
from navi_core.batching.turns import TurnTime
from navi_core.errors import (
    DrainingError,
    SignatureNotFoundError,
    StaleRequestError,
)
from navi_core.messages import InferenceRequest
from navi_core.metrics.metrics import Metrics
from navi_core.models.served import LoadedVersion
from navi_core.signature import DEFAULT_SIGNATURE

__all__ = ["Batcher"]

log = structlog.get_logger(__name__)

_QUEUE_TRIP_S: Final = 100e-6
"""What a request's way through the queue costs (``benchmarks/hot_path``): a shorter run is not queued for."""


_SMALL_BYTES: Final = 1 << 16
"""To gather and split no more than this takes less than to have a thread do it."""


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
    turn
        What runs have taken of the loop's turn, of all batchers of the loop; None: of this one alone.
    now
        The monotonic clock, in seconds.
    """

    def __init__(
        self,
        loaded: LoadedVersion,
        *,
        pool: BufferPool,
        threads: RunThreads,
        metrics: Metrics,
        turn: TurnTime | None = None,
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
        self._turn = turn or TurnTime(self._loop.call_soon)
        policy, servable = loaded.policy, loaded.servable
        self._queue: BatchQueue[Pending] = BatchQueue(policy, self._model)
        limit = servable.max_concurrent_runs
        self._slots = policy.max_concurrent_batches
        if limit is not None:
            self._slots = min(self._slots, limit)
        self._is_async = inspect.iscoroutinefunction(servable.run)
        self._max_inline_s = (
            0.0 if self._is_async or not servable.may_run_inline else policy.max_inline_run_us / 1e6
        )
        # a linger asks for batches, and padding for a buffer: both are the queue's
        self._may_run_now = (
            self._max_inline_s > 0 and policy.batch_timeout_s <= 0 and not policy.allowed_batch_rows
        )
        self._lanes: dict[str, Lane] = {}
        self._running = 0
        self._wake: asyncio.TimerHandle | None = None
        self._will_pump = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.in_flight = 0

    @property
    def queue(self) -> BatchQueue[Pending]:
        """The queue, for gauges."""
        return self._queue

    @property
    def loaded(self) -> LoadedVersion:
        """The version."""
        return self._loaded

    def lane(self, signature: str) -> Lane:
        """Return what is kept for a signature; an empty name is the default one's.

        Raises
        ------
        SignatureNotFoundError
            The version has no such signature.
        """
        lane = self._lanes.get(signature)
        if lane is None:
            name = signature or DEFAULT_SIGNATURE
            served = self._loaded.signatures.get(name)
            if served is None:
                raise SignatureNotFoundError(name, model=self._model, known=tuple(self._loaded.signatures))
            lane = self._lanes[signature] = self._lanes.get(name) or Lane(
                Preparer(self._loaded, served),
                self._metrics.for_signature(self._model, self._version, name),
                InlineGates(self._max_inline_s) if self._max_inline_s > 0 else None,
            )
            self._lanes[name] = lane
        return lane

    def prepare(self, request: InferenceRequest) -> Prepared:
        """Check a request and plan it.

        Raises
        ------
        RequestError
            An unknown signature or output, wrong inputs, a malformed payload.
        """
        return self.lane(request.signature).prepare(request)

    def run_now(self, request: Prepared) -> Answer | None:
        """Run a request here and now, where that is allowed and takes less than to queue it; None: queue it.

        Raises
        ------
        DeadlineExceededError
            The deadline has passed already.
        NaviError
            Whatever the run ended with.
        """
        if (
            not self._may_run_now
            or request.plan is not None
            or self._queue.num_requests
            or self._running >= self._slots
            or self._closed
            or self._turn.is_over(self._max_inline_s)
        ):
            return None
        lane = self._lanes[request.served.name]
        assert lane.gates is not None  # noqa: S101 - runs may be inline
        gate = lane.gates.of(request.size_bytes)
        if not gate.is_open or gate.typical_s > _QUEUE_TRIP_S:
            return None
        policy = self._loaded.policy
        if policy.split_large_requests and request.num_rows > policy.max_batch_rows:
            return None
        now = self._now()
        if request.deadline is not None and now >= request.deadline:
            lane.metrics.work_saved("late")
            raise late("admission")
        reason = CloseReason.FREE_WORKER if request.key is not None and policy.enabled else CloseReason.ALONE
        run = run_alone(request, self._loaded.servable, self._pool, self._model)
        self._ran_inline(lane, gate, run.run_seconds, now)
        if run.error is not None:
            lane.metrics.batch_finished(
                (0.0,), 1, request.num_rows, 0, reason, 0.0, run.run_seconds, ok=False, where="loop"
            )
            raise run.error
        lane.metrics.ran_at_once(request.num_rows, reason, run.run_seconds)
        return run.answer

    def _ran_inline(self, lane: Lane, gate: InlineGate, seconds: float, began_at: float) -> None:
        """Count the time of a run on the loop."""
        self._turn.took(seconds, self._max_inline_s)
        gate.ran_inline(seconds, began_at)
        if not gate.is_open:
            lane.metrics.inline_stopped()

    async def submit(self, request: Prepared) -> Answer:
        """Queue one request and wait; returns its answer.

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
        jobs = [asyncio.ensure_future(self._submit_whole(part)) for part in parts_of(request, parts)]
        try:
            answers = await asyncio.gather(*jobs)
        except BaseException:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise
        return joined(answers, request.outputs)

    async def _submit_whole(self, request: Prepared) -> Answer:
        now = self._now()
        lane = self.lane(request.served.name)
        metrics = lane.metrics
        if request.deadline is not None and now >= request.deadline:
            metrics.work_saved("late")
            raise late("admission")
        policy = self._loaded.policy
        drop_s = policy.batch_drop_s
        pending = Pending(
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
        if self._running < self._slots:  # else whoever runs pumps when it is done
            if lane.gates is not None and lane.gates.of(request.size_bytes).is_open:
                self._pump_soon()
            else:
                self._pump()
        try:
            return await pending.future
        except asyncio.CancelledError:
            future = pending.future
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().give_back()  # answered, but the caller went before it could take the answer
            raise
        finally:
            self.in_flight -= 1
            if pending.timer is not None:
                pending.timer.cancel()
            self._forget(entry)

    def _forget(self, entry: Entry[Pending]) -> None:
        """Clean up once the caller has its answer, or has gone."""
        pending = entry.item
        if self._queue.drop(entry, DropReason.CANCELLED):
            pending.metrics.work_saved("cancelled")
            self._check_idle()
        if not pending.future.done() or pending.future.cancelled():
            pending.task.is_gone = True

    def _give_up(self, entry: Entry[Pending]) -> None:
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

    def _pump_soon(self) -> None:
        """Pump at the end of this turn of the loop, so that requests that come in one turn share a run."""
        if not self._will_pump:
            self._will_pump = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Give every free slot what is ready; once runs on the loop have had their time, in the next turn."""
        self._will_pump = False
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        has_run_here = False
        while self._running < self._slots and self._queue.num_requests:
            if has_run_here and self._turn.is_over(self._max_inline_s):
                self._pump_soon()
                break
            now = self._now()
            decision = self._queue.take(now)
            for entry in decision.dropped:
                self._refuse(entry.item, entry.dropped)
            if decision.batch:
                has_run_here |= self._start(decision.batch, now, decision.reason)
            elif decision.wake_at is not None:
                self._wake = self._loop.call_later(max(0.0, decision.wake_at - now), self._pump)
                break
        self._check_idle()

    def _refuse(self, pending: Pending, reason: DropReason | None) -> None:
        pending.metrics.work_saved("stale" if reason is DropReason.STALE else "late")
        if pending.future.done():
            return
        if reason is DropReason.STALE:
            drop_ms = (self._loaded.policy.batch_drop_s or 0.0) * 1000
            msg = f"request waited longer than {drop_ms:g} ms and was dropped (model '{self._model}')"
            pending.future.set_exception(StaleRequestError(msg))
        else:
            pending.future.set_exception(late("queue"))

    def _start(self, entries: Sequence[Entry[Pending]], now: float, reason: CloseReason) -> bool:
        """Begin to run a batch; returns whether it was run here, on the loop."""
        batch = [entry.item for entry in entries]
        size_bytes = 0
        for entry in entries:
            entry.item.queue_seconds = now - entry.enqueued_at
            size_bytes += entry.size_bytes
        request = batch[0].request
        lane = self._lanes[request.served.name]
        gate = None if lane.gates is None else lane.gates.of(size_bytes)
        report = BatchReport()
        steps = batch_steps(
            [pending.task for pending in batch],
            served=request.served,
            outputs=request.outputs,
            parameters=request.parameters,
            allowed_rows=self._loaded.policy.allowed_batch_rows,
            pool=self._pool,
            report=report,
            model=self._model,
        )
        self._running += 1
        if self._is_async:
            report.where = "async"
            task = self._loop.create_task(self._run_async(batch, steps, report, reason))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif gate is not None and gate.is_open:
            report.where = "loop"
            outcomes = self._outcomes(batch, steps)
            self._ran_inline(lane, gate, report.convert_seconds + report.run_seconds, now)
            self._settle(batch, outcomes, report, reason)
            return True
        else:
            self._threads.start(self._work, batch, steps, report, reason, gate)
        return False

    def _outcomes(self, batch: Sequence[Pending], steps: Steps) -> list[Outcome]:
        request = batch[0].request
        try:
            return run_blocking(steps, self._loaded.servable, request.served.name, request.outputs)
        except BaseException as error:  # a bug of ours: the callers get an answer all the same
            log.exception("batch_failed", model=self._model, version=self._version)
            return all_failed(batch, error)

    def _work(
        self,
        batch: list[Pending],
        steps: Steps,
        report: BatchReport,
        reason: CloseReason,
        gate: InlineGate | None,
    ) -> None:
        """Run one batch, on a worker thread."""
        outcomes = self._outcomes(batch, steps)
        try:
            self._loop.call_soon_threadsafe(self._finished, batch, outcomes, report, reason, gate)
        except RuntimeError:  # the loop was closed under a running batch: nobody is left to answer
            log.warning("batch_abandoned", model=self._model, version=self._version)

    async def _run_async(
        self, batch: list[Pending], steps: Steps, report: BatchReport, reason: CloseReason
    ) -> None:
        """Run one batch of an async servable."""
        request = batch[0].request
        is_small = request.plan is None and sum(p.request.size_bytes for p in batch) <= _SMALL_BYTES
        try:
            outcomes = await run_async(
                steps,
                self._loaded.servable,
                request.served.name,
                request.outputs,
                threads=None if is_small else self._threads,
            )
        except BaseException as error:
            self._finished(batch, all_failed(batch, error), report, reason)
            if not isinstance(error, Exception):
                raise
            log.exception("batch_failed", model=self._model, version=self._version)
            return
        self._finished(batch, outcomes, report, reason)

    def _finished(
        self,
        batch: list[Pending],
        outcomes: list[Outcome],
        report: BatchReport,
        reason: CloseReason,
        gate: InlineGate | None = None,
    ) -> None:
        """Answer the callers of a batch that ran elsewhere, and use the free slot."""
        if gate is not None:
            gate.ran_elsewhere(report.convert_seconds + report.run_seconds, self._now())
        self._settle(batch, outcomes, report, reason)
        self._pump()

    def _settle(
        self, batch: list[Pending], outcomes: list[Outcome], report: BatchReport, reason: CloseReason
    ) -> None:
        """Answer the callers of one batch, which runs no more."""
        self._running -= 1
        count(batch, report, reason)
        answer(batch, outcomes, report)

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
