"""tf_example: what fills what, what is refused and with what words, and any example against TensorFlow's rules."""

from __future__ import annotations

import contextlib

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from navi_core.config.load import convert_options
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter import RowSpec
from navi_core.converters.tf_example.converter import TfExampleConverter
from navi_core.converters.tf_example.options import TfExampleOptions
from navi_core.errors import ConfigError, DecodeError, ModelLoadError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType, numpy_dtype
from navi_core.testing.registries import registry_of
from navi_core.wire.tf_serving import Example

ARTIFACT = Artifact(name="m", version=1, files={})


def spec(dtype, *row, name="x", **more):
    return TensorSpec(name=name, dtype=dtype, shape=("batch", *row), **more)


def bind(*specs, **options):
    signature = Signature(inputs={each.name: each for each in specs}, outputs={}, batchable=True)
    return TfExampleConverter().bind(ARTIFACT, signature, convert_options(TfExampleOptions, options))


def example(**features):
    """``x_float=[1.5]`` is a float_list of the feature ``x``; ``x_none`` a feature without a list."""
    message = Example()
    for word, values in features.items():
        name, _, kind = word.rpartition("_")
        feature = message.features.feature[name]
        if kind != "none":
            values_of = getattr(feature, f"{kind}_list")
            values_of.SetInParent()
            values_of.value.extend(values)
    return message.SerializeToString()


def strings(*payloads):
    array = np.empty(len(payloads), dtype=object)
    array[:] = payloads
    return {"examples": array}


def convert(bound, *payloads):
    plan = bound.plan(strings(*payloads))
    out = {
        name: np.zeros((plan.num_rows, *row.shape), numpy_dtype(row.dtype)) for name, row in plan.rows.items()
    }
    bound.fill(plan, out)
    return out


def refusal(bound, *payloads):
    with pytest.raises(DecodeError) as caught:
        convert(bound, *payloads)
    return caught.value


# --- values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64])
def test_floats_of_every_width(dtype):
    values = [1.5, -0.25, np.inf, np.nan]
    filled = convert(bind(spec(dtype, 4)), example(x_float=values))["x"]
    assert filled.dtype == numpy_dtype(dtype)
    np.testing.assert_array_equal(filled.astype(np.float64), [values])


@pytest.mark.parametrize(("dtype", "value"), [(DType.FLOAT16, 70000.0), (DType.BFLOAT16, 3.4028235e38)])
def test_a_float_that_would_become_infinite_is_refused(dtype, value):
    error = refusal(bind(spec(dtype, 2)), example(x_float=[1, 2]), example(x_float=[3, value]))
    assert error.message.startswith(f"feature 'x': expected values that {dtype} holds, got ")
    assert error.message.endswith("(at payload 1)")
    assert (error.row, error.tensor) == (1, "x")


BOUNDS = {
    DType.INT8: (-128, 127),
    DType.INT16: (-32768, 32767),
    DType.INT32: (-(2**31), 2**31 - 1),
    DType.INT64: (-(2**63), 2**63 - 1),
    DType.UINT8: (0, 255),
    DType.UINT16: (0, 65535),
    DType.UINT32: (0, 2**32 - 1),
    DType.UINT64: (0, 2**63 - 1),
    DType.BOOL: (0, 1),
}


@pytest.mark.parametrize(("dtype", "bounds"), BOUNDS.items())
def test_integers_within_the_bounds_of_their_type(dtype, bounds):
    bound = bind(spec(dtype, 2))
    filled = convert(bound, example(x_int64=bounds))["x"]
    assert filled.dtype == numpy_dtype(dtype)
    assert filled.tolist() == [[bool(value) if dtype is DType.BOOL else value for value in bounds]]
    for beyond in (bounds[0] - 1, bounds[1] + 1):
        if -(2**63) <= beyond < 2**63:
            error = refusal(bound, example(x_int64=bounds), example(x_int64=[bounds[0], beyond]))
            assert (error.row, error.tensor) == (1, "x")
            assert f"got {beyond} (at payload 1)" in error.message


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [(DType.BFLOAT16, 2**8), (DType.FLOAT16, 2**11), (DType.FLOAT32, 2**24), (DType.FLOAT64, 2**53)],
)
def test_integers_as_floats_where_it_is_said_and_exact(dtype, largest):
    bound = bind(spec(dtype), features={"x": {"dtype": "int64"}})
    assert convert(bound, example(x_int64=[-largest]))["x"].tolist() == [-largest]
    assert refusal(bound, example(x_int64=[largest + 1])).row == 0


