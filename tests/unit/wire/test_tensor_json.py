"""Reading tensors of JSON requests, and writing them again."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_examples import arrays, same

from navi_core.errors import ErrorCode, InvalidRequestError, NaviError, SignatureNotFoundError
from navi_core.signature import TensorSpec
from navi_core.tensors import DType, dtype_of, numpy_dtype
from navi_core.wire.json_predictions import encode_predictions
from navi_core.wire.tensor_json import decode_json_request

JSON_DTYPES = [
    DType.FLOAT32,
    DType.FLOAT64,
    DType.INT8,
    DType.INT16,
    DType.INT32,
    DType.INT64,
    DType.UINT8,
    DType.UINT32,
    DType.UINT64,
    DType.BOOL,
    DType.STRING,
]


def specs_of(**dtypes):
    return {name: TensorSpec(name=name, dtype=DType(dtype)) for name, dtype in dtypes.items()}


def decode(document, **dtypes):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode_json_request(body, lambda _signature: specs_of(**dtypes))


def refusal(document, **dtypes):
    with pytest.raises(NaviError) as caught:
        decode(document, **dtypes)
    return caught.value


# --- round trips --------------------------------------------------------------------------------


def written(value):
    """Nested lists as JSON text; strings as base64, for any bytes."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, bytes):
        return json.dumps({"b64": base64.b64encode(value).decode()})
    return json.dumps(value)


@settings(deadline=None)
@given(array=arrays(dtypes=st.sampled_from(JSON_DTYPES)))
def test_column_form__gives_back_any_array(array):
    array = _settle(array)
    body = f'{{"inputs": {{"x": {written(array.tolist())}, "unknown": 1}}}}'.encode()
    found = decode(body, x=dtype_of(array))
    assert not found.row_form
    expected = array if array.size else array.reshape(_seen_shape(array.shape))
    assert same(found.inputs["x"], np.ascontiguousarray(expected).reshape(expected.shape))


@settings(deadline=None)
@given(
    array=arrays(
        dtypes=st.sampled_from(JSON_DTYPES), shapes=st.lists(st.integers(1, 3), min_size=1, max_size=3)
    )
)
def test_row_form__equals_column_form(array):
    array = _settle(array)
    dtype = dtype_of(array)
    rows = [written(row) for row in array.tolist()]
    objects = [f'{{"x": {row}}}' for row in rows]
    named = f'{{"instances": [{",".join(objects)}]}}'.encode()
    plain = f'{{"instances": [{",".join(rows)}]}}'.encode()
    column = f'{{"inputs": {written(array.tolist())}}}'.encode()
    wanted = decode(column, x=dtype).inputs["x"]
    for body in (named, plain):
        found = decode(body, x=dtype)
        assert found.row_form
        assert same(found.inputs["x"], wanted)


def _settle(array):
    """NaNs of one kind, as JSON has only one."""
    if array.dtype.kind == "f":
        return np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array


def _seen_shape(shape):
    """The shape that nested lists show of an array without elements."""
    return shape[: shape.index(0) + 1]


@settings(deadline=None)
@given(
    array=arrays(
        dtypes=st.sampled_from(JSON_DTYPES), shapes=st.lists(st.integers(1, 3), min_size=1, max_size=3)
    )
)
def test_answers__read_back_as_the_same_array(array):
    array = _settle(array)
    dtype = dtype_of(array)
    name = "y_bytes" if dtype is DType.STRING else "y"
    for row_form in (True, False):
        text = encode_predictions({name: array}, row_form=row_form)
        key = "predictions" if row_form else "outputs"
        body = b'{"inputs":' + text.partition(b":")[2].rstrip(b"}") + b"}"
        if dtype is DType.STRING:
            body = b'{"inputs":' + text[len(key) + 4 : -1].strip() + b"}"
        assert text.startswith(b'{"' + key.encode())
        assert same(decode(body, x=dtype).inputs["x"], np.ascontiguousarray(array))


# --- dtypes -------------------------------------------------------------------------------------

