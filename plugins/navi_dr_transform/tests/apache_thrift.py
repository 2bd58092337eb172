"""What Apache Thrift makes of bytes, with both of its decoders, and a plain scatter of that: the differential oracle."""

from __future__ import annotations

import itertools
import math
import operator
import struct
from typing import NamedTuple

import numpy as np
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest, PredictionRequest
from navi_dr_transform._generated.tensor.ttypes import SparseTensor
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import Layout, LayoutTensor, Source
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.transport.TTransport import TMemoryBuffer

from navi_core import DecodeError, DType, numpy_dtype

MAX_DENSE = 2**31
CATEGORIES = (b"a", b"7", "é".encode())
TENSORS = (
    LayoutTensor("continuous", DType.FLOAT32, 4, Source.CONTINUOUS, math.nan),
    LayoutTensor("binary", DType.INT64, 4, Source.BINARY, 0),
    LayoutTensor("discrete", DType.INT64, 4, Source.DISCRETE, -1),
    LayoutTensor("string", DType.STRING, 2, Source.STRING, b"none"),
    LayoutTensor("blob", DType.STRING, 2, Source.BLOB, b""),
    LayoutTensor("sparse_binary", DType.FLOAT32, 3, Source.SPARSE_BINARY, 0),
    LayoutTensor("sparse_continuous", DType.FLOAT64, 3, Source.SPARSE_CONTINUOUS, 0),
    LayoutTensor("embedding", DType.FLOAT32, 3, Source.TENSOR, 0),
    LayoutTensor("short_embedding", DType.FLOAT64, 2, Source.TENSOR, 0),
)
EMBEDDINGS = {7: 2, 8: 3}
"""Tensor -> its feature."""


def _columns():
    columns = {}
    for index, tensor in enumerate(TENSORS):
        if tensor.source in (Source.SPARSE_BINARY, Source.SPARSE_CONTINUOUS):
            for feature_id in (1, 2):  # both have all categories, of other columns
                columns[tensor.source, feature_id] = tuple(
                    Place(index, (column + feature_id) % tensor.width, text)
                    for column, text in enumerate(CATEGORIES)
                )
        elif tensor.source is not Source.TENSOR:
            for feature_id in range(1, tensor.width + 1):
                columns[tensor.source, feature_id] = (Place(index, feature_id - 1),)
    return columns


COLUMNS = _columns()
LAYOUT = Layout("compared", TENSORS, {}, "", "")
WIDTHS = {index: tensor.width for index, tensor in enumerate(TENSORS)}
FORMS = {
    BatchPredictionRequest: "batch",
    PredictionRequest: "prediction",
    DataRecord: "record",
    CompactDataRecord: "record",
}
DECODERS = {
    struct_type: Decoder(LAYOUT, FeatureMap(COLUMNS, EMBEDDINGS), WIDTHS, exact_embeddings=False, form=form)
    for struct_type, form in FORMS.items()
}


class Refused(NamedTuple):
    """What was raised."""

    error: Exception


class Accepted(NamedTuple):
    """The request where a library read it, and the tensors."""

    request: object
    tensors: dict[int, np.ndarray] | None


def navi(struct_type, payload):
    """Return navi's tensors, or its refusal."""
    decoder = DECODERS[struct_type]
    try:
        measured = decoder.measure([payload])
    except DecodeError as error:
        return Refused(error)
    out = decoder.allocate(measured.num_rows)
    decoder.fill(measured, out)
    return Accepted(None, out)


def apache(struct_type, payload, *, accelerated):
    """Return the tensors of what Apache Thrift reads, or its refusal.

    Its generated code has a check of required fields (``validate``) that reading does not call: this does. What
    does not fit a tensor is refused as ``DoesNotFitError``.
    """
    transport = TMemoryBuffer(payload)
    protocol = (
        TBinaryProtocolAccelerated(transport, fallback=False) if accelerated else TBinaryProtocol(transport)
    )
    request = struct_type()
    try:
        request.read(protocol)
        validate(request)
    except Exception as error:  # whatever it raises is its refusal
        return Refused(error)
    try:
        return Accepted(request, scatter(request))
    except DoesNotFitError as error:
        return Refused(error)


class DoesNotFitError(Exception):
    """A well-formed tensor does not fit the row that it is for."""


