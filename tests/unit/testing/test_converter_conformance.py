"""ConverterConformance passes a right converter and catches every kind of wrong one."""

from __future__ import annotations

import dataclasses
import inspect
from typing import ClassVar

import numpy as np
import pytest

from navi_core.contracts.converter import BoundConverter, PayloadEncoder, Plan, RowSpec
from navi_core.contracts.converter_metrics import ConverterMetric
from navi_core.errors import DecodeError, ErrorCode, NaviError, RequestError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.testing import ConverterConformance

pytest_plugins = ["pytester"]

WIDTH = 3
ROW_BYTES = 4 * WIDTH


def payload(rows):
    array = np.asarray(rows, dtype="<f4").reshape(-1, WIDTH)
    return bytes([len(array)]) + array.tobytes()


def request(*payloads):
    array = np.empty(len(payloads), dtype=object)
    array[:] = payloads
    return {"examples": array}


class ToyBound(BoundConverter):
    """Each payload is a count byte and that many rows of three float32."""

    signature = Signature(
        inputs={"examples": TensorSpec(name="examples", dtype=DType.STRING, shape=(None,))},
        outputs={},
        source="converter",
    )
    fills = 0

    def plan(self, inputs):
        payloads = inputs["examples"].tolist()
        counts = []
        for row, item in enumerate(payloads):
            if not item:
                raise DecodeError("toy: expected a count", offset=0, row=row)
            if len(item) != 1 + item[0] * ROW_BYTES:
                raise DecodeError("toy: wrong length", offset=len(item), row=row)
            counts.append(item[0])
        num_rows = sum(counts)
        return Plan(
            num_rows=num_rows,
            row_ends=np.cumsum(counts, dtype=np.int64),
            size_bytes=num_rows * ROW_BYTES,
            rows={"x": RowSpec(DType.FLOAT32, (WIDTH,))},
            payload=payloads,
        )

    def fill(self, plan, out):
        start = 0
        for item in plan.payload:
            out["x"][start : start + item[0]] = np.frombuffer(item, "<f4", offset=1).reshape(-1, WIDTH)
            start += item[0]
        self.fills += 1

    def metrics(self):
        return [
            ConverterMetric(name="fills_total", kind="counter", meaning="Fills.", samples=[((), self.fills)])
        ]


GOOD_INPUTS = [
    request(payload([[1, 2, 3]])),
    request(payload([[4, 5, 6], [np.nan, 8, 9]]), payload([]), payload([[10, 11, 12]])),
]
EXPECTED = [
    {"x": np.array([[1, 2, 3]], np.float32)},
    {"x": np.array([[4, 5, 6], [np.nan, 8, 9], [10, 11, 12]], np.float32)},
]


COLUMNS = [{"x": each["x"].astype(np.float64)} for each in EXPECTED]


class ToyEncoder(PayloadEncoder):
    """The way back: one payload, in which all rows are."""

    input_name = "examples"

    def encode(self, columns):
        for name, array in columns.items():
            if name != "x" or array.dtype.kind != "f" or array.shape[1:] != (WIDTH,):
                raise RequestError("toy: expected rows of three floats", tensor=name)
        return request(payload(columns["x"]))["examples"]


class TestToyConverter(ConverterConformance):
    plugin_module = "navi_core.contracts.converter"

    @pytest.fixture
    def bind(self):
        return ToyBound

    @pytest.fixture
    def good_inputs(self):
        return GOOD_INPUTS

    @pytest.fixture
    def expected(self):
        return EXPECTED

    @pytest.fixture
    def encoder(self):
        return ToyEncoder()

    @pytest.fixture
    def columns(self):
        return COLUMNS


class _WritesOneRowTooMany(ToyBound):
    def fill(self, plan, out):
        whole = out["x"].base
        super().fill(plan, out)
        whole[-2] = 7.0