ACCEPTED = [
    ("float32", "[0.5, 1, -2, 1e3, 16777217]", [0.5, 1, -2, 1000, 16777216]),
    ("float32", "[1e39, -1e39]", [np.inf, -np.inf]),
    ("float64", "[0.1, 9007199254740993, 1e308]", [0.1, 9007199254740992, 1e308]),
    ("float64", "[NaN, Infinity, -Infinity, Inf, -Inf]", [np.nan, np.inf, -np.inf, np.inf, -np.inf]),
    ("float32", "[18446744073709551616]", [2.0**64]),
    ("int32", "[2147483647, -2147483648, -0]", [2**31 - 1, -(2**31), 0]),
    ("int8", "[300, -129, 2147483647]", [44, 127, -1]),
    ("uint8", "[-1, 256]", [255, 0]),
    ("int16", "[65537]", [1]),
    (
        "int64",
        "[9223372036854775807, -9223372036854775808, 9007199254740993]",
        [2**63 - 1, -(2**63), 2**53 + 1],
    ),
    ("uint32", "[0, 4294967295]", [0, 2**32 - 1]),
    ("uint64", "[18446744073709551615]", [2**64 - 1]),
    ("bool", "[true, false]", [True, False]),
    (
        "string",
        '["a", "é", {"b64": "AP8="}, {"b64": "YQ"}, ""]',
        [b"a", "é".encode(), b"\x00\xff", b"a", b""],
    ),
]


@pytest.mark.parametrize(("dtype", "values", "expected"), ACCEPTED, ids=[f"{d} {v}" for d, v, _ in ACCEPTED])
def test_values__are_taken_by_the_signatures_type(dtype, values, expected):
    found = decode(f'{{"inputs": {values}}}'.encode(), x=dtype).inputs["x"]
    wanted = np.empty(len(expected), dtype=numpy_dtype(DType(dtype)))
    wanted[:] = expected
    assert same(found, wanted)


REFUSED = [
    *[("float32", value, kind) for value, kind in [("true", "True"), ('"1"', "String"), ("null", "Null")]],
    *[("int32", value, "Number") for value in ["1.0", "1e3", "2147483648", "-2147483649", "NaN"]],
    *[("int8", value, "Number") for value in ["2147483648", "0.5"]],
    *[("int64", value, "Number") for value in ["1.0", "9223372036854775808", "-9223372036854775809"]],
    *[("uint32", value, "Number") for value in ["-1", "4294967296"]],
    *[("uint64", value, "Number") for value in ["-1", "18446744073709551616"]],
    *[("bool", value, kind) for value, kind in [("0", "Number"), ("1", "Number"), ('"true"', "String")]],
    ("int32", "false", "False"),
    ("string", "1", "Number"),
    ("float64", '{"b64": "YQ=="}', "Object"),
    ("float64", "{}", "Object"),
]


@pytest.mark.parametrize(("dtype", "value", "kind"), REFUSED, ids=[f"{d} {v}" for d, v, _ in REFUSED])
def test_values__of_another_type_are_refused(dtype, value, kind):
    error = refusal(f'{{"inputs": {{"x": [{value}]}}}}'.encode(), x=dtype)
    word = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    assert f" Type: {kind} is not of expected type: {word}" in error.message
    assert (error.code, error.tensor) == (ErrorCode.INVALID_ARGUMENT, "x")


@pytest.mark.parametrize("dtype", ["uint16", "float16", "bfloat16", "complex64", "float8_e5m2"])
@pytest.mark.parametrize("form", ["inputs", "instances"])
def test_values__of_types_without_json_form_are_unimplemented(dtype, form):
    error = refusal({form: [1]}, x=dtype)
    assert error.code is ErrorCode.UNIMPLEMENTED
    assert "Conversion of JSON Value: 1 to type: " in error.message


def test_base64__must_be_valid():
    assert refusal({"inputs": {"x": [{"b64": "!"}]}}, x="string").message == "Unable to base64 decode"
    error = refusal({"inputs": {"x": [{"b65": "YQ=="}]}}, x="string")
    assert "not formatted correctly for base64 data" in error.message