def test_strings_are_any_bytes():
    filled = convert(bind(spec(DType.STRING, 3)), example(x_bytes=[b"\xff", b"", b"a" * 300]))["x"]
    assert filled.tolist() == [[b"\xff", b"", b"a" * 300]]


def test_rows_keep_their_order_and_shape():
    filled = convert(
        bind(spec(DType.INT64, 2, 2)), *(example(x_int64=range(4 * row, 4 * row + 4)) for row in range(3))
    )
    np.testing.assert_array_equal(filled["x"], np.arange(12).reshape(3, 2, 2))


def test_two_inputs_may_share_a_feature_under_another_name():
    bound = bind(
        spec(DType.FLOAT32, name="a"),
        spec(DType.FLOAT64, name="b"),
        features={"a": {"feature": "shared"}, "b": {"feature": "shared"}},
    )
    filled = convert(bound, example(shared_float=[2.5]))
    assert (filled["a"].tolist(), filled["b"].tolist()) == ([2.5], [2.5])


# --- what is missing --------------------------------------------------------------------------------------

MISSING = {"no such feature": example(other_float=[1]), "no list": example(x_none=None), "nothing": b""}


@pytest.mark.parametrize("payload", MISSING.values(), ids=MISSING)
def test_a_missing_feature_has_its_default_or_is_refused(payload):
    good = example(x_float=[7, 8])
    filled = convert(
        bind(spec(DType.FLOAT32, 2), features={"x": {"default": [1, 2.5]}}), payload, good, payload
    )
    assert filled["x"].tolist() == [[1, 2.5], [7, 8], [1, 2.5]]
    error = refusal(bind(spec(DType.FLOAT32, 2)), good, payload)
    assert error.message == (
        "feature 'x': expected 2 float values, got none, and there is no default (at payload 1)"
    )


@pytest.mark.parametrize(
    ("dtype", "default", "row"),
    [
        (DType.FLOAT32, -1, [-1.0, -1.0]),
        (DType.INT8, 3, [3, 3]),
        (DType.BOOL, True, [True, True]),
        (DType.STRING, "né", ["né".encode()] * 2),
        (DType.STRING, ["a", ""], [b"a", b""]),
    ],
)
def test_defaults_of_every_kind(dtype, default, row):
    assert convert(bind(spec(dtype, 2), features={"x": {"default": default}}), b"")["x"].tolist() == [row]


def test_the_models_own_default_counts_and_what_is_said_comes_first():
    own = spec(DType.FLOAT32, 2, default=np.array([[1, 2]], np.float32))
    assert convert(bind(own), b"")["x"].tolist() == [[1, 2]]
    assert convert(bind(own, features={"x": {"default": 0}}), b"")["x"].tolist() == [[0, 0]]


def test_a_default_costs_no_memory_before_it_is_filled():
    bound = bind(spec(DType.FLOAT32, 2**40), features={"x": {"default": 0}})
    assert bound.plan(strings(b"", b"")).size_bytes == 2 * 4 * 2**40


def test_inputs_that_the_model_has_a_value_for_are_left_to_it():
    x = spec(DType.FLOAT32)
    optional = spec(DType.FLOAT32, name="maybe", optional=True)
    scalar = TensorSpec(name="k", dtype=DType.FLOAT32, shape=(), default=np.array(3, np.float32))
    assert set(bind(x, optional, scalar).plan(strings()).rows) == {"x"}
    said = bind(x, optional, features={"maybe": {"default": 1}})
    assert convert(said, example(x_float=[2]))["maybe"].tolist() == [1]


# --- what is refused ------------------------------------------------------------------------------------

