"""The batcher on an event loop: waiting, deadlines, cancellation, splitting, closing."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from navi_core.batching.batcher import Batcher
from navi_core.batching.buffers import BufferPool
from navi_core.batching.preparing import prepare
from navi_core.batching.queue import BatchPolicy
from navi_core.batching.threads import RunThreads
from navi_core.contracts.artifact import Artifact
from navi_core.errors import (
    DeadlineExceededError,
    DrainingError,
    InferenceError,
    QueueFullError,
    StaleRequestError,
)
from navi_core.messages import InferenceRequest
from navi_core.metrics.metrics import Metrics
from navi_core.models.served import LoadedVersion, ServedSignature
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.testing.affine import AffineModel, AffineServable


class GatedServable(AffineServable):
    """Runs only while its gate is open, so that a test decides what is queued meanwhile."""

    def __init__(self, model=AffineModel()):  # noqa: B008 - immutable
        super().__init__(model)
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)

    def run(self, signature, inputs, outputs, ctx):
        self.begun.release()
        assert self.gate.wait(60)
        return super().run(signature, inputs, outputs, ctx)


class AsyncServable(AffineServable):
    async def run(self, signature, inputs, outputs, ctx):
        await asyncio.sleep(0)
        return super().run(signature, inputs, outputs, ctx)


@pytest.fixture
def threads():
    pool = RunThreads(4)
    yield pool
    pool.shutdown()


@pytest.fixture
def batcher_of(threads):
    def make(servable, **policy):
        policy.setdefault("max_concurrent_batches", 1)
        signature = servable.signatures[DEFAULT_SIGNATURE]
        loaded = LoadedVersion(
            artifact=Artifact(name="m", version=1, path=Path("m/1")),
            servable=servable,
            runtime="affine",
            kind="affine",
            converter="",
            signatures={
                DEFAULT_SIGNATURE: ServedSignature(name=DEFAULT_SIGNATURE, model=signature, client=signature)
            },
            policy=BatchPolicy(**policy),
        )
        return loaded, Batcher(loaded, pool=BufferPool(), threads=threads, metrics=Metrics())

    return make


def request(loaded, *values, timeout_s=None, outputs=(), priority=0):
    x = np.array([[value, value] for value in values], dtype=np.float32).reshape(len(values), 2)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    return prepare(
        loaded, InferenceRequest(inputs={"x": x}, outputs=outputs, deadline=deadline, priority=priority)
    )


def submit(batcher, prepared):
    return asyncio.ensure_future(batcher.submit(prepared))


async def begun(servable):
    await asyncio.get_running_loop().run_in_executor(None, servable.begun.acquire)


def column(answer):
    return answer.outputs["y"][:, 0].tolist()


async def test_requests_that_wait_while_a_worker_is_busy_form_one_batch(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable)
    servable.gate.clear()
    first = submit(batcher, request(loaded, 0))
    await begun(servable)
    others = [submit(batcher, request(loaded, value)) for value in (1, 2, 3)]
    await asyncio.sleep(0)

    servable.gate.set()
    answers = await asyncio.gather(first, *others)

    assert servable.batches == [1, 3]
    assert [column(answer) for answer in answers] == [[0.0], [1.0], [2.0], [3.0]]
    assert answers[1].batch_rows == 3
    assert answers[1].queue_seconds > 0


async def test_requests_for_other_outputs_do_not_share_a_batch(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable)
    servable.gate.clear()
    first = submit(batcher, request(loaded, 0))
    await begun(servable)
    others = [
        submit(batcher, request(loaded, 1, outputs=("y",))),
        submit(batcher, request(loaded, 2, outputs=("y",))),
        submit(batcher, request(loaded, 3, outputs=("rows",))),
    ]
    await asyncio.sleep(0)
    servable.gate.set()
    answers = await asyncio.gather(first, *others)

    assert servable.batches == [1, 2, 1]
    assert list(answers[3].outputs) == ["rows"]


async def test_requests_of_a_higher_priority_run_first_and_parts_keep_theirs(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(
        servable,
        max_batch_rows=2,
        split_large_requests=True,
        priority_levels=3,
        default_priority_level=2,
    )
    servable.gate.clear()
    first = submit(batcher, request(loaded, 0))
    await begun(servable)
    ended = []
    others = []
    for name, priority in (("low", 3), ("default", 0), ("high", 1)):
        job = submit(batcher, request(loaded, 1, 2, 3, 4, priority=priority))
        job.add_done_callback(lambda _, name=name: ended.append(name))
        others.append(job)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    servable.gate.set()
    await asyncio.gather(first, *others)

    assert ended == ["high", "default", "low"]


async def test_a_full_queue_refuses(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable, max_queue_requests=1)
    servable.gate.clear()
    running = submit(batcher, request(loaded, 0))
    await begun(servable)
    waiting = submit(batcher, request(loaded, 1))
    await asyncio.sleep(0)

    with pytest.raises(QueueFullError):
        await batcher.submit(request(loaded, 2))

    servable.gate.set()
    await asyncio.gather(running, waiting)


async def test_a_deadline_that_passes_during_the_run_is_answered_then(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable)
    servable.gate.clear()

    with pytest.raises(DeadlineExceededError) as caught:
        await batcher.submit(request(loaded, 0, timeout_s=0.5))

    assert caught.value.reason == "run"
    servable.gate.set()
    await batcher.close()


async def test_a_deadline_that_passes_in_the_queue_costs_no_run(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable)
    servable.gate.clear()
    running = submit(batcher, request(loaded, 0))
    await begun(servable)

    with pytest.raises(DeadlineExceededError) as caught:
        await batcher.submit(request(loaded, 1, timeout_s=0.5))

    assert caught.value.reason == "queue"
    servable.gate.set()
    await running
    assert servable.batches == [1]


async def test_a_deadline_that_has_passed_is_not_queued(batcher_of):
    loaded, batcher = batcher_of(GatedServable())

    with pytest.raises(DeadlineExceededError) as caught:
        await batcher.submit(request(loaded, 0, timeout_s=-1.0))

    assert caught.value.reason == "admission"


async def test_a_stale_request_is_refused_and_its_neighbours_run(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable, batch_drop_s=1.0)
    servable.gate.clear()
    running = submit(batcher, request(loaded, 0))
    await begun(servable)
    stale = submit(batcher, request(loaded, 1))
    await asyncio.sleep(1.1)
    fresh = submit(batcher, request(loaded, 2))
    await asyncio.sleep(0)
    servable.gate.set()

    results = await asyncio.gather(running, stale, fresh, return_exceptions=True)

    assert isinstance(results[1], StaleRequestError)
    assert column(results[2]) == [2.0]


async def test_a_cancelled_caller_costs_no_run(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable)
    servable.gate.clear()
    running = submit(batcher, request(loaded, 0))
    await begun(servable)
    gone = submit(batcher, request(loaded, 1))
    await asyncio.sleep(0)

    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert len(batcher.queue) == 0
    servable.gate.set()
    await running

    assert servable.batches == [1]
    assert batcher.in_flight == 0


async def test_a_large_request_is_split_only_when_asked(batcher_of):
    whole_servable, split_servable = GatedServable(), GatedServable()
    loaded, whole = batcher_of(whole_servable, max_batch_rows=2)
    loaded_split, split = batcher_of(split_servable, max_batch_rows=2, split_large_requests=True)

    one = await whole.submit(request(loaded, 1, 2, 3, 4, 5))
    parts = await split.submit(request(loaded_split, 1, 2, 3, 4, 5))

    assert whole_servable.batches == [5]
    assert split_servable.batches == [2, 2, 1]
    assert column(one) == column(parts) == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_a_split_request_fails_as_a_whole(batcher_of):
    loaded, batcher = batcher_of(
        GatedServable(AffineModel(poison=3.0)), max_batch_rows=2, split_large_requests=True
    )

    with pytest.raises(InferenceError):
        await batcher.submit(request(loaded, 1, 2, 3, 4, 5))

    await batcher.close()
    assert batcher.in_flight == 0


async def test_a_linger_waits_for_company(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable, batch_timeout_s=0.05)

    answers = await asyncio.gather(*(batcher.submit(request(loaded, value)) for value in range(3)))

    assert servable.batches == [3]
    assert [column(answer) for answer in answers] == [[0.0], [1.0], [2.0]]


async def test_no_more_batches_run_at_once_than_the_servable_allows(batcher_of):
    servable = GatedServable(AffineModel(max_concurrent_runs=1))
    loaded, batcher = batcher_of(servable, max_concurrent_batches=4, max_batch_requests=1)
    servable.gate.clear()
    jobs = [submit(batcher, request(loaded, value)) for value in range(3)]
    await begun(servable)
    await asyncio.sleep(0.02)

    assert not servable.begun.acquire(blocking=False)
    servable.gate.set()
    await asyncio.gather(*jobs)


async def test_an_async_servable_runs_on_the_loop(batcher_of):
    servable = AsyncServable(AffineModel(scale=2.0, poison=13.0))
    loaded, batcher = batcher_of(servable, batch_timeout_s=0.02)

    results = await asyncio.gather(
        *(batcher.submit(request(loaded, value)) for value in (1, 13, 2)), return_exceptions=True
    )

    assert [column(results[0]), column(results[2])] == [[2.0], [4.0]]
    assert isinstance(results[1], InferenceError)


async def test_close_finishes_what_was_taken_and_refuses_the_rest(batcher_of):
    servable = GatedServable()
    loaded, batcher = batcher_of(servable, batch_timeout_s=60.0)
    lingering = submit(batcher, request(loaded, 1))
    await asyncio.sleep(0)

    await batcher.close()

    assert column(lingering.result()) == [1.0]
    with pytest.raises(DrainingError):
        await batcher.submit(request(loaded, 2))


async def test_a_caller_that_goes_while_every_thread_is_busy_costs_no_run(batcher_of, threads):
    """Taken from the queue is not yet run: the threads are shared by all models."""
    servable = GatedServable()
    loaded, batcher = batcher_of(servable)
    busy = threading.Event()
    for _ in range(4):
        threads.start(busy.wait, 10)
    gone = submit(batcher, request(loaded, 1))
    await asyncio.sleep(0)

    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    busy.set()
    await batcher.close()

    assert servable.batches == []
