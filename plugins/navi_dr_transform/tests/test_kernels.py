"""The kernels beside their plain twins, and both beside Apache Thrift and Navi's scatter.

Everything here passes with NUMBA_DISABLE_JIT=1 too.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_twins import COLUMNS, DTYPES, IDS, WIDTHS, check_twins, run
from navi_dr_transform import wire
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
from navi_dr_transform._generated.tensor import ttypes as tensors
from navi_dr_transform.layout import HomeTensor, Source
from navi_dr_transform.thrift_records import decode_request
from thrift.TSerialization import serialize

# --- requests that Apache Thrift writes -------------------------------------------------------------------

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
SCALAR_IDS = st.sampled_from([*(feature_id for _, feature_id in COLUMNS), -2, 99, -(2**63)]) | INT64
TENSOR_IDS = st.sampled_from([-2, -3, -4, 7, 99])
DOUBLES = st.floats(allow_nan=True, allow_infinity=True)
TEXTS = st.text(max_size=3)
SHAPES = st.none() | st.lists(INT64, max_size=2)
LENGTH = {"min_size": 0, "max_size": 5}


@st.composite
def general_tensors(draw):
    kind = draw(st.sampled_from(["raw", "string", "int32", "int64", "float", "double", "bool", "binary"]))
    shape = draw(SHAPES)
    match kind:
        case "raw":
            data_type = draw(st.integers(0, 11))
            content = draw(st.binary(max_size=40))
            if data_type in (0, 2):
                content = content[: len(content) // 4 * 4]
            if data_type in (1, 3):
                content = content[: len(content) // 8 * 8]
            raw = tensors.RawTypedTensor(data_type, content, shape)
            return tensors.GeneralTensor(rawTypedTensor=raw)
        case "string":
            values = tensors.StringTensor(draw(st.lists(TEXTS, **LENGTH)), shape)
            return tensors.GeneralTensor(stringTensor=values)
        case "int32":
            return tensors.GeneralTensor(
                int32Tensor=tensors.Int32Tensor(draw(st.lists(INT32, **LENGTH)), shape)
            )
        case "int64":
            return tensors.GeneralTensor(
                int64Tensor=tensors.Int64Tensor(draw(st.lists(INT64, **LENGTH)), shape)
            )
        case "float":
            return tensors.GeneralTensor(
                floatTensor=tensors.FloatTensor(draw(st.lists(DOUBLES, **LENGTH)), shape)
            )
        case "double":
            values = tensors.DoubleTensor(draw(st.lists(DOUBLES, **LENGTH)), shape)
            return tensors.GeneralTensor(doubleTensor=values)
        case "bool":
            values = tensors.BoolTensor(draw(st.lists(st.booleans(), **LENGTH)), shape)
            return tensors.GeneralTensor(boolTensor=values)
        case _:
            values = tensors.BinaryTensor(draw(st.lists(st.binary(max_size=3), **LENGTH)), shape)
            return tensors.GeneralTensor(binaryTensor=values)


def sparse_tensors():
    return st.builds(
        lambda shape, indices, values: tensors.SparseTensor(
            tensors.COOSparseTensor(shape, tensors.Int64Tensor(indices), values)
        ),
        st.lists(INT64, max_size=2),
        st.lists(INT64, max_size=2),
        general_tensors(),
    )


def maps(keys, values, max_size=4):
    return st.none() | st.dictionaries(keys, values, max_size=max_size)


RECORDS = st.builds(
    DataRecord,
    binaryFeatures=st.none() | st.sets(SCALAR_IDS, max_size=4),
    continuousFeatures=maps(SCALAR_IDS, DOUBLES, 6),
    discreteFeatures=maps(SCALAR_IDS, INT64),
    stringFeatures=maps(INT64, TEXTS, 2),
    sparseBinaryFeatures=maps(INT64, st.sets(TEXTS, max_size=2), 2),
    sparseContinuousFeatures=maps(INT64, st.dictionaries(TEXTS, DOUBLES, max_size=2), 2),
    blobFeatures=maps(INT64, st.binary(max_size=3), 2),
    tensors=maps(TENSOR_IDS, general_tensors(), 3),
    sparseTensors=maps(INT64, sparse_tensors(), 2),
)
REQUESTS = st.builds(
    BatchPredictionRequest,
    individualFeaturesList=st.lists(RECORDS, max_size=4),
    commonFeatures=st.none() | RECORDS,
)


# --- the oracle: Navi's converter over Apache Thrift's objects, with the README's exceptions ---------------


def numbers(tensor):
    """Return a GeneralTensor's values as float64; None for what holds no numbers."""
    for typed, attribute in (
        (tensor.floatTensor, "floats"),
        (tensor.doubleTensor, "doubles"),
        (tensor.int32Tensor, "ints"),
        (tensor.int64Tensor, "longs"),
    ):
        if typed is not None:
            return np.array(getattr(typed, attribute), dtype=np.float64)
    raw = tensor.rawTypedTensor
    dtype = {0: "<f4", 1: "<f8", 2: "<i4", 3: "<i8", 4: "u1"}.get(raw.dataType) if raw is not None else None
    return None if dtype is None else np.frombuffer(raw.content, dtype).astype(np.float64)


