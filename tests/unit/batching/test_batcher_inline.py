"""Runs on the event loop: when they happen there, and that nothing else about a request changes."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from navi_core.batching.batcher import Batcher
from navi_core.batching.buffers import BufferPool
from navi_core.batching.inlining import NUM_SAMPLES, InlineGate
from navi_core.batching.queue import BatchPolicy
from navi_core.batching.threads import RunThreads
from navi_core.contracts.artifact import Artifact
from navi_core.errors import DeadlineExceededError, InferenceError
from navi_core.messages import InferenceRequest
from navi_core.metrics.metrics import Metrics
from navi_core.models.served import LoadedVersion, ServedSignature
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.testing.affine import AffineModel, AffineServable

GENEROUS_US = 1_000_000
"""No run takes longer, however busy the machine is that tests this."""


class Watched(AffineServable):
    """Notes on which thread it runs; fails on rows that hold a NaN."""

    may_run_inline = True

    def __init__(self, model=AffineModel()):  # noqa: B008 - immutable
        super().__init__(model)
        self.ran_on = []

    def run(self, signature, inputs, outputs, ctx):
        self.ran_on.append(threading.current_thread() is threading.main_thread())
        if np.isnan(inputs["x"]).any():
            raise ZeroDivisionError
        return super().run(signature, inputs, outputs, ctx)


@pytest.fixture(autouse=True)
def a_machine_that_never_stands_still(monkeypatch):
    """Runs on the loop count as very short, unless they take as long as tests have them sleep.

    After one during which the machine did something else, the next may go to a thread.
    """
    ran_inline = InlineGate.ran_inline
    monkeypatch.setattr(
        InlineGate,
        "ran_inline",
        lambda self, seconds, now: ran_inline(self, seconds if seconds > 0.5 else 1e-9, now),
    )


@pytest.fixture
def threads():
    made = RunThreads(4)
    yield made
    made.shutdown()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def batcher_of(threads, metrics):
    def make(servable, **policy):
        policy.setdefault("max_concurrent_batches", 1)
        policy.setdefault("max_inline_run_us", GENEROUS_US)
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
        return Batcher(loaded, pool=BufferPool(poison=True), threads=threads, metrics=metrics)

    return make


def prepared(batcher, value, rows=1, timeout_s=None):
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    x = np.full((rows, 2), value, np.float32)
    return batcher.prepare(InferenceRequest(inputs={"x": x}, deadline=deadline))


def gate_of(batcher, request):
    return batcher.lane("").gates.of(request.size_bytes)


def opened(batcher, *requests, typical_s=1e-9):
    """Have the batcher believe that such requests are very short."""
    for request in requests:
        gate = gate_of(batcher, request)
        for _ in range(NUM_SAMPLES):
            gate.ran_elsewhere(typical_s, 0.0)
        assert gate.is_open


async def answered(batcher, request):
    answer = batcher.run_now(request)
    return await batcher.submit(request) if answer is None else answer


async def test_a_model_is_run_on_threads_until_it_was_seen_to_be_short(batcher_of):
    servable = Watched()
    batcher = batcher_of(servable)
    for value in range(NUM_SAMPLES + 3):
        answer = await answered(batcher, prepared(batcher, value))
        assert answer.outputs["y"][:, 0].tolist() == [float(value)]
    assert servable.ran_on[: NUM_SAMPLES + 1] == [False] * NUM_SAMPLES + [True]


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({"may_run_inline": False}, {}),
        ({}, {"max_inline_run_us": 0}),
    ],
)
async def test_nothing_runs_on_the_loop_unless_both_sides_say_so(batcher_of, changes, policy):
    servable = type("Other", (Watched,), changes)()
    batcher = batcher_of(servable, **policy)
    for _ in range(3 * NUM_SAMPLES):
        await answered(batcher, prepared(batcher, 1))
    assert not any(servable.ran_on)


async def test_whatever_a_framework_raises_the_caller_is_answered(batcher_of):
    class Exits(Watched):
        def run(self, signature, inputs, outputs, ctx):
            raise SystemExit(3)

    batcher = batcher_of(Exits())
    request = prepared(batcher, 1)
    opened(batcher, request)
    with pytest.raises(InferenceError, match="SystemExit"):
        batcher.run_now(request)


async def test_async_servables_never_do(batcher_of):
    class Async(Watched):
        async def run(self, signature, inputs, outputs, ctx):
            return AffineServable.run(self, signature, inputs, outputs, ctx)

    batcher = batcher_of(Async())
    assert batcher.lane("").gates is None
    assert (await answered(batcher, prepared(batcher, 4))).outputs["y"][0, 0] == 4.0


async def test_a_very_long_run_ends_it_at_once(batcher_of):
    class Busy(Watched):
        def run(self, signature, inputs, outputs, ctx):
            if len(self.ran_on) == 3:
                time.sleep(0.6)
            return super().run(signature, inputs, outputs, ctx)

    servable = Busy()
    batcher = batcher_of(servable, max_inline_run_us=500_000)
    opened(batcher, prepared(batcher, 1))
    for value in range(5):
        await answered(batcher, prepared(batcher, value))
    assert servable.ran_on[3:] == [True, False]


async def test_run_now__leaves_to_the_queue_what_is_not_alone(batcher_of):
    servable = Watched()
    batcher = batcher_of(servable)
    request = prepared(batcher, 1)
    opened(batcher, request)
    waiting = asyncio.ensure_future(batcher.submit(prepared(batcher, 2)))
    await asyncio.sleep(0)
    assert batcher.queue.num_requests == 1
    assert batcher.run_now(request) is None, "it would overtake"
    assert (await waiting).outputs["y"][0, 0] == 2.0
    assert batcher.run_now(request) is not None
    await batcher.close()
    assert batcher.run_now(request) is None


async def test_run_now__leaves_to_the_queue_what_gains_from_a_batch(batcher_of):
    batcher = batcher_of(Watched())
    request = prepared(batcher, 1)
    opened(batcher, request, typical_s=500e-6)
    assert batcher.run_now(request) is None
    for policy in ({"batch_timeout_s": 0.001}, {"allowed_batch_rows": (4, 8)}):
        other = batcher_of(Watched(), **policy)
        opened(other, request)
        assert other.run_now(request) is None


async def test_a_running_batch_holds_its_slot(batcher_of):
    """One run at a time stays one at a time."""
    release = threading.Event()

    class Gated(Watched):
        def run(self, signature, inputs, outputs, ctx):
            if len(inputs["x"]) > 1:
                assert release.wait(60)
            return super().run(signature, inputs, outputs, ctx)

    batcher = batcher_of(Gated(AffineModel(max_concurrent_runs=1)), max_concurrent_batches=4)
    small = prepared(batcher, 1)
    opened(batcher, small)
    large = asyncio.ensure_future(batcher.submit(prepared(batcher, 2, rows=64)))
    await asyncio.sleep(0)
    assert batcher.run_now(small) is None
    waiting = asyncio.ensure_future(batcher.submit(small))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    release.set()
    assert (await waiting).outputs["y"][0, 0] == 1.0
    assert len((await large).outputs["y"]) == 64


async def test_requests_of_one_turn_share_a_run_on_the_loop(batcher_of):
    servable = Watched()
    batcher = batcher_of(servable)
    opened(batcher, prepared(batcher, 0), prepared(batcher, 0, rows=5))
    answers = await asyncio.gather(*(batcher.submit(prepared(batcher, value)) for value in range(5)))
    assert [answer.outputs["y"][0, 0] for answer in answers] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert servable.ran_on == [True]
    assert servable.batches == [5]


async def test_the_loop_turns_between_runs_that_take_long_together(batcher_of):
    class Slow(Watched):
        def run(self, signature, inputs, outputs, ctx):
            time.sleep(0.003)
            return super().run(signature, inputs, outputs, ctx)

    batcher = batcher_of(Slow(), max_batch_requests=1, max_inline_run_us=5_000)
    opened(batcher, prepared(batcher, 0))
    turns, counting = 0, True

    async def count():
        nonlocal turns
        while counting:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.ensure_future(count())
    await asyncio.gather(*(batcher.submit(prepared(batcher, value)) for value in range(10)))
    counting = False
    await counter
    assert turns >= 5


async def test_run_now__leaves_to_the_next_turn_what_is_too_much_for_this_one(batcher_of, metrics):
    """Sixty requests that come at once do not run in a row, however short each is."""
    batcher = batcher_of(Watched())
    opened(batcher, prepared(batcher, 0))
    batcher._turn.took(0.4, 1.0)
    assert batcher.run_now(prepared(batcher, 1)) is not None
    batcher._turn.took(0.7, 1.0)
    late = prepared(batcher, 2)
    assert batcher.run_now(late) is None
    assert (await batcher.submit(late)).outputs["y"][0, 0] == 2.0
    assert batcher.run_now(prepared(batcher, 3)) is not None
    page = metrics.render("")[1].decode()
    assert re.findall(r"^navi_runs_total\{.*where=\"(.*)\"} (.*)$", page, re.MULTILINE) == [("loop", "3.0")]


async def test_a_pump_runs_one_batch_in_a_turn_that_others_have_used_up(batcher_of):
    """Or a model would never run beside one that always has something to run."""
    batcher = batcher_of(Watched(), max_batch_requests=1)
    opened(batcher, prepared(batcher, 0))
    waiting = [asyncio.ensure_future(batcher.submit(prepared(batcher, value))) for value in range(2)]
    await asyncio.sleep(0)
    batcher._turn.took(2.0, 1.0)
    batcher._pump()
    await asyncio.sleep(0)
    assert [each.done() for each in waiting] == [True, False]
    assert (await waiting[1]).outputs["y"][0, 0] == 1.0


async def test_where_runs_ran_and_how_often_they_were_stopped_is_counted(batcher_of, metrics):
    class Stands(Watched):
        def run(self, signature, inputs, outputs, ctx):
            if inputs["x"][0, 0] == 7:
                time.sleep(0.6)
            return super().run(signature, inputs, outputs, ctx)

    batcher = batcher_of(Stands(), max_inline_run_us=500_000)
    opened(batcher, prepared(batcher, 0))
    for value in (1, 7, 2):
        await answered(batcher, prepared(batcher, value))
    page = metrics.render("")[1].decode()
    found = dict(re.findall(r"^navi_runs_total\{.*where=\"(.*)\"} (.*)$", page, re.MULTILINE))
    assert found == {"loop": "2.0", "thread": "1.0"}
    assert re.findall(r"^navi_inline_stops_total\{.*} (.*)$", page, re.MULTILINE) == ["1.0"]


async def test_a_poisoned_request_fails_alone(batcher_of, metrics):
    batcher = batcher_of(Watched())
    opened(batcher, prepared(batcher, 0), prepared(batcher, 0, rows=3))
    good, bad, other = await asyncio.gather(
        *(batcher.submit(prepared(batcher, value)) for value in (1, np.nan, 3)), return_exceptions=True
    )
    assert isinstance(bad, InferenceError)
    assert (good.outputs["y"][0, 0], other.outputs["y"][0, 0]) == (1.0, 3.0)
    with pytest.raises(InferenceError, match="running model 'm' failed: ZeroDivisionError"):
        batcher.run_now(prepared(batcher, np.nan))
    page = metrics.render("")[1].decode()
    assert re.findall(r"^navi_run_failures_total\{.*} (.*)$", page, re.MULTILINE) == ["2.0"]


async def test_deadlines_and_cancellations_cost_no_run(batcher_of):
    servable = Watched()
    batcher = batcher_of(servable)
    opened(batcher, prepared(batcher, 0))
    with pytest.raises(DeadlineExceededError) as caught:
        batcher.run_now(prepared(batcher, 1, timeout_s=-1))
    assert caught.value.reason == "admission"
    gone = asyncio.ensure_future(batcher.submit(prepared(batcher, 1)))
    kept = asyncio.ensure_future(batcher.submit(prepared(batcher, 2)))
    asyncio.get_running_loop().call_soon(gone.cancel)  # it comes to be queued, and goes in the same turn
    assert (await kept).outputs["y"][0, 0] == 2.0
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    assert servable.batches in ([1], [2])
    assert batcher.in_flight == 0


async def test_lone_runs_answer_with_what_was_asked_for_in_its_order(batcher_of):
    servable = Watched()
    batcher = batcher_of(servable)
    x = np.ones((1, 2), np.float32)
    request = batcher.prepare(InferenceRequest(inputs={"x": x}, outputs=("rows", "y")))
    opened(batcher, request)
    answer = batcher.run_now(request)
    assert list(answer.outputs) == ["rows", "y"]


async def test_lone_runs__a_missing_output_is_an_error_and_buffers_come_back(batcher_of):
    class Short(Watched):
        def run(self, signature, inputs, outputs, ctx):
            out = ctx.allocate((1 << 16, 2), np.float32)
            assert (ctx.row_ends.tolist(), ctx.is_cancelled(), ctx.deadline) == ([1], False, None)
            out[:] = 7
            return {"y": out} if inputs["x"][0, 0] else {}

    batcher = batcher_of(Short())
    request = prepared(batcher, 1)
    opened(batcher, request)
    asked = batcher.prepare(InferenceRequest(inputs={"x": np.ones((1, 2), np.float32)}, outputs=("y",)))
    answer = batcher.run_now(asked)
    assert batcher._pool.kept_bytes == 0
    answer.lease.release()
    assert batcher._pool.kept_bytes == 1 << 19
    assert np.isnan(answer.outputs["y"]).all(), "whoever reads on finds out"
    nothing = batcher.prepare(InferenceRequest(inputs={"x": np.zeros((1, 2), np.float32)}, outputs=("y",)))
    with pytest.raises(InferenceError, match="did not compute output 'y'"):
        batcher.run_now(nothing)
    assert batcher._pool.kept_bytes == 1 << 19