class _LeavesRowsUnwritten(ToyBound):
    def fill(self, plan, out):
        super().fill(plan, {"x": out["x"][:0]} if plan.num_rows == 1 else out)


class _TakesTruncatedPayloads(ToyBound):
    def plan(self, inputs):
        padded = [
            item if item and len(item) == 1 + item[0] * ROW_BYTES else payload([])
            for item in inputs["examples"].tolist()
        ]
        return super().plan(request(*padded))


class _RaisesOtherErrors(ToyBound):
    def plan(self, inputs):
        try:
            return super().plan(inputs)
        except DecodeError as error:
            raise IndexError(str(error)) from None


class _MiscountsBytes(ToyBound):
    def plan(self, inputs):
        return dataclasses.replace(super().plan(inputs), size_bytes=1)


class _KeepsStateInFill(ToyBound):
    def fill(self, plan, out):
        super().fill(plan, out)
        if self.fills > 3:
            out["x"][...] = self.fills


class _CountsDown(ToyBound):
    def metrics(self):
        (metric,) = super().metrics()
        return [dataclasses.replace(metric, samples=[((), 100 - self.fills)])]


class _NamesItsCounterBadly(ToyBound):
    def metrics(self):
        (metric,) = super().metrics()
        return [dataclasses.replace(metric, name="fills")]


class _WritesItsInputs(ToyBound):
    def plan(self, inputs):
        plan = super().plan(inputs)
        inputs["examples"][...] = b""
        return plan


class _ReversesPayloads(ToyBound):
    def fill(self, plan, out):
        super().fill(dataclasses.replace(plan, payload=plan.payload[::-1]), out)


class _FillsAtMostAHundred(ToyBound):
    def fill(self, plan, out):
        super().fill(plan, out)
        out["x"][100:] = 0


class _NamesTheFirstPayload(ToyBound):
    def plan(self, inputs):
        try:
            return super().plan(inputs)
        except DecodeError as error:
            raise DecodeError("toy: wrong", offset=error.offset, row=0) from None


class _BlamesTheServer(ToyBound):
    def plan(self, inputs):
        try:
            return super().plan(inputs)
        except DecodeError as error:
            raise DecodeError(error.message, row=error.row, code=ErrorCode.INTERNAL) from None


class _TakesMemoryFirst(ToyBound):
    """Believes a length of its own format that is not there."""

    def plan(self, inputs):
        for item in inputs["examples"].tolist():
            if item.startswith(b"\x1a\xff"):
                raise MemoryError(item.hex())
        return super().plan(inputs)


class _BreaksAfterARefusal(ToyBound):
    broken = False

    def plan(self, inputs):
        try:
            return super().plan(inputs)
        except DecodeError:
            self.broken = True
            raise

    def fill(self, plan, out):
        super().fill(plan, out)
        if self.broken:
            out["x"][...] = -1


class _FillsZerosInBatches(ToyBound):
    def fill(self, plan, out):
        super().fill(plan, out)
        if out["x"].base is not None and len(out["x"].base) > 6 + plan.num_rows:
            out["x"][...] = 0


class _SaysThatItTakesAnyRank(ToyBound):
    signature = dataclasses.replace(
        ToyBound.signature, inputs={"examples": TensorSpec(name="examples", dtype=DType.STRING, shape=None)}
    )


class _SaysThatItNeedsNothing(ToyBound):
    signature = dataclasses.replace(
        ToyBound.signature,
        inputs={"examples": TensorSpec(name="examples", dtype=DType.STRING, shape=(None,), optional=True)},
    )


