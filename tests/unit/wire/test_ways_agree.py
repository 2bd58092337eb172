"""Large runs of values: the quick ways to read and write them say what protobuf says, arrays and errors alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_examples import same

from navi_core.errors import DecodeError, NaviError
from navi_core.signature import Signature
from navi_core.tensors import DType, numpy_dtype
from navi_core.wire import oip, oip_contents, tensor_proto, tf_serving
from navi_core.wire.oip_infer_request import _from_message, parse_infer_request
from navi_core.wire.oip_infer_response import encode_infer_response
from navi_core.wire.tensor_proto import array_of_message, decode_tensor, encode_tensor, varint
from navi_core.wire.tf_dtypes import TF_TYPES
from navi_core.wire.varints import count_varints, decode_varints, encode_varints

INTEGERS = [
    kind
    for kind in TF_TYPES.values()
    if kind.field in ("int_val", "int64_val", "uint32_val", "uint64_val", "half_val", "bool_val")
]

NUMBERS = st.one_of(
    st.integers(0, 1),
    st.integers(-(2**7), 2**7),
    st.integers(0, 2**14 + 1),
    st.integers(-(2**31), 2**32),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([2**shift - 1 for shift in range(7, 65, 7)] + [2**56, 2**63, 2**64 - 1, -(2**63)]),
)


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    """The quick ways are taken for short runs too, in chunks of a few values."""
    monkeypatch.setattr(tensor_proto, "makes_arrays", lambda: False)
    monkeypatch.setattr(oip_contents, "makes_arrays", lambda: False)
    monkeypatch.setattr(tensor_proto, "_MANY_BYTES", 0)
    monkeypatch.setattr(tensor_proto, "_FEW", 0)
    monkeypatch.setattr(oip_contents, "_MANY_BYTES", 0)
    monkeypatch.setattr(oip_contents, "_FEW", 0)
    monkeypatch.setattr("navi_core.wire.varints._CHUNK_BYTES", 32)
    monkeypatch.setattr("navi_core.wire.varints._CHUNK_VALUES", 5)
    monkeypatch.setattr("navi_core.wire.varints._FEW_BYTES", 0)


def run_of(values):
    return b"".join(varint(value & 0xFFFFFFFFFFFFFFFF) for value in values)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(kind, shape, *parts):
    """Serialize a TensorProto: type, shape, then the parts as they are."""
    dims = b"".join(field(2, b"\x08" + varint(size) if size else b"") for size in shape)
    return b"\x08" + varint(kind.number) + field(2, dims) + b"".join(parts)


def quickly(data, limit=1 << 20):
    try:
        return decode_tensor(data, 0, len(data), name="x", max_tensor_bytes=limit)
    except DecodeError as error:
        return error.message, error.tensor


def plainly(data, limit=1 << 20):
    try:
        message = tensor_proto.parse_message(tf_serving.TensorProto, data, tensor="x")
        return array_of_message(message, name="x", max_tensor_bytes=limit)
    except DecodeError as error:
        return error.message, error.tensor


def agree(one, other):
    if isinstance(one, tuple) or isinstance(other, tuple):
        return one == other
    return same(one, other)


def quiet(found):
    """Return floats with one NaN for all: Python's floats make a quiet one of a signalling one."""
    return found if isinstance(found, tuple) else np.where(np.isnan(found), np.float32("nan"), found)


# --- runs of integers -------------------------------------------------------------------------------