def test_strings__that_are_not_utf8_keep_their_bytes():
    assert decode(b'{"inputs": ["\xff\xfe"]}', x="string").inputs["x"].tolist() == [b"\xff\xfe"]


# --- shapes -------------------------------------------------------------------------------------

SHAPES = [
    ("1.5", ()),
    ("[]", (0,)),
    ("[[]]", (1, 0)),
    ("[[], []]", (2, 0)),
    ("[1, 2, 3]", (3,)),
    ("[[[1], [2]], [[3], [4]]]", (2, 2, 1)),
    ("[" * 32 + "1" + "]" * 32, (1,) * 32),
]


@pytest.mark.parametrize(("values", "shape"), SHAPES, ids=[str(shape) for _, shape in SHAPES])
def test_shapes__come_from_the_nesting(values, shape):
    assert decode(f'{{"inputs": {{"x": {values}}}}}'.encode(), x="float32").inputs["x"].shape == shape


UNEVEN = [
    (
        "[[1, 2], [3]]",
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2 (at [1])",
    ),
    (
        "[[1, 2], 3]",
        "JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2 (at [1])",
    ),
    ("[1, [2]]", "Encountered list at unexpected level: 1 expected < 1 (at [1])"),
    ("[[1, [2]]]", "Encountered list at unexpected level: 2 expected < 2 (at [0][1])"),
    (
        "[[[1], [2]], [[3], [4, 5]]]",
        "Encountered list at unexpected size: 2 at level: 2 expected size: 1 (at [1][1])",
    ),
    ("[[], [1]]", "Encountered list at unexpected size: 1 at level: 1 expected size: 0 (at [1])"),
    ("[" * 33 + "1" + "]" * 33, "Encountered list at unexpected level: 32 expected < 32"),
]


@pytest.mark.parametrize(("values", "message"), UNEVEN)
def test_shapes__uneven_lists_are_refused_with_their_place(values, message):
    error = refusal(f'{{"inputs": {{"x": {values}}}}}'.encode(), x="float32")
    assert error.message == message
    assert error.tensor == "x"


def test_shapes__a_very_deep_list_is_refused():
    error = refusal(b'{"inputs":' + b"[" * 300 + b"]" * 300 + b"}", x="float32")
    assert error.code is ErrorCode.INVALID_ARGUMENT


# --- forms --------------------------------------------------------------------------------------

TWO = {"a": "float32", "b": "int32"}
ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"
KEY = "Failed to process element: {} key: {} of 'instances' list. Error: INVALID_ARGUMENT: {}"

FORMS = [
    ('{"instances": [{"a": 1, "b": 2}, 3]}', "Expecting object but got list at item 1 of input list"),
    (
        '{"instances": [{"a": 1, "b": 2}, {"a": 1}]}',
        "Failed to process element: 1 of 'instances' list. JSON object: {\n    \"a\": 1\n} keys must be equal to: a,b",
    ),
    (
        '{"instances": [{"a": 1, "b": 2, "c": 3}]}',
        KEY.format(0, "c", "JSON object: does not have named input: c"),
    ),
    (
        '{"instances": [{"a": [1, 2], "b": 2}, {"a": [1], "b": 2}]}',
        KEY.format(1, "a", "Expecting tensor size: 2 but got: 1"),
    ),
    (
        '{"instances": [{"a": [[1, 2]], "b": 2}, {"a": [[1], [2]], "b": 2}]}',
        KEY.format(1, "a", "Expecting shape [1,2] but got: [2,1]"),
    ),
    (
        '{"instances": [{"a": 1, "b": 2}, {"a": 1, "b": 2.5}]}',
        KEY.format(1, "b", "JSON Value: 2.5 Type: Number is not of expected type: int32"),
    ),
    (
        '{"instances": [1, 2]}',
        "instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map",
    ),
    (
        '{"inputs": [1, 2]}',
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map",
    ),
    ('{"inputs": {"a": 1}}', "Missing named input: b in 'inputs' object."),
    ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    (
        '{"instances": {"a": 1}}',
        'JSON Value: {\n    "instances": {\n        "a": 1\n    }\n} Expecting \'instances\' to be an list/array',
    ),
    ("{}", "Missing 'inputs' or 'instances' key"),
    ('{"x": 1}', "Missing 'inputs' or 'instances' key"),
    ("[1, 2]", "JSON Value: [1, 2] Is not object"),
    ("null", "JSON Value: null Is not object"),
    ("", "JSON Parse error: The document is empty"),
]


