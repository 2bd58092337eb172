"""DataRecords and CompactDataRecords as hypothesis draws them: every field, and few ids so that they are hit."""

from __future__ import annotations

import struct

from hypothesis import strategies as st
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
from navi_dr_transform._generated.tensor import ttypes as tensors

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT16 = st.integers(-(2**15), 2**15 - 1)
DOUBLES = st.floats()
FLOAT_BITS = st.floats(width=32).map(lambda value: struct.unpack("=i", struct.pack("=f", value))[0])
IDS = st.sampled_from([1, 2, 3, 4, 5, -6, 2**62])
CATEGORIES = st.sampled_from(["", "a", "bc", "é", "7", "-7", "07", "32767", "x" * 40])
NUMBERS = st.sampled_from([7, -7, 0, 32767])


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
