"""Layouts of any tensors: the kernels beside the reference, for every source, element type and struct."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform import wire
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
from navi_dr_transform._generated.tensor import ttypes as tensors
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import DTYPES, Layout, LayoutTensor, Source
from navi_dr_transform.reference import Reference
from thrift.TSerialization import serialize

from navi_core import DecodeError

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT16 = st.integers(-(2**15), 2**15 - 1)
DOUBLES = st.floats()
FLOAT_BITS = st.floats(width=32).map(lambda value: struct.unpack("=i", struct.pack("=f", value))[0])
IDS = st.sampled_from([1, 2, 3, 4, 5, -6, 2**62])
CATEGORIES = st.sampled_from(["", "a", "bc", "é", "7", "-7", "07", "32767", "x" * 40])
NUMBERS = st.sampled_from([7, -7, 0, 32767])


def layout(*given_tensors):
    """Return a layout of (source, dtype, width, default)."""
    return Layout(
        name="any",
        tensors=tuple(
            LayoutTensor(f"t{index}", dtype, width, source, default)
            for index, (source, dtype, width, default) in enumerate(given_tensors)
        ),
        positions={},
        segdense_file="",
        all_config_file="",
    )


TENSORS = [
    *((source, dtype, 3, 1) for source in Source for dtype in DTYPES[source] if dtype != "string"),
    (Source.STRING, DTYPES[Source.STRING][0], 2, b"none"),
    (Source.BLOB, DTYPES[Source.BLOB][0], 2, b""),
]
ALL = layout(*TENSORS)
WIDTHS = {index: each.width for index, each in enumerate(ALL.tensors)}
TEXTS = (b"a", b"bc", "é".encode(), b"7", b"-7", b"", b"32767")


def places(source, feature_id):
    """Return places in every tensor of a source, a column outside of it among them."""
    found = []
    for index, tensor in enumerate(ALL.tensors):
        if tensor.source is not source:
            continue
        if source in (Source.SPARSE_BINARY, Source.SPARSE_CONTINUOUS):
            found += [
                Place(index, (feature_id + turn) % 4, text)
                for turn, text in enumerate(TEXTS[feature_id % 3 :: 3])
            ]
        else:
            found.append(Place(index, feature_id % 4))
    return tuple(found)


FEATURES = FeatureMap(
    {
        (source, each): places(source, each)
        for source in Source
        if source is not Source.TENSOR
        for each in (1, 2, 3, 4)
    },
    {index: 2 + index % 2 for index, tensor in enumerate(ALL.tensors) if tensor.source is Source.TENSOR},
)
"""Ids 1 to 4 have columns, tensors are those of 2 and 3."""


def maps(values, keys=IDS):
    return st.none() | st.dictionaries(keys, values, max_size=5)


@st.composite
def numeric_tensors(draw, size):
    """Return a GeneralTensor of so many numbers."""
    kind = draw(st.sampled_from(["raw", "int32", "int64", "float", "double"]))

    def values(each):
        return draw(st.lists(each, min_size=size, max_size=size))

    match kind:
        case "raw":
            data_type = draw(st.integers(0, 4))
            content = draw(st.binary(min_size=8 * size, max_size=8 * size))
            width = (4, 8, 4, 8, 1)[data_type]
            return tensors.GeneralTensor(
                rawTypedTensor=tensors.RawTypedTensor(data_type, content[: width * size])
            )
        case "int32":
            return tensors.GeneralTensor(int32Tensor=tensors.Int32Tensor(values(INT32)))
        case "int64":
            return tensors.GeneralTensor(int64Tensor=tensors.Int64Tensor(values(INT64)))
        case "float":
            return tensors.GeneralTensor(floatTensor=tensors.FloatTensor(values(DOUBLES)))
        case _:
            return tensors.GeneralTensor(doubleTensor=tensors.DoubleTensor(values(DOUBLES)))


GENERAL_TENSORS = st.integers(2, 4).flatmap(numeric_tensors)


@st.composite
def sparse_tensors(draw):
    shape = draw(st.sampled_from([[3], [4], [2, 2], [1, 3, 1], [3, 0], [2], [-1], [2**40]]))
    count = draw(st.integers(0, 3))
    indices = [draw(st.integers(0, max(min(extent, 5) - 1, 0))) for _ in range(count) for extent in shape]
    if draw(st.booleans()):
        indices += draw(st.lists(INT64, max_size=1))
    values = draw(numeric_tensors(count))
    return tensors.SparseTensor(tensors.COOSparseTensor(shape, tensors.Int64Tensor(indices), values))


RECORDS = st.builds(
    DataRecord,
    binaryFeatures=st.none() | st.sets(IDS, max_size=5),
    continuousFeatures=maps(DOUBLES),
    discreteFeatures=maps(INT64),
    stringFeatures=maps(st.text(max_size=3)),
    sparseBinaryFeatures=maps(st.sets(CATEGORIES, max_size=4)),
    sparseContinuousFeatures=maps(st.dictionaries(CATEGORIES, DOUBLES, max_size=4)),
    blobFeatures=maps(st.binary(max_size=3)),
    tensors=maps(GENERAL_TENSORS),
    sparseTensors=maps(sparse_tensors()),
)
COMPACT_RECORDS = st.builds(
    CompactDataRecord,
    binaryFeatures=st.none() | st.sets(IDS, max_size=5),
    continuousFeatures=maps(FLOAT_BITS),
    discreteFeatures=maps(INT64),
    stringFeatures=maps(st.text(max_size=3)),
    sparseBinaryFeatures=maps(st.sets(CATEGORIES, max_size=3)),
    sparseBinaryFeaturesWith16bSparseKey=maps(st.sets(NUMBERS | INT16, max_size=3)),
    sparseBinaryFeaturesWith32bSparseKey=maps(st.sets(NUMBERS | INT32, max_size=3)),
    sparseBinaryFeaturesWith64bSparseKey=maps(st.sets(NUMBERS | INT64, max_size=3)),
    sparseContinuousFeatures=maps(st.dictionaries(CATEGORIES, FLOAT_BITS, max_size=3)),
    sparseContinuousFeaturesWith16bSparseKey=maps(st.dictionaries(NUMBERS | INT16, FLOAT_BITS, max_size=3)),
    sparseContinuousFeaturesWith32bSparseKey=maps(st.dictionaries(NUMBERS | INT32, FLOAT_BITS, max_size=3)),
    sparseContinuousFeaturesWith64bSparseKey=maps(st.dictionaries(NUMBERS | INT64, FLOAT_BITS, max_size=3)),
    blobFeatures=maps(st.binary(max_size=3)),
    tensors=maps(GENERAL_TENSORS),
    sparseTensors=maps(sparse_tensors()),
)


def requests(records):
    return st.builds(
        BatchPredictionRequest,
        individualFeaturesList=st.lists(records, max_size=3),
        commonFeatures=st.none() | records,
    )


DECODERS = {exact: Decoder(ALL, FEATURES, WIDTHS, exact_embeddings=exact) for exact in (False, True)}


def check(payload, *, decoder=None, reference=None, exact=False):
    """Decode with the kernels and the reference; both refuse at one byte, or give equal tensors."""
    decoder = decoder or DECODERS[exact]
    reference = reference or Reference(ALL, FEATURES, WIDTHS, exact=exact)
    status, offset, num_records, _, _ = reference.measure(payload)
    if status != wire.OK:
        with pytest.raises(DecodeError) as caught:
            decoder.measure([payload])
        assert caught.value.offset == offset
        assert wire.STATUS_TEXTS[status] in caught.value.message
        return None
    measured = decoder.measure([payload, payload])
    out = decoder.allocate(2 * num_records)
    decoder.fill(measured, out)
    expected = reference.fill(payload)[1]
    for tensor, array in out.items():
        for half in (array[:num_records], array[num_records:]):
            assert half.dtype == expected[tensor].dtype
            np.testing.assert_array_equal(half, expected[tensor], err_msg=str(ALL.tensors[tensor]))
    return out


@settings(max_examples=200, deadline=None)
@given(request=requests(RECORDS), exact=st.booleans())
def test_every_source_and_type_is_what_the_reference_says(request, exact):
    check(serialize(request), exact=exact)


@settings(max_examples=200, deadline=None)
@given(request=requests(COMPACT_RECORDS), exact=st.booleans())
def test_compact_records_too(request, exact):
    check(serialize(request), exact=exact)


@settings(max_examples=200, deadline=None)
@given(
    request=requests(RECORDS | COMPACT_RECORDS),
    damage=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 16) | st.integers(0, 255)), max_size=3),
)
def test_damaged_requests_get_the_same_answer(request, damage):
    payload = bytearray(serialize(request))
    for position, value in damage:
        payload[position % len(payload)] = value
    check(bytes(payload))