@pytest.mark.parametrize(("body", "message"), FORMS, ids=[body[:40] for body, _ in FORMS])
def test_forms__of_several_inputs(body, message):
    assert refusal(body.encode(), **TWO).message == message


def test_forms__of_one_input():
    assert decode({"instances": [{"x": 1}, {"x": 2}]}, x="int32").inputs["x"].tolist() == [1, 2]
    assert decode({"instances": [1, 2]}, x="int32").inputs["x"].tolist() == [1, 2]
    assert decode({"inputs": 5}, x="int32").inputs["x"].shape == ()
    assert decode({"inputs": {"b64": "YQ=="}}, x="string").inputs["x"].tolist() == b"a"
    error = refusal({"instances": [1, {"x": 2}]}, x="int32")
    assert error.message == "Expecting value/list but got object at item 1 of input list"
    error = refusal({"instances": [[1], [1, 2]]}, x="int32")
    assert error.message == ROW.format(1, "Expecting tensor size: 1 but got: 2")
    error = refusal({"instances": [1, "a"]}, x="int32")
    assert error.message == ROW.format(1, 'JSON Value: "a" Type: String is not of expected type: int32')


def test_forms__an_input_may_be_called_b64():
    # one member named b64 with a string is a value, in TensorFlow Serving too; with a list it is an input
    assert decode({"instances": [{"b64": [1]}]}, b64="int32").inputs["b64"].tolist() == [[1]]


def test_forms__both_are_refused():
    error = refusal({"instances": [1], "inputs": [1]}, x="int32")
    assert error.message.endswith(
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
    )


def test_forms__the_first_of_equal_keys_counts():
    assert decode(b'{"inputs": [1], "inputs": [2]}', x="int32").inputs["x"].tolist() == [1]
    assert decode(b'{"instances": [{"x": 1, "x": 2}]}', x="int32").inputs["x"].tolist() == [1]


def test_forms__trailing_text_is_ignored():
    assert decode(b'{"inputs": [1]} trailing', x="int32").inputs["x"].tolist() == [1]


def test_signature__is_handed_to_the_lookup():
    asked = []

    def lookup(signature):
        asked.append(signature)
        return specs_of(x="int32")

    assert decode_json_request(b'{"inputs": 1, "signature_name": "other"}', lookup).signature == "other"
    assert decode_json_request(b'{"inputs": 1}', lookup).signature == ""
    assert asked == ["other", ""]


def test_signature__what_the_lookup_raises_passes_through():
    def lookup(signature):
        raise SignatureNotFoundError(signature, model="m")

    with pytest.raises(SignatureNotFoundError):
        decode_json_request(b'{"inputs": 1, "signature_name": "other"}', lookup)


def test_signature__must_be_a_string():
    assert "'signature_name' key must be a string value." in refusal({"signature_name": 1}, x="int32").message


def test_signature__without_inputs():
    with pytest.raises(InvalidRequestError, match="Failed to get input map for signature: DEFAULT"):
        decode_json_request(b'{"inputs": 1}', lambda _: {})


def test_errors__show_little_of_what_came():
    error = refusal({"inputs": {"x": ["a" * 100_000]}}, x="float32")
    assert len(error.message) < 400
    error = refusal(b'{"inputs": {"x": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}}", x="float32")
    assert len(error.message) < 400
    error = refusal(b"[" + b"[1," * 500 + b"1" + b"]" * 501, x="float32")
    assert len(error.message) < 400
    error = refusal(b'["\xff"]', x="float32")
    error.message.encode()