NUMBERS = bind(spec(DType.FLOAT32, 2))
REFUSED = {
    "another kind": (
        NUMBERS,
        example(x_int64=[1, 2]),
        "feature 'x': expected 2 float values, got int64_list",
    ),
    "too few": (NUMBERS, example(x_float=[1]), "feature 'x': expected 2 float values, got 1"),
    "too many": (NUMBERS, example(x_float=[1, 2, 3]), "feature 'x': expected 2 float values, got 3"),
    "an empty list": (NUMBERS, example(x_float=[]), "feature 'x': expected 2 float values, got 0"),
    "one of one": (bind(spec(DType.INT64)), example(x_int64=[1, 2]), "expected 1 int64 value, got 2"),
    "strings": (bind(spec(DType.STRING, 1)), example(x_bytes=[b"a"] * 900), "expected 1 bytes value, got 2"),
    "no example": (NUMBERS, b"\xff", "expected a tensorflow.Example, got bytes that are none"),
    "open size": (
        bind(spec(DType.INT64, None, 3)),
        example(x_int64=[1, 2]),
        "expected int64 values, a multiple of 3, got 2",
    ),
}


@pytest.mark.parametrize(("bound", "payload", "text"), REFUSED.values(), ids=REFUSED)
def test_refused_by_plan_with_the_feature_and_the_row(bound, payload, text):
    with pytest.raises(DecodeError) as caught:
        bound.plan(strings(payload))
    assert text in caught.value.message
    assert caught.value.message.endswith("(at payload 0)")
    assert caught.value.row == 0


def feature(*pieces):
    """An Example whose feature ``x`` is these bytes."""
    value = b"".join(pieces)
    entry = b"\x0a\x01x\x12" + bytes([len(value)]) + value
    features = b"\x0a" + bytes([len(entry)]) + entry
    return b"\x0a" + bytes([len(features)]) + features


INTEGERS = bind(spec(DType.INT64, 2))
WORDS = bind(spec(DType.STRING, 2))


@pytest.mark.parametrize(
    ("bound", "payload"),
    [
        (NUMBERS, feature(b"\x12\x06\x0a\x04abc")),  # cut inside the run
        (NUMBERS, feature(b"\x12\x07\x0a\x05abcde")),  # no multiple of four bytes
        (NUMBERS, feature(b"\x12")),
        (NUMBERS, feature(b"\x12\xff\xff\xff\xff\xff\xff")),
        (INTEGERS, feature(b"\x1a\x04\x0a\x02\x01\x80")),  # a varint without an end
        (INTEGERS, feature(b"\x1a\x0e\x0a\x0c\x01", b"\xff" * 10, b"\x01")),  # of eleven bytes
        (WORDS, feature(b"\x0a\x04\x0a\x05ab")),
        (WORDS, feature(b"\x0a\x05\x0a\x01a\x0a\x02")),
    ],
)
def test_malformed_lists_are_refused_by_plan(bound, payload):
    with pytest.raises(DecodeError, match=r"feature 'x': .* \(at payload 0\)"):
        bound.plan(strings(payload))


@pytest.mark.parametrize(
    ("bound", "payload", "expected"),
    [
        (NUMBERS, feature(b"\x12\x0a\x0d\x00\x00\x80\x3f\x0d\x00\x00\x00\x40"), [1, 2]),  # not packed
        (NUMBERS, feature(b"\x12\x0c\x0a\x04\x00\x00\x80\x3f\x0a\x04\x00\x00\x00\x40"), [1, 2]),  # two runs
        (NUMBERS, feature(b"\x12\x06\x0a\x04\x00\x00\x80\x3f", b"\x12\x06\x0a\x04\x00\x00\x00\x40"), [1, 2]),
        (
            NUMBERS,
            feature(b"\x1a\x00", b"\x12\x0a\x0a\x08", np.float32([1, 2]).tobytes()),
            [1, 2],
        ),  # last kind
        (INTEGERS, feature(b"\x1a\x04\x08\x01\x08\x7f"), [1, 127]),
        (INTEGERS, feature(b"\x1a\x07\x08\x01\x0a\x03\xff\xff\x01"), [1, 32767]),
        (WORDS, feature(b"\x0a\x0a\x0a\x01a\x12\x01?\x0a\x02bc"), [b"a", b"bc"]),  # an unknown field between
    ],
)
def test_unusual_encodings_mean_what_they_mean_to_protobuf(bound, payload, expected):
    assert convert(bound, payload)["x"].tolist() == [expected]


