"""One batch: gathering, running, splitting, and what fails alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.batching.buffers import BufferPool
from navi_core.batching.execution import batch_steps, run_blocking
from navi_core.batching.tasks import BatchReport, Task
from navi_core.contracts.converter import BoundConverter, Plan, RowSpec
from navi_core.errors import (
    DeadlineExceededError,
    DecodeError,
    ErrorCode,
    InferenceError,
    RequestCancelledError,
    StaleRequestError,
)
from navi_core.models.served import ServedSignature
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.tensors import DType
from navi_core.testing.affine import AffineModel, AffineServable


def served_by(servable, converter=None):
    signature = servable.signatures[DEFAULT_SIGNATURE]
    client = converter.signature if converter else signature
    return ServedSignature(name=DEFAULT_SIGNATURE, model=signature, client=client, converter=converter)


def run(servable, tasks, *, outputs=("y",), allowed=(), converter=None, pool=None):
    report = BatchReport()
    steps = batch_steps(
        tasks,
        served=served_by(servable, converter),
        outputs=outputs,
        parameters={},
        allowed_rows=allowed,
        pool=pool or BufferPool(),
        report=report,
        model="m",
    )
    return run_blocking(steps, servable, DEFAULT_SIGNATURE, outputs), report


def task(*values, width=2):
    x = np.array([[value] * width for value in values], dtype=np.float32).reshape(len(values), width)
    return Task(inputs={"x": x}, plan=None, num_rows=len(values))


def first_column(outcome):
    return outcome.outputs["y"][:, 0].tolist()


def test_batch__each_caller_gets_its_rows():
    servable = AffineServable(AffineModel(scale=2.0, bias=1.0))

    outcomes, report = run(servable, [task(1, 2), task(), task(3)])

    assert [first_column(one) for one in outcomes] == [[3.0, 5.0], [], [7.0]]
    assert servable.batches == [3]
    assert (report.num_rows, report.ok, report.retried) == (3, True, 0)


def test_batch_of_one__is_given_as_it_is():
    servable = AffineServable(AffineModel())
    one = task(1, 2)
    one.inputs["x"].flags.writeable = False

    outcomes, _ = run(servable, [one])

    assert first_column(outcomes[0]) == [1.0, 2.0]


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    allowed=st.lists(st.integers(1, 40)).map(sorted),
)
def test_batch__scatter_of_gather_is_the_identity(sizes, allowed):
    """Nobody gets another caller's rows, padded or not."""
    servable = AffineServable(AffineModel())
    start = 0
    tasks, expected = [], []
    for size in sizes:
        values = list(range(start, start + size))
        tasks.append(task(*values))
        expected.append([float(value) for value in values])
        start += size

    outcomes, report = run(servable, tasks, allowed=allowed)

    assert [first_column(one) for one in outcomes] == expected
    assert servable.batches == [start + report.padding_rows]


def test_padding__runs_an_allowed_size_and_cuts_it_again():
    servable = AffineServable(AffineModel())

    outcomes, report = run(servable, [task(1), task(2, 3)], allowed=(4, 8), outputs=("y", "rows"))

    assert servable.batches == [4]
    assert report.padding_rows == 1
    assert [first_column(one) for one in outcomes] == [[1.0], [2.0, 3.0]]
    assert outcomes[1].outputs["rows"].tolist() == [4, 4]


def test_a_poisoned_request__fails_alone():
    servable = AffineServable(AffineModel(poison=13.0))

    outcomes, report = run(servable, [task(1), task(13), task(2)])

    assert [one.error is None for one in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, InferenceError)
    assert [first_column(outcomes[0]), first_column(outcomes[2])] == [[1.0], [2.0]]
    assert (report.ok, report.retried) == (False, 3)


def test_a_single_failing_request__is_not_run_twice():
    servable = AffineServable(AffineModel(poison=13.0))

    outcomes, report = run(servable, [task(13)])

    assert outcomes[0].error is not None
    assert servable.batches == [1]
    assert report.retried == 0


def test_a_caller_that_goes_during_the_run__is_not_run_again():
    leaving = task(1)

    class Leaving(AffineServable):
        def run(self, *arguments):
            leaving.is_gone = True
            return super().run(*arguments)

    servable = Leaving(AffineModel(poison=13.0))

    outcomes, _ = run(servable, [task(13), leaving])

    assert servable.batches == [2, 1]
    assert outcomes[1].error.code is ErrorCode.CANCELLED


def test_what_nobody_waits_for_any_more__costs_no_run():
    """A worker may be long in coming: deadlines and callers are looked at once more before the run."""
    servable = AffineServable(AffineModel())
    gone, late, stale = task(1), task(2), task(3)
    gone.is_gone = True
    late.deadline = 0.0
    stale.stale_at = 0.0

    outcomes, report = run(servable, [gone, task(4), late, stale])

    assert servable.batches == [1]
    assert first_column(outcomes[1]) == [4.0]
    refusals = [type(outcomes[index].error) for index in (0, 2, 3)]
    assert refusals == [RequestCancelledError, DeadlineExceededError, StaleRequestError]
    assert [type(each) for each in report.refused] == refusals
    assert report.num_rows == 1