def validate(value):
    """Call the generated check of a struct and of every struct in it."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value if value and hasattr(value[0], "validate") else ():
            validate(each)
    elif hasattr(value, "validate"):
        value.validate()
        for each in vars(value).values():
            validate(each)


def scatter(request):
    """Return the tensors of a decoded request, feature by feature."""
    match request:
        case BatchPredictionRequest():
            records, common = request.individualFeaturesList, request.commonFeatures
        case PredictionRequest():
            records, common = [request.features], None
        case _:
            records, common = [request], None
    out = {
        index: np.full((len(records), tensor.width), tensor.default, numpy_dtype(tensor.dtype))
        for index, tensor in enumerate(TENSORS)
    }
    with np.errstate(over="ignore"):
        if common is not None:
            _lay(common, out, slice(None))
        for row, record in enumerate(records):
            _lay(record, out, row)
    return out


_SOURCES = (
    ("binary", Source.BINARY),
    ("continuous", Source.CONTINUOUS),
    ("discrete", Source.DISCRETE),
    ("string", Source.STRING),
    ("blob", Source.BLOB),
    ("sparseBinary", Source.SPARSE_BINARY),
    ("sparseContinuous", Source.SPARSE_CONTINUOUS),
)


def _lay(record, out, rows):
    compact = isinstance(record, CompactDataRecord)
    for spec in record.thrift_spec:  # in the order of the fields' ids: later ones go over earlier ones
        held = getattr(record, spec[2]) if spec else None
        if held is None:
            continue
        if spec[2] in ("tensors", "sparseTensors"):
            for feature_id, tensor in held.items():
                _embed(feature_id, tensor, out, rows)
            continue
        source = next(source for name, source in _SOURCES if spec[2].startswith(name + "Features"))
        floats = _float_of if compact and "ontinuous" in spec[2] else lambda value: value
        for feature_id in held:
            value = 1 if isinstance(held, set) else held[feature_id]
            for place in COLUMNS.get((source, feature_id), ()):
                cell = value
                if place.category is not None:
                    texts = {_text(key): key for key in value}
                    key = texts.get(place.category)
                    cell = (
                        TENSORS[place.tensor].default
                        if place.category not in texts
                        else 1
                        if isinstance(value, set)
                        else floats(value[key])
                    )
                elif source is Source.CONTINUOUS:
                    cell = floats(value)
                out[place.tensor][rows, place.column] = cell.encode() if isinstance(cell, str) else cell


def _text(category):
    return (category if isinstance(category, str) else str(category)).encode()


def _float_of(bits):
    return struct.unpack("=f", struct.pack("=i", bits))[0]


_NUMBERS = (
    ("floatTensor", "floats"),
    ("doubleTensor", "doubles"),
    ("int32Tensor", "ints"),
    ("int64Tensor", "longs"),
)
_RAW = {0: "<f4", 1: "<f8", 2: "<i4", 3: "<i8", 4: "u1"}


def _numbers(tensor):
    """Return a GeneralTensor's numbers; None where it holds none."""
    for member, values in _NUMBERS:
        typed = getattr(tensor, member)
        if typed is not None:
            return np.array(getattr(typed, values), np.int64 if "int" in member else np.float64)
    raw = tensor.rawTypedTensor
    if raw is None or raw.dataType not in _RAW:
        return None
    try:
        return np.frombuffer(raw.content, _RAW[raw.dataType])
    except ValueError as error:
        raise DoesNotFitError(str(error)) from None


def _embed(feature_id, tensor, out, rows):
    for index, embedding_id in EMBEDDINGS.items():
        if feature_id == embedding_id:
            width = TENSORS[index].width
            is_sparse = isinstance(tensor, SparseTensor)
            values = _dense(tensor.cooSparseTensor, width) if is_sparse else _numbers(tensor)
            if values is None:
                values = np.zeros(width)
            if len(values) < width:
                raise DoesNotFitError(f"{len(values)} values for {width} columns")
            out[index][rows] = values[:width]


def _dense(coo, width):
    """Return a sparse tensor's first elements; None where it holds no numbers."""
    if coo is None:
        raise DoesNotFitError("a sparse tensor without a member")
    values = _numbers(coo.values)
    if values is None:
        return None
    shape, indices = coo.denseShape, coo.indices.longs
    sizes = list(itertools.accumulate(shape, operator.mul, initial=1))
    if any(extent < 0 or extent > MAX_DENSE for extent in [*shape, *sizes]):
        raise DoesNotFitError(f"shape {shape}")
    if len(indices) != len(shape) * len(values):
        raise DoesNotFitError(f"{len(indices)} indices for {len(values)} values of {len(shape)} dimensions")
    dense = np.zeros(min(sizes[-1], width))
    for number, value in enumerate(values):
        place = 0
        for extent, index in zip(shape, indices[number * len(shape) :], strict=False):
            if not 0 <= index < extent:
                raise DoesNotFitError(f"index {index} of {extent}")
            place = place * extent + index
        if place < width:
            dense[place] = value
    return dense
