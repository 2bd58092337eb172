"""What the kernels must answer, in plain Python that is written to be read.

Arrived at another way: the bytes become Python objects, which are then laid into the rows by the feature map
itself, without its frozen form.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from navi_core import Array, numpy_dtype
from navi_dr_transform import wire
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import Layout, Source

__all__ = ["Reference"]

_FIXED: Final = {wire.BOOL: 1, wire.BYTE: 1, wire.I16: 2, wire.I32: 4, wire.I64: 8, wire.DOUBLE: 8}
_SMALLEST: Final = {**_FIXED, wire.STRING: 4, wire.STRUCT: 1, wire.MAP: 6, wire.SET: 5, wire.LIST: 5}
_CODES: Final = {wire.I16: ">h", wire.I32: ">i", wire.I64: ">q", wire.DOUBLE: ">d"}
_FLOAT_BITS: Final = ">f"

# field and type of its map's values -> struct code of the values, or types inside of them
_SCALARS: Final = {(2, wire.DOUBLE): ">d", (2, wire.I32): _FLOAT_BITS, (3, wire.I64): ">q"}
_STRINGS: Final = {(4, wire.STRING), (7, wire.STRING), (13, wire.STRING)}
_SETS: Final = {
    (5, wire.SET): wire.STRING,
    (6, wire.SET): wire.I16,
    (7, wire.SET): wire.I32,
    (8, wire.SET): wire.I64,
}
_MAPS: Final = {
    (6, wire.MAP): (wire.STRING, wire.DOUBLE),
    (9, wire.MAP): (wire.STRING, wire.I32),
    (10, wire.MAP): (wire.I16, wire.I32),
    (11, wire.MAP): (wire.I32, wire.I32),
    (12, wire.MAP): (wire.I64, wire.I32),
}
_TENSORS: Final = {(8, wire.STRUCT), (14, wire.STRUCT)}
_SPARSE_TENSORS: Final = {(9, wire.STRUCT), (15, wire.STRUCT)}
_KNOWN: Final = {*_SCALARS, *_STRINGS, *_SETS, *_MAPS, *_TENSORS, *_SPARSE_TENSORS}

# typed tensors: wire type of the elements, and their struct code where they are numbers
_TYPED: Final[dict[int, tuple[int, str]]] = {
    wire.TENSOR_STRING: (wire.STRING, ""),
    wire.TENSOR_INT32: (wire.I32, ">i"),
    wire.TENSOR_INT64: (wire.I64, ">q"),
    wire.TENSOR_FLOAT: (wire.DOUBLE, ">d"),
    wire.TENSOR_DOUBLE: (wire.DOUBLE, ">d"),
    wire.TENSOR_BOOL: (wire.BOOL, ""),
    wire.TENSOR_BINARY: (wire.STRING, ""),
}
_RAW: Final = {
    wire.RAW_FLOAT: "<f",
    wire.RAW_DOUBLE: "<d",
    wire.RAW_INT32: "<i",
    wire.RAW_INT64: "<q",
    wire.RAW_UINT8: "<B",
}


class _Stop(Exception):  # noqa: N818 - not an error but how reading ends early
    """Reading stopped: a status and the offset where."""

    def __init__(self, status: int, offset: int) -> None:
        self.answer = (status, offset)


@dataclass
class _Tensor:
    """Elements (None: what becomes zeros), and where the first one begins."""

    values: list[Any] | None
    offset: int


@dataclass
class _Record:
    """Pairs as they stand on the wire, by source; the fields of a record are kept by their number."""

    fields: dict[int, tuple[Source, list[tuple[int, Any]]]] = field(default_factory=dict)


class _Reader:
    """Reads one payload from ``offset`` on."""

    def __init__(
        self, payload: bytes, offset: int, widths: Mapping[int, Sequence[int]], *, exact: bool
    ) -> None:
        self.payload = payload
        self.offset = offset
        self.widths = widths  # feature id -> columns of the tensors that have it
        self.exact = exact

    # --- numbers ---

    def number(self, code: str, at: int) -> Any:
        return struct.unpack_from(code, self.payload, at)[0]

    def take(self, code: str) -> Any:
        size = struct.calcsize(code)
        self.need(size)
        self.offset += size
        return self.number(code, self.offset - size)

    def left(self) -> int:
        return len(self.payload) - self.offset

    def need(self, size: int) -> None:
        if self.left() < size:
            raise _Stop(wire.TRUNCATED, self.offset)

    # --- containers ---

    def next_field(self) -> tuple[int, int, int]:
        """Return a field's first byte, wire type and id; type STOP at the end of the struct."""
        start = self.offset
        self.need(1)
        wire_type = self.payload[start]
        if wire_type == wire.STOP:
            self.offset += 1
            return start, wire.STOP, 0
        self.need(3)
        self.offset += 3
        return start, wire_type, self.number(">h", start + 1)

    def string(self) -> bytes:
        self.need(4)
        length = self.number(">i", self.offset)
        if length < 0:
            raise _Stop(wire.NEGATIVE_COUNT, self.offset)
        if length > self.left() - 4:
            raise _Stop(wire.TRUNCATED, self.offset)
        self.offset += 4 + length
        return self.payload[self.offset - length : self.offset]

    def header(self, types: Sequence[int | None]) -> tuple[int, list[int]]:
        """Read the header of a list or set (one type) or map (two); None: any type that there is."""
        start, size = self.offset, len(types)
        self.need(size + 4)
        count = self.number(">i", start + size)
        got = list(self.payload[start : start + size])
        if count < 0:
            raise _Stop(wire.NEGATIVE_COUNT, start + size)
        if count > 0:
            for index, expected in enumerate(types):
                if expected is not None and got[index] != expected:
                    raise _Stop(wire.WRONG_TYPE, start + index)
                if expected is None and got[index] not in _SMALLEST:
                    raise _Stop(wire.UNKNOWN_TYPE, start + index)
            if count * sum(_SMALLEST[wire_type] for wire_type in got) > self.left() - size - 4:
                raise _Stop(wire.COUNT_TOO_LARGE, start + size)
        self.offset += size + 4
        return count, got

    def skip(self, wire_type: int, depth: int = 0) -> None:
        if wire_type in _FIXED:
            self.need(_FIXED[wire_type])
            self.offset += _FIXED[wire_type]
        elif wire_type == wire.STRING:
            self.string()
        elif wire_type not in _SMALLEST:
            raise _Stop(wire.UNKNOWN_TYPE, self.offset)
        elif depth == wire.MAX_DEPTH:
            raise _Stop(wire.TOO_DEEP, self.offset)
        elif wire_type == wire.STRUCT:
            while (inner := self.next_field()[1]) != wire.STOP:
                self.skip(inner, depth + 1)
        else:
            count, types = self.header([None, None] if wire_type == wire.MAP else [None])
            for _ in range(count):
                for inner in types:
                    self.skip(inner, depth + 1)

    # --- tensors ---

    def rest(self, start: int, wire_type: int, *, is_shape: bool) -> None:
        if not is_shape:
            self.skip(wire_type)
        elif wire_type != wire.LIST:
            raise _Stop(wire.WRONG_TYPE, start)
        else:
            self.longs()

    def longs(self) -> list[int]:
        count, _ = self.header([wire.I64])
        return [self.take(">q") for _ in range(count)]

    def raw(self) -> _Tensor:
        data_type: int | None = None
        content: bytes | None = None
        at = 0
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                break
            if field_id == wire.RAW_DATA_TYPE:
                if wire_type != wire.I32:
                    raise _Stop(wire.WRONG_TYPE, start)
                data_type = self.take(">i")
            elif field_id == wire.RAW_CONTENT:
                if wire_type != wire.STRING:
                    raise _Stop(wire.WRONG_TYPE, start)
                content = self.string()
                at = self.offset - len(content)
            else:
                self.rest(start, wire_type, is_shape=field_id == wire.RAW_SHAPE)
        if data_type is None or content is None:
            raise _Stop(wire.MISSING_FIELD, start)
        code = _RAW.get(data_type)
        if code is None:
            return _Tensor(None, at)
        if len(content) % struct.calcsize(code):
            raise _Stop(wire.RAW_SIZE, at)
        return _Tensor([value for (value,) in struct.iter_unpack(code, content)], at)

    def typed(self, member: int) -> _Tensor:
        element, code = _TYPED[member]
        tensor: _Tensor | None = None
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                break
            if field_id == wire.VALUES:
                if wire_type != wire.LIST:
                    raise _Stop(wire.WRONG_TYPE, start)
                count, _ = self.header([element])
                at = self.offset
                for _ in range(count):
                    self.skip(element)
                tensor = _Tensor(None, at)
                if code:
                    data = self.payload[at : self.offset]
                    tensor.values = [value for (value,) in struct.iter_unpack(code, data)]
            else:
                self.rest(start, wire_type, is_shape=field_id == wire.SHAPE)
        if tensor is None:
            raise _Stop(wire.MISSING_FIELD, start)
        return tensor

    def tensor(self) -> _Tensor:
        tensor: _Tensor | None = None
        while True:
            start, wire_type, member = self.next_field()
            if wire_type == wire.STOP:
                break
            if tensor is not None or member not in {wire.TENSOR_RAW, *_TYPED}:
                raise _Stop(wire.NOT_ONE_MEMBER, start)
            if wire_type != wire.STRUCT:
                raise _Stop(wire.WRONG_TYPE, start)
            tensor = self.raw() if member == wire.TENSOR_RAW else self.typed(member)
        if tensor is None:
            raise _Stop(wire.NOT_ONE_MEMBER, start)
        return tensor

    def embedding(self, feature_id: int) -> _Tensor:
        """Read a tensor; refuse one of the wrong length."""
        tensor = self.tensor()
        if tensor.values is not None:
            self.check_length(feature_id, len(tensor.values), tensor.offset)
        return tensor

    def check_length(self, feature_id: int, length: int, at: int) -> None:
        for width in self.widths.get(feature_id, ()):
            self.check_width(length, width, at)

    def check_width(self, length: int, width: int, at: int) -> None:
        if length < width:
            raise _Stop(wire.EMBEDDING_SHORT, at)
        if self.exact and length > width:
            raise _Stop(wire.EMBEDDING_LONG, at)

    def sparse_tensor(self, feature_id: int) -> _Tensor:
        """Read a COO tensor as the elements of the dense one, as many as a tensor of the layout takes."""
        tensor: _Tensor | None = None
        while True:
            start, wire_type, member = self.next_field()
            if wire_type == wire.STOP:
                break
            if tensor is not None or member != wire.SPARSE_COO:
                raise _Stop(wire.NOT_ONE_MEMBER, start)
            if wire_type != wire.STRUCT:
                raise _Stop(wire.WRONG_TYPE, start)
            tensor, check = self.coo(feature_id)
        if tensor is None:
            raise _Stop(wire.NOT_ONE_MEMBER, start)
        check()
        return tensor

    def coo(self, feature_id: int) -> tuple[_Tensor, Any]:
        shape: list[int] | None = None
        indices: _Tensor | None = None
        values: _Tensor | None = None
        shape_at = 0
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                break
            expected = {
                wire.COO_SHAPE: wire.LIST,
                wire.COO_INDICES: wire.STRUCT,
                wire.COO_VALUES: wire.STRUCT,
            }
            if field_id not in expected:
                self.skip(wire_type)
            elif wire_type != expected[field_id]:
                raise _Stop(wire.WRONG_TYPE, start)
            elif field_id == wire.COO_SHAPE:
                shape_at = self.offset + wire.LIST_HEADER_BYTES
                shape = self.longs()
            elif field_id == wire.COO_INDICES:
                indices = self.typed(wire.TENSOR_INT64)
            else:
                values = self.tensor()
        if shape is None or indices is None or values is None:
            raise _Stop(wire.MISSING_FIELD, start)
        dense = _Tensor(None, shape_at)

        def check() -> None:
            if values.values is None:
                return
            for width in self.widths.get(feature_id, ()):
                length = 1
                for dimension, extent in enumerate(shape):
                    length *= extent
                    if not 0 <= extent <= wire.MAX_DENSE or length > wire.MAX_DENSE:
                        raise _Stop(wire.SPARSE_SHAPE, shape_at + 8 * dimension)
                self.check_width(length, width, shape_at)
                places = indices.values or []
                if len(places) != len(shape) * len(values.values):
                    raise _Stop(wire.SPARSE_INDICES, indices.offset)
                for index, place in enumerate(places):
                    if not 0 <= place < shape[index % len(shape)]:
                        raise _Stop(wire.SPARSE_INDICES, indices.offset + 8 * index)
                dense.values = dense.values or [0] * width
                dense.values += [0] * (width - len(dense.values))
                rank = len(shape)
                for index, value in enumerate(values.values):
                    flat = 0
                    for place, extent in zip(places[index * rank : (index + 1) * rank], shape, strict=True):
                        flat = flat * extent + int(place)
                    if flat < len(dense.values):
                        dense.values[flat] = value

        return dense, check

    # --- records ---

    def record(self) -> _Record:
        record = _Record()
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                return record
            if field_id == wire.RECORD_BINARY:
                if wire_type != wire.SET:
                    raise _Stop(wire.WRONG_TYPE, start)
                count, _ = self.header([wire.I64])
                record.fields[field_id] = Source.BINARY, [(self.take(">q"), 1) for _ in range(count)]
            elif wire.RECORD_CONTINUOUS <= field_id <= wire.RECORD_SPARSE_TENSORS or (
                field_id >= wire.COMPACT_SPARSE_16
                and wire_type == wire.MAP
                and self.left() >= 6
                and self.payload[self.offset] == wire.I64
                and (field_id, self.payload[self.offset + 1]) in _KNOWN
            ):
                if wire_type != wire.MAP:
                    raise _Stop(wire.WRONG_TYPE, start)
                record.fields[field_id] = self.pairs(field_id)
            else:
                self.skip(wire_type)

    def pairs(self, field_id: int) -> tuple[Source, list[tuple[int, Any]]]:
        """Read a map of a record: its source and its pairs."""
        start = self.offset
        self.need(6)
        value_type = self.payload[start + 1]
        known = (field_id, value_type)
        count = self.number(">i", start + 2)
        if count > 0 and self.payload[start] == wire.I64 and known not in _KNOWN:
            raise _Stop(wire.WRONG_TYPE, start + 1)
        count, _ = self.header([wire.I64, value_type])
        if count == 0:
            return Source.BINARY, []
        if known in _SCALARS:
            source = Source.CONTINUOUS if field_id == wire.RECORD_CONTINUOUS else Source.DISCRETE
            return source, [(self.take(">q"), self.take(_SCALARS[known])) for _ in range(count)]
        if known in _STRINGS:
            source = Source.STRING if field_id == wire.RECORD_STRINGS else Source.BLOB
            return source, [(self.take(">q"), self.string()) for _ in range(count)]
        if known in _SETS:
            return Source.SPARSE_BINARY, [(self.take(">q"), self.keys(_SETS[known])) for _ in range(count)]
        if known in _MAPS:
            types = _MAPS[known]
            return Source.SPARSE_CONTINUOUS, [(self.take(">q"), self.weights(*types)) for _ in range(count)]
        read = self.embedding if known in _TENSORS else self.sparse_tensor
        pairs = []
        for _ in range(count):
            feature_id = self.take(">q")
            pairs.append((feature_id, read(feature_id)))
        return Source.TENSOR, pairs

    def category(self, key_type: int) -> bytes:
        return self.string() if key_type == wire.STRING else b"%d" % self.take(_CODES[key_type])

    def keys(self, key_type: int) -> list[tuple[bytes, int]]:
        count, _ = self.header([key_type])
        return [(self.category(key_type), 1) for _ in range(count)]

    def weights(self, key_type: int, value_type: int) -> list[tuple[bytes, float]]:
        code = ">d" if value_type == wire.DOUBLE else _FLOAT_BITS
        count, _ = self.header([key_type, value_type])
        return [(self.category(key_type), self.take(code)) for _ in range(count)]