def test_a_batch_that_nobody_waits_for__is_not_run_at_all():
    servable = AffineServable(AffineModel())
    gone = task(1)
    gone.is_gone = True

    outcomes, _ = run(servable, [gone])

    assert servable.batches == []
    assert isinstance(outcomes[0].error, RequestCancelledError)


def test_out_of_memory__is_not_repeated():
    servable = AffineServable(AffineModel())
    servable.run = lambda *_: (_ for _ in ()).throw(MemoryError)

    outcomes, report = run(servable, [task(1), task(2)])

    assert {one.error.code for one in outcomes} == {ErrorCode.RESOURCE_EXHAUSTED}
    assert report.retried == 0


def test_an_unexpected_exception__is_hidden_behind_its_class():
    servable = AffineServable(AffineModel())
    servable.run = lambda *_: (_ for _ in ()).throw(KeyError("/secret/path"))

    outcomes, _ = run(servable, [task(1)])

    assert outcomes[0].error.message == "running model 'm' failed: KeyError"


def test_outputs_that_do_not_follow_the_rows__are_never_split():
    servable = AffineServable(AffineModel(follows_rows=False))

    outcomes, report = run(servable, [task(1), task(2, 3)])

    assert servable.batches == [3, 1, 2]
    assert [first_column(one) for one in outcomes] == [[1.0], [2.0]]
    assert report.retried == 2


def test_a_missing_output__is_an_error_not_a_key_error():
    servable = AffineServable(AffineModel())
    servable.run = lambda *_: {}

    outcomes, _ = run(servable, [task(1)])

    assert "did not compute output 'y'" in outcomes[0].error.message


class Doubling(BoundConverter):
    """A converter whose payload is a list of numbers; a negative one is only seen while filling."""

    def __init__(self, signature):
        self.signature = signature

    def plan(self, inputs):
        values = inputs["x"]
        rows = {"x": RowSpec(DType.FLOAT32, (2,))}
        return Plan(
            num_rows=len(values), row_ends=np.array([len(values)]), size_bytes=8, rows=rows, payload=values
        )

    def fill(self, plan, out):
        if any(value < 0 for value in plan.payload):
            raise DecodeError("negative", offset=3)
        out["x"][...] = np.array(plan.payload, dtype=np.float32)[:, None]

    def encode(self, outputs, plan):
        return {"y": outputs["y"] * 2}


def planned(converter, *values):
    plan = converter.plan({"x": list(values)})
    return Task(inputs={}, plan=plan, num_rows=plan.num_rows)


def test_converter__fills_its_own_rows_and_encodes_its_own_answer():
    servable = AffineServable(AffineModel())
    converter = Doubling(servable.signatures[DEFAULT_SIGNATURE])

    outcomes, _ = run(servable, [planned(converter, 1, 2), planned(converter, 3)], converter=converter)

    assert [first_column(one) for one in outcomes] == [[2.0, 4.0], [6.0]]


def test_converter__a_fill_that_fails_costs_its_own_request_only():
    servable = AffineServable(AffineModel())
    converter = Doubling(servable.signatures[DEFAULT_SIGNATURE])

    outcomes, report = run(
        servable, [planned(converter, 1), planned(converter, -1), planned(converter, 2)], converter=converter
    )

    assert outcomes[1].error.offset == 3
    assert [first_column(outcomes[0]), first_column(outcomes[2])] == [[2.0], [4.0]]
    assert servable.batches == [3]
    assert report.retried == 0


def test_converter__nothing_is_run_when_every_fill_failed():
    servable = AffineServable(AffineModel())
    converter = Doubling(servable.signatures[DEFAULT_SIGNATURE])

    outcomes, _ = run(servable, [planned(converter, -1)], converter=converter)

    assert isinstance(outcomes[0].error, DecodeError)
    assert servable.batches == []


def test_buffers__return_to_the_pool_only_after_the_last_share():
    pool = BufferPool(poison=True)
    servable = AffineServable(AffineModel(width=40_000))

    outcomes, _ = run(servable, [task(1, width=40_000), task(2, width=40_000)], pool=pool)

    inputs_kept = pool.kept_bytes
    assert inputs_kept > 0
    outcomes[0].lease.release()
    assert pool.kept_bytes == inputs_kept
    assert first_column(outcomes[1]) == [2.0]
    outcomes[1].lease.release()
    assert pool.kept_bytes > inputs_kept
    assert np.isnan(outcomes[1].outputs["y"]).all()


@pytest.mark.parametrize("shape", [(0, 5), (3,), (70_000,), (2, 40_000)])
def test_lease__allocates_what_is_asked_for(shape):
    array = BufferPool().lease().allocate(shape, np.float32)

    assert array.shape == shape
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert array.nbytes < 1 << 16 or array.ctypes.data % 64 == 0


def test_pool__keeps_no_more_than_it_may():
    pool = BufferPool(max_kept_bytes=1 << 17)
    leases = [pool.lease() for _ in range(4)]
    for lease in leases:
        lease.allocate((1 << 16,), np.uint8)
    for lease in leases:
        lease.release()

    assert pool.kept_bytes == 1 << 17