class _NeedsAnotherName(ToyBound):
    signature = dataclasses.replace(
        ToyBound.signature,
        inputs={**ToyBound.signature.inputs, "more": TensorSpec(name="more", dtype=DType.INT8, shape=None)},
    )


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (_CountsDown, "test_counters_never_go_down"),
        (_NamesItsCounterBadly, "test_metrics_are_well_formed"),
        (_FillsAtMostAHundred, "test_many_payloads"),
        (_NamesTheFirstPayload, "test_a_refusal_says_which_payload_it_is_about"),
        (_BlamesTheServer, "test_a_refusal_says_which_payload_it_is_about"),
        (_TakesMemoryFirst, "test_hostile_payloads_are_filled_or_refused"),
        (_BreaksAfterARefusal, "test_refusals_leave_the_converter_right"),
        (_BreaksAfterARefusal, "test_host_refuses_bad_payloads_beside_good_ones"),
        (_BlamesTheServer, "test_host_refuses_bad_payloads_beside_good_ones"),
        (_NeedsAnotherName, "test_host_gives_the_model_what_is_filled"),
        (_FillsZerosInBatches, "test_host_batches_fill_like_single_requests"),
        (_SaysThatItTakesAnyRank, "test_host_refuses_what_does_not_fit"),
        (_SaysThatItNeedsNothing, "test_host_refuses_what_does_not_fit"),
        (_WritesOneRowTooMany, "test_fill_writes_every_element_of_its_rows_and_nothing_else"),
        (_LeavesRowsUnwritten, "test_fill_gives_the_expected_tensors"),
        (_MiscountsBytes, "test_plan_counts_rows_and_bytes"),
        (_TakesTruncatedPayloads, "test_truncated_payloads_are_refused_by_plan"),
        (_RaisesOtherErrors, "test_truncated_payloads_are_refused_by_plan"),
        (_RaisesOtherErrors, "test_damaged_payloads_are_filled_or_refused"),
        (_RaisesOtherErrors, "test_random_bytes_are_filled_or_refused"),
        (_KeepsStateInFill, "test_plans_and_fills_run_side_by_side"),
        (_KeepsStateInFill, "test_a_batch_is_its_requests_one_after_the_other"),
        (_WritesItsInputs, "test_plan_and_fill_leave_the_inputs_alone"),
        (_ReversesPayloads, "test_one_request_with_the_payloads_of_two_gives_the_rows_of_both"),
    ],
)
def test_suite__catches_a_wrong_converter(wrong, law):
    arguments = [wrong(), GOOD_INPUTS]
    if law in ("test_fill_gives_the_expected_tensors", "test_plan_counts_rows_and_bytes"):
        arguments.append(EXPECTED)
    with pytest.raises((AssertionError, ValueError, NaviError, pytest.fail.Exception)):
        getattr(ConverterConformance(), law)(*arguments)


class _LosesTheLastRow(ToyEncoder):
    def encode(self, columns):
        return super().encode({"x": columns["x"][:-1]})


class _MultipliesByTheRows(ToyEncoder):
    def encode(self, columns):
        return super().encode({"x": columns["x"] * len(columns["x"])})


class _GivesArrays(ToyEncoder):
    def encode(self, columns):
        return np.array(super().encode(columns).tolist())


class _MeansAnotherInput(ToyEncoder):
    input_name = "example"


class _AddsARow(ToyEncoder):
    def encode(self, columns):
        return super().encode({"x": np.concatenate([columns["x"], np.zeros((1, WIDTH))])})


class _WritesItsColumns(ToyEncoder):
    def encode(self, columns):
        columns["x"][...] += 1
        return super().encode(columns)


class _CountsItsCalls(ToyEncoder):
    calls = 0

    def encode(self, columns):
        self.calls += 1
        return super().encode({"x": columns["x"] + self.calls})


class _BlamesNobody(ToyEncoder):
    def encode(self, columns):
        try:
            return super().encode(columns)
        except RequestError as error:
            raise RequestError(error.message) from None


