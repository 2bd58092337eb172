"""Requests as plain Python values, read by Apache Thrift's own protocol: for people who ask why, off the request path.

The structs of ``specs/thrift`` are told by their wire types, so that DataRecord and CompactDataRecord are read alike.
Payloads are those that the kernels accepted: their bounds and their nesting were checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from navi_dr_transform import wire
from navi_dr_transform.layout import Source

__all__ = ["Feature", "read_records"]

_SCALARS: Final = {
    wire.BOOL: TBinaryProtocol.readBool,
    wire.BYTE: TBinaryProtocol.readByte,
    wire.I16: TBinaryProtocol.readI16,
    wire.I32: TBinaryProtocol.readI32,
    wire.I64: TBinaryProtocol.readI64,
    wire.DOUBLE: TBinaryProtocol.readDouble,
    wire.STRING: TBinaryProtocol.readBinary,
}
_BLOBS: Final = (wire.RECORD_BLOBS, 13)  # of a DataRecord, of a CompactDataRecord


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of one record.

    Parameters
    ----------
    source
        Where it stands.
    id
        Its id.
    value
        A number or bytes; None for tensors.
    categories
        Of a sparse feature: category -> value; None elsewhere.
    """

    source: Source
    id: int
    value: float | bytes | None
    categories: Mapping[bytes, float] | None = None


def read_records(payload: bytes, form: str) -> tuple[Sequence[Sequence[Feature]], Sequence[Feature]]:
    """Return the features of every record of a request, and its common features.

    Parameters
    ----------
    payload
        A request that the kernels accept.
    form
        What it is: ``batch``, ``prediction`` or ``record``.
    """
    fields = _read(TBinaryProtocol(TMemoryBuffer(payload)), wire.STRUCT)
    if form == "record":
        return [_features(fields)], []
    if form == "prediction":
        return [_features(fields[1][1])], []
    _, records = fields[wire.REQUEST_RECORDS][1]
    common = fields.get(wire.REQUEST_COMMON)
    return [_features(record) for record in records], [] if common is None else _features(common[1])


def _read(protocol: Any, wire_type: int) -> Any:
    """Read a value: a struct as field id -> (type, value), a map as (types, dict), a list or set as (type, list)."""
    if wire_type in _SCALARS:
        return _SCALARS[wire_type](protocol)
    if wire_type == wire.STRUCT:
        fields: dict[int, tuple[int, Any]] = {}
        while True:
            _, field_type, field = protocol.readFieldBegin()
            if field_type == wire.STOP:
                return fields
            fields[field] = (field_type, _read(protocol, field_type))
    if wire_type == wire.MAP:
        key_type, value_type, count = protocol.readMapBegin()
        pairs = {}
        for _ in range(count):
            key = _read(protocol, key_type)
            pairs[key] = _read(protocol, value_type)
        return (key_type, value_type), pairs
    element_type, count = protocol.readListBegin()
    return element_type, [_read(protocol, element_type) for _ in range(count)]


def _features(fields: Mapping[int, tuple[int, Any]]) -> Sequence[Feature]:
    """Return a record's features in the order in which they go over each other: that of the fields' ids."""
    ordered = sorted(fields.items())
    return [feature for field, (kind, value) in ordered for feature in _field(field, kind, value)]


def _field(field: int, wire_type: int, value: Any) -> Iterator[Feature]:
    if field == wire.RECORD_BINARY and wire_type == wire.SET:
        yield from (Feature(Source.BINARY, each, 1) for each in value[1])
        return
    if wire_type != wire.MAP:
        return
    (key_type, value_type), pairs = value
    for feature_id, each in pairs.items() if key_type == wire.I64 else ():
        if value_type == wire.DOUBLE:
            yield Feature(Source.CONTINUOUS, feature_id, each)
        elif value_type == wire.I32:
            yield Feature(Source.CONTINUOUS, feature_id, _float_of(each))
        elif value_type == wire.I64:
            yield Feature(Source.DISCRETE, feature_id, each)
        elif value_type == wire.STRING:
            yield Feature(Source.BLOB if field in _BLOBS else Source.STRING, feature_id, each)
        elif value_type == wire.SET:
            yield Feature(Source.SPARSE_BINARY, feature_id, None, {_category(key): 1 for key in each[1]})
        elif value_type == wire.MAP:
            numbers = {
                _category(key): _float_of(number) if each[0][1] == wire.I32 else number
                for key, number in each[1].items()
            }
            yield Feature(Source.SPARSE_CONTINUOUS, feature_id, None, numbers)
        elif value_type == wire.STRUCT:
            yield Feature(Source.TENSOR, feature_id, None)


def _category(key: Any) -> bytes:
    """Return a category's text: compact records may hold integers."""
    return key if isinstance(key, bytes) else str(key).encode()


def _float_of(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<i", bits))[0]
    return value