class Reference:
    """Decodes requests by the book; its arguments are those of ``decoder.Decoder``."""

    def __init__(
        self,
        layout: Layout,
        features: FeatureMap,
        widths: Mapping[int, int],
        *,
        exact: bool = False,
        form: int = wire.BATCH,
    ) -> None:
        self.layout = layout
        self.features = features
        self.widths = {tensor: width for tensor, width in widths.items() if width > 0}
        self.exact = exact
        self.form = form
        self.embedding_widths: dict[int, list[int]] = {}
        for tensor, feature_id in features.embeddings.items():
            if tensor in self.widths:
                self.embedding_widths.setdefault(feature_id, []).append(self.widths[tensor])

    def reader(self, payload: bytes, offset: int) -> _Reader:
        return _Reader(payload, offset, self.embedding_widths, exact=self.exact)

    def measure(self, payload: bytes) -> tuple[int, int, int, int, int]:
        """Read every length of a request; see ``_kernels.measure``."""
        reader = self.reader(payload, 0)
        num_records = records = common = -1
        try:
            if self.form == wire.RECORD:
                reader.record()
                return wire.OK, reader.offset, 1, 0, -1
            while True:
                start, wire_type, field_id = reader.next_field()
                if wire_type == wire.STOP:
                    if records < 0:
                        return wire.MISSING_FIELD, start, 0, 0, 0
                    return wire.OK, reader.offset, num_records, records, common
                if field_id == wire.REQUEST_RECORDS:
                    if wire_type != (wire.LIST if self.form == wire.BATCH else wire.STRUCT):
                        return wire.WRONG_TYPE, start, 0, 0, 0
                    num_records = reader.header([wire.STRUCT])[0] if self.form == wire.BATCH else 1
                    records = reader.offset
                    for _ in range(num_records):
                        reader.record()
                elif field_id == wire.REQUEST_COMMON and self.form == wire.BATCH:
                    if wire_type != wire.STRUCT:
                        return wire.WRONG_TYPE, start, 0, 0, 0
                    common = reader.offset
                    reader.record()
                else:
                    reader.skip(wire_type)
        except _Stop as stop:
            return *stop.answer, 0, 0, 0

    def fill(self, payload: bytes) -> tuple[int, dict[int, Array]]:
        """Return the byte after a well-formed request's last record, and its rows by tensor."""
        status, _, num_records, records, common = self.measure(payload)
        if status != wire.OK:
            raise ValueError(wire.STATUS_TEXTS[status])
        out = {
            tensor: np.full(
                (num_records, width),
                self.layout.tensors[tensor].default,
                numpy_dtype(self.layout.tensors[tensor].dtype),
            )
            for tensor, width in self.widths.items()
        }
        with np.errstate(over="ignore", invalid="ignore"):  # a double beyond float32 becomes an infinity
            if common >= 0:
                shared = self.reader(payload, common).record()
                for row in range(num_records):
                    self.lay(shared, out, row)
            reader = self.reader(payload, records)
            for row in range(num_records):
                self.lay(reader.record(), out, row)
        return reader.offset, out

    def lay(self, record: _Record, out: Mapping[int, Array], row: int) -> None:
        """Lay a record over a row."""
        for _, (source, pairs) in sorted(record.fields.items()):
            for feature_id, value in pairs:
                if source is Source.TENSOR:
                    self.lay_tensor(feature_id, value, out, row)
                    continue
                places = self.features.columns.get((source, feature_id), ())
                if isinstance(value, list):
                    self.lay_sparse(places, dict(value), out, row)
                else:
                    for place in places:
                        self.set(out, row, place, value)

    def set(self, out: Mapping[int, Array], row: int, place: Place, value: Any) -> None:
        if 0 <= place.column < self.widths.get(place.tensor, 0):
            out[place.tensor][row, place.column] = _as(out[place.tensor].dtype, value)

    def lay_sparse(
        self, places: Sequence[Place], values: Mapping[bytes, Any], out: Mapping[int, Array], row: int
    ) -> None:
        """Lay a sparse feature over a row: it takes the place of a common one as a whole."""
        for place in places:
            default = self.layout.tensors[place.tensor].default
            if 0 <= place.column < self.widths.get(place.tensor, 0):
                out[place.tensor][row, place.column] = default
        for category, value in values.items():
            for place in places:
                if place.category == category:
                    self.set(out, row, place, value)

    def lay_tensor(self, feature_id: int, tensor: _Tensor, out: Mapping[int, Array], row: int) -> None:
        for number, embedding_id in self.features.embeddings.items():
            if embedding_id == feature_id and number in self.widths:
                target = out[number]
                values = tensor.values or []
                for column in range(target.shape[1]):
                    target[row, column] = (
                        _as(target.dtype, values[column]) if tensor.values is not None else 0
                    )


def _as(dtype: np.dtype[Any], value: Any) -> Any:
    """Make a number one of a tensor's type."""
    if dtype.kind == "O":
        return value
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind == "f":
        return dtype.type(np.float64(value))
    bits = 8 * dtype.itemsize
    if isinstance(value, float):
        whole = math.trunc(value) if math.isfinite(value) else 0
        return whole if -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1) else 0
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) if dtype.kind == "i" else value