@given(st.lists(NUMBERS, min_size=1, max_size=70), st.booleans())
def test_varints__are_encoded_like_one_by_one(values, signed):
    wrapped = np.array([value & 0xFFFFFFFFFFFFFFFF for value in values], np.uint64)
    numbers = wrapped.view(np.int64) if signed else wrapped
    run = encode_varints(numbers)
    assert run == run_of(values)
    assert count_varints(run) == len(values)
    assert decode_varints(run, exact=True).tolist() == wrapped.view(np.int64).tolist()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_varints__of_every_integer_type(dtype):
    limits = np.iinfo(dtype)
    numbers = np.array([0, 1, limits.min, limits.max, limits.max // 3], dtype)
    assert encode_varints(numbers) == run_of(numbers.tolist())


def test_varints__bits_beyond_the_64th():
    run = b"\xff" * 9 + b"\x03"
    assert decode_varints(run).tolist() == [-1]
    with pytest.raises(DecodeError, match="more than 64 bits"):
        decode_varints(run, exact=True)


def test_varints__none_at_all():
    assert encode_varints(np.empty(0, np.int64)) == b""


@settings(deadline=None)
@given(st.sampled_from(INTEGERS), st.lists(NUMBERS, min_size=1, max_size=40), st.data())
def test_tensors__all_ways_give_the_same_array_or_the_same_error(kind, values, data):
    count = len(values)
    shape = data.draw(st.sampled_from([(count,), (1, count), (count + 2,), (max(1, count - 1),), (2, 2), ()]))
    split = data.draw(st.integers(0, count))
    run = run_of(values)
    number = kind.field_number
    ways = {
        "packed": field(number, run),
        "unpacked": b"".join(varint(number << 3) + run_of([value]) for value in values),
        "in two runs": field(number, run_of(values[:split])) + field(number, run_of(values[split:])),
        "mixed": field(number, run_of(values[:split]))
        + b"".join(varint(number << 3) + run_of([value]) for value in values[split:]),
    }
    for label, way in ways.items():
        body = tensor(kind, shape, way)
        limit = data.draw(st.sampled_from([1 << 20, 16]), label=label)
        assert agree(quickly(body, limit), plainly(body, limit)), label
        assert agree(quickly(body), quickly(tensor(kind, shape, ways["packed"]))), label


@settings(deadline=None)
@given(st.sampled_from(INTEGERS), st.binary(min_size=1, max_size=40), st.integers(0, 12))
def test_tensors__any_run_of_bytes_is_read_like_by_protobuf(kind, run, size):
    body = tensor(kind, (size,), field(kind.field_number, run))
    assert agree(quickly(body), plainly(body))


@settings(deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20), st.data())
def test_tensors__floats_all_ways(values, data):
    kind = TF_TYPES[DType.FLOAT32]
    array = np.array(values, np.float32)
    shape = data.draw(st.sampled_from([array.shape, (array.size + 2,), (max(1, array.size - 1),)]))
    ways = {
        "packed": field(5, array.tobytes()),
        "unpacked": b"".join(b"\x2d" + each.tobytes() for each in array),
        "content": field(4, array.tobytes()),
    }
    found = {label: quickly(tensor(kind, shape, way)) for label, way in ways.items()}
    for label, way in ways.items():
        assert agree(quiet(found[label]), quiet(plainly(tensor(kind, shape, way)))), label
    assert agree(quiet(found["packed"]), quiet(found["unpacked"]))
    if math.prod(shape) == array.size:
        assert same(found["content"], found["packed"])


@pytest.mark.parametrize("dtype", [kind.dtype for kind in INTEGERS])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tensors__written_in_chunks_are_read_back(dtype, order):
    numbers = np.arange(-20, 20).astype(np.uint16).view(np.float16 if dtype == "float16" else np.uint16)
    array = numbers.astype(numpy_dtype(dtype))
    if array.dtype.byteorder in "=<>" and array.dtype.kind in "iu":
        array = array.astype(array.dtype.newbyteorder(order))
    data = b"".join(encode_tensor(array))
    message = tf_serving.TensorProto.FromString(data)
    assert same(array_of_message(message, name="x"), array.astype(numpy_dtype(dtype)))
    assert message.SerializeToString() == data


# --- the Open Inference Protocol --------------------------------------------------------------------

OIP_FIELDS = {
    "INT8": ("int_contents", 2),
    "INT32": ("int_contents", 2),
    "UINT8": ("uint_contents", 4),
    "UINT32": ("uint_contents", 4),
    "INT64": ("int64_contents", 3),
    "UINT64": ("uint64_contents", 5),
}


def infer_outcome(parse, body):
    try:
        parsed = parse(body)
        arrays = parsed.decode_inputs(1 << 20, Signature(inputs={}, outputs={}))
    except NaviError as error:
        # bytes that are no message are refused where they are met: as an input's contents, or as a whole
        return "no message" if "got bytes that are none" in error.message else error.message
    return [(name, array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()]


@settings(deadline=None)
@given(st.sampled_from(sorted(OIP_FIELDS)), st.lists(NUMBERS, min_size=1, max_size=30), st.data())
def test_typed_contents__all_ways_give_the_same_array_or_the_same_error(datatype, values, data):
    number = OIP_FIELDS[datatype][1]
    split = data.draw(st.integers(0, len(values)))
    size = data.draw(st.sampled_from([len(values), len(values) + 1]))
    contents = data.draw(
        st.sampled_from(
            [
                field(number, run_of(values)),
                b"".join(varint(number << 3) + run_of([value]) for value in values),
                field(number, run_of(values[:split])) + field(number, run_of(values[split:])),
                field(number, run_of(values)[:-1]),
                field(number, b"\xff" * 9 + b"\x07" + run_of(values[1:])),
            ]
        )
    )
    head = field(1, b"x") + field(2, datatype.encode()) + field(3, varint(size))
    body = field(1, b"m") + field(5, head + field(5, contents))

    def by_protobuf(body):
        return _from_message(tensor_proto.parse_message(oip.ModelInferRequest, body))

    assert infer_outcome(parse_infer_request, body) == infer_outcome(by_protobuf, body)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4"])
def test_typed_contents__are_written_like_by_protobuf(dtype):
    limits = np.iinfo(dtype)
    array = np.array([[0, 1, limits.min], [limits.max, 7, 300 % limits.max]], dtype)
    pieces, _ = encode_infer_response({"y": array}, model="m", version=3, typed=True)
    body = b"".join(pieces)
    message = oip.ModelInferResponse.FromString(body)
    assert message.SerializeToString() == body
    contents = message.outputs[0].contents
    (found,) = [value for _, value in contents.ListFields()]
    assert list(found) == array.reshape(-1).tolist()
