"""Writing outputs as JSON: forms, numbers, text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.errors import InvalidRequestError
from navi_core.signature import TensorSpec
from navi_core.tensors import DType, numpy_dtype
from navi_core.wire.json_predictions import encode_predictions, shortest_decimals
from navi_core.wire.tensor_json import decode_json_request


def test_answers__one_output_has_no_name():
    array = np.array([[1.0], [2.0]], dtype=np.float32)
    assert encode_predictions({"y": array}, row_form=True) == b'{"predictions":[[1.0],[2.0]]}'
    assert encode_predictions({"y": array}, row_form=False) == b'{"outputs":[[1.0],[2.0]]}'
    assert encode_predictions({"y": np.float32(3)}, row_form=False) == b'{"outputs":3.0}'


def test_answers__several_outputs_have_names():
    outputs = {"a": np.array([1, 2]), "b": np.array([[True], [False]])}
    assert json.loads(encode_predictions(outputs, row_form=True)) == {
        "predictions": [{"a": 1, "b": [True]}, {"a": 2, "b": [False]}]
    }
    assert json.loads(encode_predictions(outputs, row_form=False)) == {
        "outputs": {"a": [1, 2], "b": [[True], [False]]}
    }


def test_answers__row_form_needs_a_common_number_of_rows():
    scalar = np.float32(1)
    with pytest.raises(InvalidRequestError, match="Tensor name: y has no shape information "):
        encode_predictions({"y": scalar}, row_form=True)
    with pytest.raises(
        InvalidRequestError, match="Tensor name: b has inconsistent batch size: 3 expecting: 2"
    ):
        encode_predictions({"a": np.zeros(2), "b": np.zeros(3)}, row_form=True)
    with pytest.raises(InvalidRequestError, match="Cannot convert empty tensor map to JSON"):
        encode_predictions({}, row_form=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint16", "complex64"])
def test_answers__types_without_json_form_are_refused(dtype):
    array = np.zeros(1, dtype=numpy_dtype(DType(dtype)))
    with pytest.raises(InvalidRequestError, match="Failed to write JSON value for tensor type: ") as caught:
        encode_predictions({"y": array}, row_form=True)
    assert caught.value.tensor == "y"


def test_answers__floats_are_short_for_their_own_width():
    array = np.array([0.2, 2.0, 9e6, 3e-5, 1e16, 0.1 + 0.2, 0.0, -0.0, 16777216], dtype=np.float32)
    text = encode_predictions({"y": array}, row_form=False)
    assert text == b'{"outputs":[0.2,2.0,9000000.0,0.00003,1e+16,0.3,0.0,-0.0,16777216.0]}'
    text = encode_predictions({"y": np.array([0.1 + 0.2, 0.2])}, row_form=False)
    assert text == b'{"outputs":[0.30000000000000004,0.2]}'


def test_answers__what_is_not_finite_is_a_bare_word():
    array = np.array([np.nan, np.inf, -np.inf, 0.2], dtype=np.float32)
    assert encode_predictions({"y": array}, row_form=False) == b'{"outputs":[NaN,Infinity,-Infinity,0.2]}'


def test_answers__integers_are_plain():
    array = np.array([2**63 - 1, -(2**63)])
    assert encode_predictions({"y": array}, row_form=False) == (
        b'{"outputs":[9223372036854775807,-9223372036854775808]}'
    )


def test_answers__strings():
    strings = np.empty(2, dtype=object)
    strings[:] = ['é"\n'.encode(), b"\xff\x00"]
    text = encode_predictions({"y": strings}, row_form=False)
    assert text == b'{"outputs": ["\xc3\xa9\\"\\n", "\xff\\u0000"]}'
    assert json.loads(encode_predictions({"y_bytes": strings}, row_form=False)) == {
        "outputs": [{"b64": "w6kiCg=="}, {"b64": "/wA="}]
    }


@settings(deadline=None)
@given(st.lists(st.floats(width=32), max_size=100))
def test_shortest_decimals__are_numpys_shortest(values):
    array = np.array(values, dtype=np.float32)
    expected = [
        float(np.format_float_scientific(value, unique=True)) if np.isfinite(value) else float(value)
        for value in array
    ]
    assert list(map(repr, shortest_decimals(array).tolist())) == list(map(repr, expected))


def test_shortest_decimals__of_many_bit_patterns():
    rng = np.random.default_rng(20)
    array = rng.integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    array = array[np.isfinite(array)]
    expected = [float(np.format_float_scientific(value, unique=True)) for value in array]
    assert shortest_decimals(array).tolist() == expected


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda rows: st.dictionaries(
            st.sampled_from(["y", "null", "NaN", "é"]),
            st.lists(
                st.sampled_from([0.5, -2.0, float("nan"), float("inf"), float("-inf")]),
                min_size=rows * 2,
                max_size=rows * 2,
            ).map(lambda values: np.float32(values).reshape(rows, 2)),
            min_size=1,
            max_size=3,
        )
    ),
    st.booleans(),
)
def test_answers__bare_words_stand_where_the_values_are(outputs, row_form):
    document = json.loads(encode_predictions(outputs, row_form=row_form))
    (answer,) = document.values()
    if len(outputs) == 1:
        answer = {next(iter(outputs)): answer}
    elif row_form:
        answer = {name: [row[name] for row in answer] for name in outputs}
    assert list(answer) == list(outputs)
    for name, array in outputs.items():
        np.testing.assert_array_equal(np.float32(answer[name]), array)


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float32", True),
        ("float64", False),
        ("int32", True),
        ("int64", 1.0),
        ("uint32", -1),
        ("uint64", -1),
        ("int32", 2**31),
        ("int64", 2**63),
        ("float32", "1"),
        ("float32", None),
        ("float32", {}),
        ("float32", [1]),
    ],
)
def test_a_value_of_another_kind_is_refused_however_long_its_list_is(dtype, value, size):
    body = json.dumps({"inputs": [[1] * size, [1] * (size - 1) + [value]]}).encode()
    specs = {"x": TensorSpec(name="x", dtype=DType(dtype), shape=None)}
    with pytest.raises(InvalidRequestError):
        decode_json_request(body, lambda _: specs)


@pytest.mark.parametrize("size", [3, 40])
def test_numbers_beyond_float32_are_infinite(size):
    body = json.dumps({"inputs": [1e39] * size}).encode()
    specs = {"x": TensorSpec(name="x", dtype=DType.FLOAT32, shape=None)}
    assert np.isposinf(decode_json_request(body, lambda _: specs).inputs["x"]).all()


@pytest.mark.parametrize("dtype", ["<i8", ">i8", "q", "Q", ">f4", "<f8", "?", "i1", "<u4"])
@pytest.mark.parametrize("row_form", [True, False])
def test_answers__whatever_the_memory_looks_like(dtype, row_form):
    array = np.arange(12).reshape(4, 3).astype(dtype)
    for each in (array, array[::2], array.T, array[:, 0]):
        (answer,) = json.loads(encode_predictions({"y": each}, row_form=row_form)).values()
        np.testing.assert_array_equal(np.array(answer).astype(dtype), each)
        several = json.loads(encode_predictions({"y": each, "z": each}, row_form=row_form))
        (answer,) = several.values()
        values = [row["z"] for row in answer] if row_form else answer["z"]
        np.testing.assert_array_equal(np.array(values).astype(dtype), each)
    scalar = np.array(1).astype(dtype)
    (answer,) = json.loads(encode_predictions({"y": scalar}, row_form=False)).values()
    assert answer == 1