class _RaisesValueErrors(ToyEncoder):
    def encode(self, columns):
        try:
            return super().encode(columns)
        except RequestError as error:
            raise ValueError(error.message) from None


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (_LosesTheLastRow, "test_encoded_columns_fill_to_the_expected_tensors"),
        (_MultipliesByTheRows, "test_rows_encoded_one_by_one_are_the_rows_of_all"),
        (_GivesArrays, "test_encoder_makes_payloads_for_a_string_input_of_the_converter"),
        (_MeansAnotherInput, "test_encoder_makes_payloads_for_a_string_input_of_the_converter"),
        (_AddsARow, "test_no_rows_are_encoded_as_none"),
        (_WritesItsColumns, "test_encoder_leaves_the_columns_alone"),
        (_CountsItsCalls, "test_encoder_runs_side_by_side"),
        (_BlamesNobody, "test_encoder_refuses_what_the_format_cannot_hold"),
        (_RaisesValueErrors, "test_encoder_refuses_what_the_format_cannot_hold"),
    ],
)
def test_suite__catches_a_wrong_encoder(wrong, law):
    columns = [{"x": each["x"].copy()} for each in COLUMNS]
    values = {"bound": ToyBound(), "encoder": wrong(), "columns": columns, "expected": EXPECTED}
    case = getattr(ConverterConformance(), law)
    with pytest.raises((AssertionError, ValueError, TypeError, pytest.fail.Exception)):
        case(*(values[name] for name in inspect.signature(case).parameters))


def test_suite__names_the_seed_of_a_failure():
    with pytest.raises(pytest.fail.Exception, match=r"IndexError instead of DecodeError.*seed 20221220"):
        ConverterConformance().test_damaged_payloads_are_filled_or_refused(_RaisesOtherErrors(), GOOD_INPUTS)


def test_suite__takes_a_format_whose_prefixes_are_payloads():
    class Lenient(ConverterConformance):
        truncation_is_refused = False

    Lenient().test_truncated_payloads_are_refused_by_plan(_TakesTruncatedPayloads(), GOOD_INPUTS)


def test_suite__skips_damage_without_payload_bytes():
    class Numeric(ToyBound):
        pass

    with pytest.raises(pytest.skip.Exception):
        ConverterConformance().test_damaged_payloads_are_filled_or_refused(Numeric(), [{"x": np.zeros(2)}])


def _cycles(bind, cycles=3, **attributes):
    suite = type("Suite", (ConverterConformance,), attributes)()
    properties = {}
    suite.test_memory_of_bind_and_unbind_cycles(bind, GOOD_INPUTS, cycles, properties.__setitem__)
    return properties


def test_suite__sees_a_bound_converter_that_is_kept():
    kept = []

    def bind():
        kept.append(ToyBound())
        return kept[-1]

    with pytest.raises(pytest.fail.Exception, match="something keeps it"):
        _cycles(bind)


def test_suite__judges_the_memory_of_binding():
    class Leaks(ToyBound):
        leaked: ClassVar = []

        def __init__(self):
            self.leaked.append(np.ones(1_000_000, np.uint8))

    # many: memory that another thread of this process takes meanwhile is no slope then
    [text] = _cycles(ToyBound, 200).values()
    assert text.startswith("Suite: ")
    with pytest.raises(AssertionError, match="resident memory grows with each cycle"):
        _cycles(Leaks, 45)


SUITES = """
import pytest
from navi_core.testing import ConverterConformance

class TestNothing(ConverterConformance):
    pass

class TestBoundOnly(ConverterConformance):
    @pytest.fixture
    def bound(self):
        return None

    @pytest.fixture
    def good_inputs(self):
        return []
"""


def test_suite__says_what_a_subclass_must_give(pytester):
    pytester.makepyfile(SUITES)
    result = pytester.runpytest_subprocess("-k", "memory", "-rs", "-p", "no:cacheprovider")
    result.assert_outcomes(errors=1, skipped=1)
    result.stdout.fnmatch_lines(["*TestBoundOnly overrides the fixture 'bound' only*"])
    result.stdout.fnmatch_lines(["*NotImplementedError: TestNothing must override the fixture 'bind'*"])
