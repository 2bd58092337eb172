"""The kernels in plain Python: what they must answer, written to be read.

Same names, arguments and answers as in ``_kernels``, arrived at another way: the bytes become Python
objects (dictionaries, so that the last of equal keys wins), which are then laid into the rows.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from navi_dr_transform import wire

__all__ = ["fill", "measure"]

_FIXED: Final = {wire.BOOL: 1, wire.BYTE: 1, wire.I16: 2, wire.I32: 4, wire.I64: 8, wire.DOUBLE: 8}
_SMALLEST: Final = {**_FIXED, wire.STRING: 4, wire.STRUCT: 1, wire.MAP: 6, wire.SET: 5, wire.LIST: 5}

_MAP_VALUES: Final = {
    wire.RECORD_CONTINUOUS: wire.DOUBLE,
    wire.RECORD_DISCRETE: wire.I64,
    wire.RECORD_STRINGS: wire.STRING,
    wire.RECORD_SPARSE_BINARY: wire.SET,
    wire.RECORD_SPARSE_CONTINUOUS: wire.MAP,
    wire.RECORD_BLOBS: wire.STRING,
    wire.RECORD_TENSORS: wire.STRUCT,
    wire.RECORD_SPARSE_TENSORS: wire.STRUCT,
}

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
    """Elements as float64 (or what becomes zeros: None), and where the first one begins."""

    values: list[float] | None
    offset: int


@dataclass
class _Record:
    binary: set[int] = field(default_factory=set)
    continuous: dict[int, float] = field(default_factory=dict)
    discrete: dict[int, int] = field(default_factory=dict)
    embeddings: dict[int, list[float] | None] = field(default_factory=dict)


class _Reader:
    """Reads one payload from ``offset`` on."""

    def __init__(self, payload: bytes, offset: int, widths: dict[int, list[int]], exact: int) -> None:
        self.payload = payload
        self.offset = offset
        self.widths = widths  # feature id -> columns of the embeddings that have it
        self.exact = exact

    # --- numbers ---

    def number(self, code: str, at: int) -> Any:
        return struct.unpack_from(code, self.payload, at)[0]

    def left(self) -> int:
        return len(self.payload) - self.offset

    def need(self, size: int) -> None:
        if self.left() < size:
            raise _Stop(wire.TRUNCATED, self.offset)

    def key(self) -> int:
        self.need(8)
        self.offset += 8
        return int(self.number(">q", self.offset - 8))

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
            count, _ = self.header([wire.I64])
            self.offset += 8 * count

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
                self.need(4)
                data_type = self.number(">i", self.offset)
                self.offset += 4
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
        return _Tensor([float(value) for (value,) in struct.iter_unpack(code, content)], at)

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
                    tensor.values = [float(value) for (value,) in struct.iter_unpack(code, data)]
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

    # --- records ---

    def embedding(self, feature_id: int, tensor: _Tensor) -> None:
        """Refuse an embedding of the wrong length."""
        if tensor.values is None:
            return
        for width in self.widths.get(feature_id, ()):
            if len(tensor.values) < width:
                raise _Stop(wire.EMBEDDING_SHORT, tensor.offset)
            if self.exact and len(tensor.values) > width:
                raise _Stop(wire.EMBEDDING_LONG, tensor.offset)

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
                record.binary = {self.key() for _ in range(count)}
                continue
            if field_id in _MAP_VALUES:
                if wire_type != wire.MAP:
                    raise _Stop(wire.WRONG_TYPE, start)
                before = self.offset
                count, _ = self.header([wire.I64, _MAP_VALUES[field_id]])
                if field_id == wire.RECORD_CONTINUOUS:
                    record.continuous = {self.key(): self.double() for _ in range(count)}
                    continue
                if field_id == wire.RECORD_DISCRETE:
                    record.discrete = {self.key(): self.key() for _ in range(count)}
                    continue
                if field_id == wire.RECORD_TENSORS:
                    record.embeddings = {}
                    for _ in range(count):
                        feature_id = self.key()
                        tensor = self.tensor()
                        self.embedding(feature_id, tensor)
                        record.embeddings[feature_id] = tensor.values
                    continue
                self.offset = before
            self.skip(wire_type)

    def double(self) -> float:
        self.offset += 8
        return float(self.number(">d", self.offset - 8))


def _widths(embedding_ids: Any, embedding_widths: Any) -> dict[int, list[int]]:
    widths: dict[int, list[int]] = {}
    for feature_id, width in zip(embedding_ids, embedding_widths, strict=True):
        if width > 0:
            widths.setdefault(int(feature_id), []).append(int(width))
    return widths


def measure(
    payload: bytes, embedding_ids: Any, embedding_widths: Any, exact: int
) -> tuple[int, int, int, int, int]:
    """Read every length of a BatchPredictionRequest; see ``_kernels.measure``."""
    reader = _Reader(payload, 0, _widths(embedding_ids, embedding_widths), exact)
    num_records = records = common = -1
    try:
        while True:
            start, wire_type, field_id = reader.next_field()
            if wire_type == wire.STOP:
                if records < 0:
                    return wire.MISSING_FIELD, start, 0, 0, 0
                return wire.OK, reader.offset, num_records, records, common
            if field_id == wire.REQUEST_RECORDS:
                if wire_type != wire.LIST:
                    return wire.WRONG_TYPE, start, 0, 0, 0
                num_records, _ = reader.header([wire.STRUCT])
                records = reader.offset
                for _ in range(num_records):
                    reader.record()
            elif field_id == wire.REQUEST_COMMON:
                if wire_type != wire.STRUCT:
                    return wire.WRONG_TYPE, start, 0, 0, 0
                common = reader.offset
                reader.record()
            else:
                reader.skip(wire_type)
    except _Stop as stop:
        return *stop.answer, 0, 0, 0


def fill(
    payload: bytes,
    num_records: int,
    records: int,
    common: int,
    table: Any,
    embedding_ids: Any,
    exact: int,
    out: Any,
    first_row: int,
) -> tuple[int, int]:
    """Write every record of a BatchPredictionRequest into its row; see ``_kernels.fill``."""
    columns = {int(key): int(value) for key, value in table.reshape(-1, 2) if value >= 0}
    widths = _widths(embedding_ids, [tensor.shape[1] for tensor in out[3:]])
    rows = slice(first_row, first_row + num_records)
    for tensor, default in zip(out, (np.nan, 0, 0, 0, 0, 0), strict=True):
        tensor[rows] = default

    @np.errstate(over="ignore")  # a double beyond float32 becomes an infinity, as in Navi
    def lay(record: _Record, rows: slice | int) -> None:
        by_kind: tuple[Mapping[int, float], ...] = (
            record.continuous,
            dict.fromkeys(record.binary, 1),
            record.discrete,
        )
        for kind, features in enumerate(by_kind):
            for feature_id, value in features.items():
                found_kind, column = divmod(columns.get(feature_id, -1), 1 << wire.KIND_SHIFT)
                if found_kind == kind:
                    out[kind][rows, column] = value
        for tensor, embedding_id in zip(out[3:], embedding_ids, strict=True):
            if int(embedding_id) in record.embeddings and tensor.shape[1] > 0:
                values = record.embeddings[int(embedding_id)]
                tensor[rows] = 0 if values is None else np.array(values[: tensor.shape[1]])

    try:
        if common >= 0:
            lay(_Reader(payload, common, widths, exact).record(), rows)
        reader = _Reader(payload, records, widths, exact)
        for row in range(first_row, first_row + num_records):
            lay(reader.record(), row)
    except _Stop as stop:
        return stop.answer
    return wire.OK, reader.offset