def navi(request, *, exact=False):
    """Return the six tensors; None where an embedding has the wrong length."""
    records = request.individualFeaturesList
    common = request.commonFeatures
    out = [np.zeros((len(records), width), dtype) for width, dtype in zip(WIDTHS, DTYPES, strict=True)]
    out[0][:] = np.nan

    def scatter(record, rows):
        by_source = (
            (Source.CONTINUOUS, (record.continuousFeatures or {}).items()),
            (Source.BINARY, [(feature_id, 1) for feature_id in record.binaryFeatures or ()]),
            (Source.DISCRETE, (record.discreteFeatures or {}).items()),
        )
        for source, features in by_source:
            for feature_id, value in features:
                for place in COLUMNS.get((source, feature_id), ()):
                    out[place.tensor][rows, place.column] = value
        fits = True
        for index, embedding_id in enumerate(IDS):
            tensor = (record.tensors or {}).get(embedding_id)
            if tensor is None:
                continue
            values, width = numbers(tensor), WIDTHS[3 + index]
            if values is None:
                out[3 + index][rows] = 0
            elif len(values) < width or (exact and len(values) > width):
                fits = False
            else:
                out[3 + index][rows] = values[:width]
        return fits

    with np.errstate(over="ignore"):
        fits = [scatter(common, slice(None))] if common is not None else []
        fits += [scatter(record, row) for row, record in enumerate(records)]
    return out if all(fits) else None


@settings(max_examples=150)
@given(request=REQUESTS, exact=st.booleans(), trailing=st.binary(max_size=3))
def test_requests_become_the_tensors_that_navi_makes(request, exact, trailing):
    payload = serialize(request)
    ours = check_twins(payload + trailing, exact=int(exact))
    # decoded again, because a payload is what counts (an i32 enum, bytes instead of text)
    expected = navi(decode_request(payload), exact=exact)
    if expected is None:
        assert ours.status in (wire.EMBEDDING_SHORT, wire.EMBEDDING_LONG)
        return
    assert ours.status == wire.OK
    assert ours.offset == len(payload)
    for mine, other in zip(ours.rows, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@settings(max_examples=100)
@given(request=REQUESTS, data=st.data())
def test_a_request_cut_anywhere_is_refused_at_the_same_byte(request, data):
    payload = serialize(request)
    cut = data.draw(st.integers(0, len(payload) - 1))
    ours = check_twins(payload[:cut])
    assert ours.status != wire.OK
    assert 0 <= ours.offset <= cut


@settings(max_examples=300)
@given(
    request=REQUESTS,
    damage=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 16) | st.integers(0, 255)), max_size=4),
    exact=st.integers(0, 1),
)
def test_damaged_requests_get_the_same_answer_from_both_twins(request, damage, exact):
    payload = bytearray(serialize(request))
    for position, value in damage:
        payload[position % len(payload)] = value
    check_twins(bytes(payload), exact=exact)


@settings(max_examples=100)
@given(payload=st.binary(max_size=64))
def test_random_bytes_get_the_same_answer_from_both_twins(payload):
    check_twins(payload)


def big_request():
    """Return a request with every kind of field in it."""
    float_tensor = tensors.GeneralTensor(floatTensor=tensors.FloatTensor([1.0, 2.0, 3.0], [3]))
    raw = tensors.GeneralTensor(rawTypedTensor=tensors.RawTypedTensor(0, struct.pack("<3f", 1, 2, 3), [3]))
    texts = tensors.GeneralTensor(stringTensor=tensors.StringTensor(["a", "bc"]))
    record = DataRecord(
        binaryFeatures={5, 99},
        continuousFeatures={7: 1.5, 99: 2.0},
        discreteFeatures={20: 3},
        stringFeatures={1: "text"},
        sparseBinaryFeatures={2: {"a"}},
        sparseContinuousFeatures={3: {"k": 1.5}},
        blobFeatures={4: b"\x00"},
        tensors={-2: float_tensor, -3: raw, 99: texts},
        sparseTensors={9: tensors.SparseTensor(tensors.COOSparseTensor([3], tensors.Int64Tensor([0]), raw))},
    )
    return serialize(BatchPredictionRequest([record, DataRecord()], record))


def test_every_truncation_of_a_request_is_refused():
    payload = big_request()
    assert check_twins(payload).status == wire.OK
    for cut in range(len(payload)):
        assert check_twins(payload[:cut]).status != wire.OK


def test_every_changed_byte_of_a_request_gets_the_same_answer_from_both_twins():
    payload = big_request()
    for position in range(len(payload)):
        for value in (0, 255, payload[position] ^ 1, payload[position] ^ 0x80):
            check_twins(payload[:position] + bytes([value]) + payload[position + 1 :])


@pytest.mark.parametrize("unwanted", list(HomeTensor))
def test_tensors_that_are_not_wanted_are_left_out(unwanted):
    payload = big_request()
    wanted = [0 if kind is unwanted else width for kind, width in zip(HomeTensor, WIDTHS, strict=True)]
    full = run(payload).rows
    del full[unwanted]
    for ours, theirs in zip(run(payload, widths=wanted).rows, full, strict=True):
        np.testing.assert_array_equal(ours, theirs)
