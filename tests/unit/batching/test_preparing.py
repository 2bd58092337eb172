"""From a request to a prepared one: names, dtypes, shapes, keys, and the converter's part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.batching.preparing import Preparer, prepare
from navi_core.batching.queue import BatchPolicy
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter import BoundConverter, Plan, RowSpec
from navi_core.contracts.runtime import Servable
from navi_core.errors import (
    InputNamesError,
    LifecycleError,
    OutputNamesError,
    RequestError,
    RequestTooLargeError,
    SignatureNotFoundError,
    TensorMismatchError,
)
from navi_core.messages import InferenceRequest
from navi_core.models.served import LoadedVersion, ServedSignature
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from navi_core.tensors import DType, numpy_dtype


def spec(name, *shape, dtype=DType.FLOAT32, **more):
    return TensorSpec(name=name, dtype=dtype, shape=shape, **more)


SIGNATURE = Signature(
    inputs={
        "x": spec("x", "batch", None),
        "mask": spec("mask", "batch", dtype=DType.BOOL, optional=True),
        "threshold": spec("threshold", optional=True),
    },
    outputs={"y": spec("y", "batch"), "z": spec("z", "batch", 2)},
    batchable=True,
)


class Nothing(Servable):
    signatures = {}
    batch_parameters = frozenset({"temperature"})

    def run(self, signature, inputs, outputs, ctx):
        raise AssertionError("never run")


class Plain(Nothing):
    batch_parameters = frozenset()


class Bytes(BoundConverter):
    signature = Signature(
        inputs={"examples": spec("examples", None, dtype=DType.STRING)},
        outputs=SIGNATURE.outputs,
        batchable=True,
    )
    rows = {"x": RowSpec(DType.FLOAT32, (3,))}

    def plan(self, inputs):
        count = len(inputs["examples"])
        return Plan(num_rows=2 * count, row_ends=np.arange(count), size_bytes=24 * count, rows=self.rows)

    def fill(self, plan, out):
        raise AssertionError("never filled")


def loaded(signature=SIGNATURE, converter=None):
    client = converter.signature if converter else signature
    served = ServedSignature(name=DEFAULT_SIGNATURE, model=signature, client=client, converter=converter)
    return LoadedVersion(
        artifact=Artifact(name="m", version=1, path=Path("m")),
        servable=Nothing(),
        runtime="r",
        kind="k",
        converter="",
        signatures={DEFAULT_SIGNATURE: served},
        policy=BatchPolicy(),
    )


def request(**fields):
    fields.setdefault("inputs", {"x": np.zeros((2, 3), np.float32)})
    return InferenceRequest(**fields)


def floats(*shape):
    return np.zeros(shape, np.float32)


def test_rows_size_and_outputs():
    prepared = prepare(loaded(), request(body_bytes=1000))

    assert (prepared.num_rows, prepared.size_bytes, prepared.outputs) == (2, 1000, ("y", "z"))


@pytest.mark.parametrize(
    ("other", "together"),
    [
        (request(inputs={"x": floats(7, 3)}), True),
        (request(inputs={"x": floats(2, 4)}), False),
        (request(outputs=("y",)), False),
        (request(outputs=("z", "y")), False),
        (request(inputs={"x": floats(2, 3), "mask": np.zeros(2, bool)}), False),
        (request(parameters={"temperature": 0.5}), False),
        (request(parameters={"other": 1}), True),
    ],
)
def test_what_batches_together(other, together):
    version = loaded()

    assert (prepare(version, request()).key == prepare(version, other).key) is together


def test_an_optional_input_without_rows_runs_its_request_alone():
    prepared = prepare(loaded(), request(inputs={"x": floats(2, 3), "threshold": np.float32(1).reshape(())}))

    assert prepared.key is None


def with_defaults(**more):
    inputs = {
        "x": spec("x", "batch", 3),
        "bias": spec("bias", "batch", 3, default=np.array([[1, 2, 3]], np.float32)),
        "k": spec("k", default=np.array(2, np.float32)),
        **more,
    }
    return loaded(Signature(inputs=inputs, outputs=SIGNATURE.outputs, batchable=True))


def test_defaults_of_rows_are_filled_in_and_batch_with_those_that_are_sent():
    version = with_defaults()
    left_out = prepare(version, request())
    sent = prepare(version, request(inputs={"bias": floats(4, 3), "x": floats(4, 3)}))

    assert left_out.key == sent.key is not None
    assert left_out.inputs["bias"].tolist() == [[1, 2, 3]] * 2
    assert set(left_out.inputs) == {"x", "bias"}, "a default without rows is added when the batch runs"


def test_a_default_of_one_row_takes_no_memory_before_the_run():
    prepared = prepare(with_defaults(), request(inputs={"x": floats(1000, 3)}))

    assert prepared.inputs["bias"].strides[0] == 0
    assert prepared.size_bytes == 2 * 1000 * 3 * 4


def test_an_input_without_rows_that_is_sent_runs_its_request_alone():
    inputs = {"x": floats(2, 3), "k": np.array(1, np.float32)}

    assert prepare(with_defaults(), request(inputs=inputs)).key is None


def test_a_request_of_nothing_but_defaults_is_one_row():
    everything = with_defaults(x=spec("x", "batch", 3, default=np.zeros((1, 3), np.float32)))
    prepared = prepare(everything, request(inputs={}))

    assert prepared.num_rows == 1
    assert prepared.inputs["bias"].tolist() == [[1, 2, 3]]


def unbatched(*, x=("batch", 3), outputs=SIGNATURE.outputs, **bias):
    inputs = {
        "x": spec("x", *x, **({"shape_is_advisory": True} if bias.pop("is_advisory", False) else {})),
        "bias": spec("bias", *bias.get("shape", ("batch", 3)), default=np.array([[1, 2, 3]], np.float32)),
        "k": spec("k", default=np.array(2, np.float32)),
    }
    return loaded(Signature(inputs=inputs, outputs=outputs, batchable=bias.get("batchable", False)))


@pytest.mark.parametrize(
    ("version", "num_rows", "expected"),
    [
        (unbatched(), 4, 4),
        (unbatched(), 0, 0),
        (unbatched(outputs={"loss": spec("loss")}), 4, 4),  # that is why it does not batch
        (unbatched(x=(None, 3), shape=(None, 3)), 4, 4),
        (unbatched(x=(4, 3)), 4, 1),  # no rows: the dimension is fixed
        (unbatched(x=("points", 3)), 4, 1),  # not its rows
    ],
)
def test_defaults_of_rows_follow_the_rows_where_requests_run_alone(version, num_rows, expected):
    prepared = prepare(version, request(inputs={"x": floats(num_rows, 3)}))

    assert prepared.key is None
    assert prepared.inputs["bias"].tolist() == [[1, 2, 3]] * expected
    assert "k" not in prepared.inputs


def test_defaults_of_rows_follow_the_rows_of_a_shape_that_is_not_declared():
    version = unbatched(batchable=True, is_advisory=True)
    prepared = prepare(version, request(inputs={"x": floats(5, 7)}))

    assert prepared.key is None
    assert prepared.inputs["bias"].shape == (5, 3)


def test_rows_that_only_defaults_give_bytes_are_bounded():
    endless = with_defaults(x=spec("x", "batch", None))

    with pytest.raises(RequestTooLargeError, match="describes 1099511627776 rows"):
        prepare(endless, request(inputs={"x": np.zeros((2**40, 0), np.float32)}))


def test_only_parameters_that_the_servable_reads_reach_it():
    prepared = prepare(loaded(), request(parameters={"temperature": 0.5, "secret": 1}))

    assert dict(prepared.parameters) == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"signature": "other"}, SignatureNotFoundError, "expected one of {serving_default}, got 'other'"),
        ({"outputs": ("q",)}, OutputNamesError, "expected some of {y, z}, got 'q'"),
        ({"outputs": ("y", "y")}, OutputNamesError, "got 'y' twice"),
        ({"inputs": {}}, InputNamesError, "missing {x}"),
        ({"inputs": {"x": floats(1, 1), "w": floats(1)}}, InputNamesError, "unknown {w}"),
        ({"inputs": {"x": np.zeros((2, 3))}}, TensorMismatchError, r"expected dtype float32, got float64"),
        ({"inputs": {"x": floats(2)}}, TensorMismatchError, r"expected shape \(batch, \?\), got \(2,\)"),
        (
            {"inputs": {"x": floats(2, 3), "mask": np.zeros(3, bool)}},
            TensorMismatchError,
            "expected rows 2 as in 'x', got 3",
        ),
        ({"inputs": {"x": np.zeros((1, 1), "M8[s]")}}, TensorMismatchError, "got datetime64"),
    ],
)
def test_what_is_refused(fields, error, text):
    with pytest.raises(error, match=text):
        prepare(loaded(), request(**fields))


def payloads(count):
    return {"examples": np.array([b"p"] * count, dtype=object)}


def test_a_converter_plans_the_rows():
    prepared = prepare(loaded(converter=Bytes()), request(inputs=payloads(3), body_bytes=10))

    assert (prepared.num_rows, prepared.size_bytes, dict(prepared.inputs)) == (6, 82, {})
    assert prepared.plan is not None


def test_the_models_own_inputs_bypass_the_converter():
    prepared = prepare(loaded(converter=Bytes()), request())

    assert prepared.plan is None
    assert prepared.num_rows == 2


def test_a_converter_refuses_inputs_that_are_neither():
    with pytest.raises(InputNamesError, match=r"expected \{examples\}"):
        prepare(loaded(converter=Bytes()), request(inputs={"w": floats(1)}))


def test_rows_that_the_model_cannot_take_are_refused_before_they_are_filled():
    narrow = Signature(inputs={"x": spec("x", 1, 3)}, outputs=SIGNATURE.outputs)

    with pytest.raises(TensorMismatchError, match=r"expected shape \(1, 3\), got \(2, 3\)"):
        prepare(loaded(narrow, Bytes()), request(inputs=payloads(1)))


def test_a_converter_that_fills_what_the_model_does_not_take_is_a_bug():
    other = Signature(inputs={"w": spec("w", None, 3)}, outputs=SIGNATURE.outputs, batchable=True)

    with pytest.raises(LifecycleError, match=r"fills 'x'"):
        prepare(loaded(other, Bytes()), request(inputs=payloads(1)))


def test_a_small_payload_that_describes_rows_without_end_takes_no_memory():
    class Endless(Bytes):
        def plan(self, inputs):
            return Plan(num_rows=10**9, row_ends=np.array([10**9]), size_bytes=12 * 10**9, rows=self.rows)

    with pytest.raises(RequestTooLargeError, match="1000000000 rows"):
        prepare(loaded(converter=Endless()), request(inputs=payloads(1)))


# --- the usual request, looked at once ----------------------------------------------------------------------

SIZES = st.integers(0, 3)
PLAIN_SPECS = st.lists(
    st.tuples(
        st.sampled_from([DType.FLOAT32, DType.INT64, DType.STRING]), st.sampled_from([(), (2,), (None, 2)])
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def signatures_and_inputs(draw):
    """Return a signature and inputs that fit it, or nearly."""
    batchable = draw(st.booleans())
    specs, inputs = {}, {}
    rows = draw(SIZES)
    for index, (dtype, rest) in enumerate(draw(PLAIN_SPECS)):
        name = f"x{index}"
        lead = ("batch",) if batchable or draw(st.booleans()) else ()
        specs[name] = spec(
            name, *lead, *rest, dtype=dtype, optional=draw(st.sampled_from([False] * 9 + [True]))
        )
        shape = [rows if dim == "batch" else draw(SIZES) if dim is None else dim for dim in (*lead, *rest)]
        if shape and draw(st.integers(0, 9)) == 0:
            shape[draw(st.integers(0, len(shape) - 1))] += 1
        if draw(st.integers(0, 19)) == 0:
            shape.append(1)
        sent = draw(st.sampled_from([numpy_dtype(dtype)] * 9 + [np.dtype(np.float64), np.dtype(">f4")]))
        inputs[name] = np.zeros(shape, sent)
    names = draw(st.permutations(list(inputs))) if draw(st.integers(0, 4)) == 0 else list(inputs)
    if draw(st.integers(0, 9)) == 0:
        names = names[1:]
    outputs = {"y": spec("y", "batch"), "z": spec("z", "batch", 2)}
    asked = draw(st.sampled_from([()] * 3 + [("z",), ("z", "y"), ("nothing",)]))
    signature = Signature(inputs=specs, outputs=outputs, batchable=batchable)
    return signature, {name: inputs[name] for name in names}, asked


def outcome(prepare_it, asked):
    """Return all fields of what came of it, the arrays by identity; or the error."""
    try:
        found = prepare_it(asked)
    except RequestError as error:
        return type(error), str(error)
    return {
        field.name: {name: id(array) for name, array in found.inputs.items()}
        if field.name == "inputs"
        else getattr(found, field.name)
        for field in msgspec.structs.fields(found)
    }


@settings(max_examples=300, deadline=None)
@given(signatures_and_inputs(), st.booleans())
def test_a_preparer_sees_what_a_closer_look_sees(case, reads_parameters):
    signature, inputs, outputs = case
    version = loaded(signature)
    if not reads_parameters:
        version = replace(version, servable=Plain())
    asked = request(inputs=inputs, outputs=outputs, body_bytes=7, priority=2, deadline=3.0)
    preparer = Preparer(version, version.signatures[DEFAULT_SIGNATURE])
    assert outcome(preparer, asked) == outcome(lambda one: prepare(version, one), asked)


def test_a_preparer_takes_the_usual_request_without_the_closer_look():
    signature = Signature(
        inputs={"x": spec("x", "batch", 3)}, outputs={"y": spec("y", "batch")}, batchable=True
    )
    version = replace(loaded(signature), servable=Plain())
    preparer = Preparer(version, version.signatures[DEFAULT_SIGNATURE])
    assert preparer._usual(request()) is not None
    assert preparer._usual(request(inputs={"x": floats(2, 4)})) is None
