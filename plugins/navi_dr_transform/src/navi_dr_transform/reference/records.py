"""The reference's reader of DataRecords and CompactDataRecords."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from navi_dr_transform import wire
from navi_dr_transform.layout import Source
from navi_dr_transform.reference.protocol import Stop
from navi_dr_transform.reference.tensors import TensorReader

__all__ = ["Record", "RecordReader"]

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


@dataclass
class Record:
    """Pairs as they stand on the wire, by source; the fields of a record are kept by their number."""

    fields: dict[int, tuple[Source, list[tuple[int, Any]]]] = field(default_factory=dict)


class RecordReader(TensorReader):
    """Reads records."""

    def record(self) -> Record:
        """Read a record."""
        record = Record()
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                return record
            if field_id == wire.RECORD_BINARY:
                if wire_type != wire.SET:
                    raise Stop(wire.WRONG_TYPE, start)
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
                    raise Stop(wire.WRONG_TYPE, start)
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
            raise Stop(wire.WRONG_TYPE, start + 1)
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
        """Return a category as text."""
        return self.string() if key_type == wire.STRING else b"%d" % self.take(_CODES[key_type])

    def keys(self, key_type: int) -> list[tuple[bytes, int]]:
        """Read a set of categories."""
        count, _ = self.header([key_type])
        return [(self.category(key_type), 1) for _ in range(count)]

    def weights(self, key_type: int, value_type: int) -> list[tuple[bytes, float]]:
        """Read a map of categories to numbers."""
        code = ">d" if value_type == wire.DOUBLE else _FLOAT_BITS
        count, _ = self.header([key_type, value_type])
        return [(self.category(key_type), self.take(code)) for _ in range(count)]
