"""The reference's reader of TBinaryProtocol."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from navi_dr_transform import wire

__all__ = ["ProtocolReader", "Stop"]

_FIXED: Final = {wire.BOOL: 1, wire.BYTE: 1, wire.I16: 2, wire.I32: 4, wire.I64: 8, wire.DOUBLE: 8}
_SMALLEST: Final = {**_FIXED, wire.STRING: 4, wire.STRUCT: 1, wire.MAP: 6, wire.SET: 5, wire.LIST: 5}


class Stop(Exception):  # noqa: N818 - not an error but how reading ends early
    """Reading stopped: a status and the offset where."""

    def __init__(self, status: int, offset: int) -> None:
        self.answer = (status, offset)


class ProtocolReader:
    """Reads one payload from ``offset`` on."""

    def __init__(self, payload: bytes, offset: int) -> None:
        self.payload = payload
        self.offset = offset

    # --- numbers ---

    def number(self, code: str, at: int) -> Any:
        """Return the number that lies at an offset."""
        return struct.unpack_from(code, self.payload, at)[0]

    def take(self, code: str) -> Any:
        """Return the number that comes next."""
        size = struct.calcsize(code)
        self.need(size)
        self.offset += size
        return self.number(code, self.offset - size)

    def left(self) -> int:
        """Return the bytes that are left."""
        return len(self.payload) - self.offset

    def need(self, size: int) -> None:
        """Stop where fewer bytes are left."""
        if self.left() < size:
            raise Stop(wire.TRUNCATED, self.offset)

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
        """Return the string that comes next."""
        self.need(4)
        length = self.number(">i", self.offset)
        if length < 0:
            raise Stop(wire.NEGATIVE_COUNT, self.offset)
        if length > self.left() - 4:
            raise Stop(wire.TRUNCATED, self.offset)
        self.offset += 4 + length
        return self.payload[self.offset - length : self.offset]

    def header(self, types: Sequence[int | None]) -> tuple[int, list[int]]:
        """Read the header of a list or set (one type) or map (two); None: any type that there is."""
        start, size = self.offset, len(types)
        self.need(size + 4)
        count = self.number(">i", start + size)
        got = list(self.payload[start : start + size])
        if count < 0:
            raise Stop(wire.NEGATIVE_COUNT, start + size)
        if count > 0:
            for index, expected in enumerate(types):
                if expected is not None and got[index] != expected:
                    raise Stop(wire.WRONG_TYPE, start + index)
                if expected is None and got[index] not in _SMALLEST:
                    raise Stop(wire.UNKNOWN_TYPE, start + index)
            if count * sum(_SMALLEST[wire_type] for wire_type in got) > self.left() - size - 4:
                raise Stop(wire.COUNT_TOO_LARGE, start + size)
        self.offset += size + 4
        return count, got

    def skip(self, wire_type: int, depth: int = 0) -> None:
        """Pass over a value."""
        if wire_type in _FIXED:
            self.need(_FIXED[wire_type])
            self.offset += _FIXED[wire_type]
        elif wire_type == wire.STRING:
            self.string()
        elif wire_type not in _SMALLEST:
            raise Stop(wire.UNKNOWN_TYPE, self.offset)
        elif depth == wire.MAX_DEPTH:
            raise Stop(wire.TOO_DEEP, self.offset)
        elif wire_type == wire.STRUCT:
            while (inner := self.next_field()[1]) != wire.STOP:
                self.skip(inner, depth + 1)
        else:
            count, types = self.header([None, None] if wire_type == wire.MAP else [None])
            for _ in range(count):
                for inner in types:
                    self.skip(inner, depth + 1)