def test_a_context_written_in_front_gives_way():
    bound = bind(spec(DType.FLOAT32, name="a"), spec(DType.FLOAT32, name="b"))
    filled = convert(bound, example(a_float=[1], b_float=[2]) + example(b_float=[3]))
    assert (filled["a"].tolist(), filled["b"].tolist()) == ([1], [3])


# --- open sizes -----------------------------------------------------------------------------------------


def test_an_open_size_comes_from_the_examples():
    bound = bind(spec(DType.FLOAT32, None, 2))
    plan = bound.plan(strings(example(x_float=range(6)), example(x_float=range(6))))
    assert plan.rows == {"x": RowSpec(DType.FLOAT32, (3, 2))}
    assert plan.size_bytes == 48
    error = refusal(bound, example(x_float=range(6)), example(x_float=range(4)))
    assert error.message == "feature 'x': expected 6 values as in the examples before, got 4 (at payload 1)"


def test_an_open_size_may_be_zero():
    assert convert(bind(spec(DType.STRING, None)), example(x_bytes=[]))["x"].shape == (1, 0)


def test_an_open_size_may_come_from_the_default():
    bound = bind(spec(DType.INT32, None), features={"x": {"default": [4, 5]}})
    assert convert(bound, b"", example(x_int64=[1, 2]))["x"].tolist() == [[4, 5], [1, 2]]


def test_a_said_shape_closes_open_sizes_and_gives_an_unknown_rank():
    bound = bind(spec(DType.FLOAT32, None, None), features={"x": {"shape": [2, 1]}})
    assert convert(bound, example(x_float=[1, 2]))["x"].shape == (1, 2, 1)
    unknown = TensorSpec(name="x", dtype=DType.FLOAT32)
    assert convert(bind(unknown, features={"x": {"shape": []}}), example(x_float=[1]))["x"].shape == (1,)


# --- binding --------------------------------------------------------------------------------------------

X = spec(DType.FLOAT32, 2)
UNBINDABLE = {
    "unknown input": ((X,), {"y": {}}, "expected names of the model's inputs (x), got features.y"),
    "scalar": ((TensorSpec(name="x", dtype=DType.INT8, shape=()),), {}, "input 'x' is a scalar"),
    "unknown rank": ((TensorSpec(name="x", dtype=DType.INT8),), {}, "its rank is unknown: say the shape"),
    "two open sizes": (
        (spec(DType.INT8, None, "m"),),
        {},
        "one open size at most, got (?, m): say the shape",
    ),
    "open beside zero": ((spec(DType.INT8, None, 0),), {}, "one open size at most, got (?, 0)"),
    "complex": ((spec(DType.COMPLEX64),), {}, "examples cannot hold values of dtype complex64"),
    "float8": ((spec(DType.FLOAT8_E5M2),), {}, "examples cannot hold values of dtype float8_e5m2"),
    "wrong shape": ((X,), {"x": {"shape": [3]}}, "features.x.shape: expected one that fits (2,), got [3]"),
    "wrong dtype": (
        (X,),
        {"x": {"dtype": "string"}},
        "features.x.dtype: expected float32 for an input of dtype float32, got string",
    ),
    "default of another kind": ((X,), {"x": {"default": "1"}}, "expected values of dtype float32, got '1'"),
    "default out of range": (
        (spec(DType.UINT8),),
        {"x": {"default": 256}},
        "features.x.default: expected values of dtype uint8, got 256",
    ),
    "default beyond a half": (
        (spec(DType.FLOAT16),),
        {"x": {"default": 1e6}},
        "features.x.default: expected values that float16 holds, got 1000000.0",
    ),
    "integer for a bool": (
        (spec(DType.BOOL),),
        {"x": {"default": 1}},
        "expected values of dtype bool, got 1",
    ),
    "default of another size": (
        (X,),
        {"x": {"default": [1, 2, 3]}},
        "default of input 'x': expected values for a row of shape (2,), got 3",
    ),
    "nothing to fill": ((spec(DType.INT8, optional=True),), {}, "no input that examples could fill"),
}


