"""The fields of a DataRecord for many records at once: each function adds one field to every row that has it.

Numbers of all rows are written by NumPy into one array, in the byte order of the wire; a row's field is its header and
a view of its part. Source of the layout: TBinaryProtocol, and ``specs/thrift/data.thrift``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from navi_core import Array, InvalidRequestError
from navi_dr_transform import wire
from navi_dr_transform.encode_columns import FeatureKey, Numbers, is_missing

__all__ = [
    "COMPACT",
    "PLAIN",
    "Objects",
    "RecordForm",
    "Rows",
    "add_binary",
    "add_continuous",
    "add_discrete",
    "add_sparse_binary",
    "add_sparse_continuous",
    "add_strings",
    "field_header",
    "packed_string",
    "set_header",
]

Rows: TypeAlias = list[list[bytes | memoryview]]
"""For each record the pieces that are written so far, without the stop byte."""

Objects: TypeAlias = Sequence[tuple[int, FeatureKey, Any]]
"""Features whose values are no numbers: id, key, and a column as long as there are records."""


@dataclass(frozen=True, slots=True)
class RecordForm:
    """Where a struct keeps its fields: DataRecord, or CompactDataRecord.

    Parameters
    ----------
    name
        The struct's name.
    float_type, float_format
        Wire type of a continuous value, and NumPy's name for its bytes.
    sparse_continuous, blobs, tensors
        Field ids; those of the others are the same in both.
    """

    name: str
    float_type: int
    float_format: str
    sparse_continuous: int
    blobs: int
    tensors: int


PLAIN: Final = RecordForm("DataRecord", wire.DOUBLE, ">f8", 6, 7, 8)
COMPACT: Final = RecordForm("CompactDataRecord", wire.I32, ">f4", 9, 13, 14)
"""Its continuous values are the bits of 32-bit floats, written as i32."""

_BINARY, _CONTINUOUS, _DISCRETE, _STRINGS, _SPARSE_BINARY = range(1, 6)

_KEY: Final = struct.Struct(">q")
_COUNT: Final = struct.Struct(">i")
_MAP: Final = struct.Struct(">BhBBi")
_SET: Final = struct.Struct(">BhBi")
_LENGTH_LIMIT: Final = 2**31 - 1


def field_header(field: int, value_type: int, count: int) -> bytes:
    """Return the header of a field that is a map with ids as its keys."""
    return _MAP.pack(wire.MAP, field, wire.I64, value_type, count)


def set_header(field: int, count: int) -> bytes:
    """Return the header of a field that is a set of ids."""
    return _SET.pack(wire.SET, field, wire.I64, count)


def packed_string(value: str | bytes) -> bytes:
    """Return a string as it is written: length and bytes."""
    data = value.encode() if isinstance(value, str) else value
    return _COUNT.pack(len(data)) + data


# --- numbers ----------------------------------------------------------------------------------------------


def add_binary(rows: Rows, numbers: Numbers) -> None:
    """Add ``binaryFeatures``: the ids whose value is there and not zero."""
    chosen = numbers.values != 0
    if numbers.present is not None:
        chosen &= numbers.present
    ids = np.broadcast_to(numbers.ids.astype(">i8"), chosen.shape)[chosen]
    _add_parts(rows, ids, np.count_nonzero(chosen, axis=1), lambda n: set_header(_BINARY, n))


def add_continuous(rows: Rows, numbers: Numbers, form: RecordForm) -> None:
    """Add ``continuousFeatures``."""
    _add_pairs(rows, numbers, form.float_format, _CONTINUOUS, form.float_type)


def add_discrete(rows: Rows, numbers: Numbers) -> None:
    """Add ``discreteFeatures``."""
    _add_pairs(rows, numbers, ">i8", _DISCRETE, wire.I64)


def _add_pairs(rows: Rows, numbers: Numbers, value_format: str, field: int, value_type: int) -> None:
    pairs: Array = np.empty(numbers.values.shape, np.dtype([("id", ">i8"), ("value", value_format)]))
    pairs["id"] = numbers.ids.astype(">i8")  # once, not once a row
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large for 32 bits becomes infinite
        pairs["value"] = numbers.values
    if numbers.present is None:
        counts = np.full(len(rows), len(numbers.ids))
    else:
        counts = np.count_nonzero(numbers.present, axis=1)
        pairs = pairs.reshape(-1).take(np.flatnonzero(numbers.present))  # a mask takes eight times as long
    _add_parts(rows, pairs, counts, lambda n: field_header(field, value_type, n))


def _add_parts(rows: Rows, elements: Array, counts: Array, header: Any) -> None:
    """Give every row its number of elements, after their header; rows without any get nothing."""
    size_bytes = elements.dtype.itemsize
    data = elements.reshape(-1).view(np.uint8).data
    headers: dict[int, bytes] = {}
    start = 0
    for row, count in zip(rows, counts.tolist(), strict=True):
        if count:
            stop = start + count * size_bytes
            if count not in headers:
                headers[count] = header(count)
            row.extend((headers[count], data[start:stop]))
            start = stop


# --- what is no number ------------------------------------------------------------------------------------


def add_strings(rows: Rows, features: Objects, family: str, field: int = _STRINGS) -> None:
    """Add ``stringFeatures``, or ``blobFeatures`` where ``field`` says so: columns of texts or bytes."""
    _add_objects(rows, features, family, field, wire.STRING, _string)


def add_sparse_binary(rows: Rows, features: Objects, family: str) -> None:
    """Add ``sparseBinaryFeatures``: columns of sets of texts."""
    _add_objects(rows, features, family, _SPARSE_BINARY, wire.SET, _string_set)


def add_sparse_continuous(rows: Rows, features: Objects, family: str, form: RecordForm) -> None:
    """Add ``sparseContinuousFeatures``: columns of mappings from texts to numbers."""
    pack = struct.Struct(">d" if form.float_type == wire.DOUBLE else ">f").pack

    def packed(value: Any) -> bytes | None:
        if not isinstance(value, Mapping):
            raise TypeError("mappings from texts to numbers")
        if not value:
            return None
        if not all(isinstance(item, int | float | np.number | np.bool_) for item in value.values()):
            raise TypeError("mappings from texts to numbers")
        pairs = [packed_string(_text(key)) + pack(float(item)) for key, item in value.items()]
        return bytes((wire.STRING, form.float_type)) + _COUNT.pack(len(pairs)) + b"".join(pairs)

    _add_objects(rows, features, family, form.sparse_continuous, wire.MAP, packed)


def _add_objects(
    rows: Rows, features: Objects, family: str, field: int, value_type: int, packed: Any
) -> None:
    """Write every value that is there; ``packed`` answers None for what counts as missing."""
    parts: list[list[bytes]] = [[] for _ in rows]
    for key_id, key, column in features:
        start = _KEY.pack(key_id)
        for part, value in zip(parts, column, strict=True):
            if is_missing(value):
                continue
            try:
                data = packed(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise _refused(family, key, f"{error}, got {type(value).__name__}") from None
            if data is not None:
                part.extend((start, data))
    for row, part in zip(rows, parts, strict=True):
        if part:
            row.extend((field_header(field, value_type, len(part) // 2), *part))


def _string(value: Any) -> bytes:
    return packed_string(_text(value))


def _string_set(value: Any) -> bytes | None:
    if isinstance(value, str | bytes | Mapping):
        raise TypeError("sets of texts")
    texts = sorted({_text(item) for item in value})
    if not texts:
        return None
    return bytes((wire.STRING,)) + _COUNT.pack(len(texts)) + b"".join(map(packed_string, texts))


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError("texts or bytes")


def _refused(family: str, key: FeatureKey, expected: str) -> InvalidRequestError:
    return InvalidRequestError(f"{family} feature '{key}': expected {expected}", tensor=str(key))