@pytest.mark.parametrize(("specs", "features", "text"), UNBINDABLE.values(), ids=UNBINDABLE)
def test_a_model_that_examples_cannot_fill_is_not_loaded(specs, features, text):
    with pytest.raises(ModelLoadError) as caught:
        bind(*specs, features=features)
    assert caught.value.message.startswith("converter 'tf_example', version 1 of model 'm': ")
    assert text in caught.value.message


def test_misspelt_options_are_refused():
    with pytest.raises(ConfigError, match="defalt: unknown key"):
        bind(X, features={"x": {"defalt": 1}})


def test_the_signature_is_one_string_a_row():
    outputs = {"y": spec(DType.FLOAT32, name="y")}
    model = Signature(inputs={"x": X}, outputs=outputs, batchable=False, not_batchable_because="why not")
    bound = TfExampleConverter().bind(ARTIFACT, model, TfExampleOptions(input_name="inputs"))
    assert bound.signature.inputs == {"inputs": TensorSpec(name="inputs", dtype=DType.STRING, shape=(None,))}
    assert (bound.signature.outputs, bound.signature.source) == (outputs, "converter")
    assert not bound.signature.batchable


def test_it_is_never_chosen_unasked():
    registry = registry_of()
    assert registry.select_converter(Artifact(name="m", version=1, files={"anything": b""})) is None
    assert registry.converter("tf_example").name == "tf_example"


# --- any example ------------------------------------------------------------------------------------------

ANY_SPECS = (
    spec(DType.FLOAT32, 3, name="f"),
    spec(DType.INT64, 3, name="i"),
    spec(DType.STRING, None, name="s"),
)
ANY = bind(*ANY_SPECS)


@given(
    floats=arrays.arrays(np.float32, (2, 3)),
    integers=arrays.arrays(np.int64, (2, 3)),
    words=st.integers(0, 5).flatmap(
        lambda size: st.lists(
            st.lists(st.binary(max_size=200), min_size=size, max_size=size), min_size=2, max_size=2
        )
    ),
)
def test_what_went_in_comes_out(floats, integers, words):
    filled = convert(
        ANY,
        *(
            example(f_float=floats[row].tolist(), i_int64=integers[row].tolist(), s_bytes=words[row])
            for row in range(2)
        ),
    )
    np.testing.assert_array_equal(filled["f"], floats)
    np.testing.assert_array_equal(filled["i"], integers)
    assert filled["s"].tolist() == words


@given(st.binary(max_size=80))
def test_any_bytes_are_converted_or_refused(payload):
    good = example(f_float=[1, 2, 3], i_int64=[1, -2, 3], s_bytes=[b"a"])
    with contextlib.suppress(DecodeError):
        convert(ANY, payload)
    with contextlib.suppress(DecodeError):
        convert(ANY, good + payload)


@given(st.data())
def test_a_damaged_example_is_converted_as_protobuf_reads_it_or_refused(data):
    good = bytearray(example(f_float=[1, 2, 3], i_int64=[1, -2, 300], s_bytes=[b"a", b"bc"]))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        filled = convert(ANY, bytes(good))
    except DecodeError:
        return
    features = Example.FromString(bytes(good)).features.feature
    np.testing.assert_array_equal(filled["f"][0], np.array(features["f"].float_list.value, np.float32))
    assert filled["i"][0].tolist() == list(features["i"].int64_list.value)
    assert filled["s"][0].tolist() == list(features["s"].bytes_list.value)


def test_bfloat16_is_what_ml_dtypes_calls_it():
    assert convert(bind(spec(DType.BFLOAT16)), example(x_float=[1]))["x"].dtype == ml_dtypes.bfloat16
