"""Reading FlatBuffers from strangers: every offset is verified before it is followed.

The format is FlatBuffers' own ("FlatBuffer internals"): little-endian; a table begins with a signed offset back to its
vtable, which lists where each of its fields lies; vectors and strings begin with their length; offsets to tables,
vectors and strings are unsigned and point forward.

The package ``flatbuffers``, which navi writes with, trusts what it reads. The readers here never leave the bytes, and
never read more than twice as many bytes as there are: offsets that all point to one place make small bytes stand for
large contents otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from navi_graphserver.flat.errors import FlatBufferError

__all__ = ["Table", "root_table"]

_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_SCALARS: Final = {
    letter: struct.Struct(f"<{letter}") for letter in ("?", "b", "B", "h", "H", "i", "I", "q", "Q", "f", "d")
}


class _Bytes:
    """The bytes that all tables of one buffer share, and how many of them may still be read."""

    __slots__ = ("budget", "data", "size")

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data
        self.size = len(data)
        self.budget = 2 * self.size

    def take(self, start: int, size: int, place: str) -> None:
        """Check that bytes are inside, and count them."""
        if start < 0 or start + size > self.size:
            msg = f"bytes {start} to {start + size} are outside of the {self.size} bytes that there are"
            raise FlatBufferError(msg, place)
        self.budget -= size
        if self.budget < 0:
            raise FlatBufferError("the same bytes are pointed to again and again", place)

    def length(self, start: int, place: str) -> int:
        self.take(start, 4, place)
        length: int = _U32.unpack_from(self.data, start)[0]
        return length


class Table:
    """One table: its fields by slot, the number of a field in the schema.

    Attributes
    ----------
    place
        The field that the table was read from, for error texts.
    num_slots
        How many slots its vtable has: writers of older schemas have fewer.
    """

    __slots__ = ("_bytes", "_size", "_start", "_vtable", "num_slots", "place")

    def __init__(self, data: _Bytes, start: int, place: str) -> None:
        data.take(start, 4, place)
        vtable = start - _I32.unpack_from(data.data, start)[0]
        if vtable < 0 or vtable + 4 > data.size:
            raise FlatBufferError(
                f"its vtable at byte {vtable} is outside of the {data.size} bytes that there are", place
            )
        vtable_size, size = _U16.unpack_from(data.data, vtable)[0], _U16.unpack_from(data.data, vtable + 2)[0]
        if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > data.size:
            raise FlatBufferError(f"its vtable at byte {vtable} has no valid size: {vtable_size}", place)
        if size < 4:
            raise FlatBufferError(f"a table takes at least 4 bytes, this one {size}", place)
        data.take(start, size, place)
        self._bytes = data
        self._start = start
        self._vtable = vtable
        self._size = size
        self.num_slots = (vtable_size - 4) // 2
        self.place = place

    def _field(self, slot: int, size: int, name: str) -> int | None:
        """Return where a field of some bytes lies; None: it is absent."""
        if slot >= self.num_slots:
            return None
        offset: int = _U16.unpack_from(self._bytes.data, self._vtable + 4 + 2 * slot)[0]
        if offset == 0:
            return None
        if offset < 4 or offset + size > self._size:
            problem = f"lies at byte {offset} of a table of {self._size} bytes"
            raise FlatBufferError(problem, f"{self.place}.{name}")
        return self._start + offset

    def _target(self, slot: int, name: str) -> int | None:
        """Return where the table, vector or string lies that a field points to."""
        field = self._field(slot, 4, name)
        if field is None:
            return None
        return self._follow(field, name)

    def _follow(self, field: int, name: str) -> int:
        offset: int = _U32.unpack_from(self._bytes.data, field)[0]
        if offset == 0:
            raise FlatBufferError("points to itself", f"{self.place}.{name}")
        return field + offset

    def has(self, slot: int) -> bool:
        """Tell whether a field is there."""
        return self._field(slot, 1, f"slot {slot}") is not None

    def scalar(self, slot: int, kind: str, name: str) -> Any:
        """Return a number, zero where it is absent; ``kind`` is :mod:`struct`'s letter.

        Raises
        ------
        FlatBufferError
            It lies outside of its table.
        """
        reader = _SCALARS[kind]
        field = self._field(slot, reader.size, name)
        return 0 if field is None else reader.unpack_from(self._bytes.data, field)[0]

    def vector(self, slot: int, dtype: str, name: str) -> np.ndarray[Any, Any] | None:
        """Return a vector of numbers as a view of the bytes, read-only and perhaps unaligned; None: it is absent.

        Raises
        ------
        FlatBufferError
            It lies outside of the bytes.
        """
        target = self._target(slot, name)
        if target is None:
            return None
        place = f"{self.place}.{name}"
        length = self._bytes.length(target, place)
        element = np.dtype(dtype)
        self._bytes.take(target + 4, length * element.itemsize, place)
        array = np.frombuffer(self._bytes.data, element, length, target + 4)
        array.flags.writeable = False
        return array

    def numbers(self, slot: int, dtype: str, name: str) -> tuple[Any, ...]:
        """Return a vector of numbers as Python's; empty where it is absent.

        Raises
        ------
        FlatBufferError
            It lies outside of the bytes.
        """
        array = self.vector(slot, dtype, name)
        return () if array is None else tuple(array.tolist())

    def text(self, slot: int, name: str) -> str:
        """Return a string, empty where it is absent.

        Raises
        ------
        FlatBufferError
            It lies outside of the bytes, or is not UTF-8.
        """
        target = self._target(slot, name)
        return "" if target is None else self._text(target, f"{self.place}.{name}")

    def _text(self, target: int, place: str) -> str:
        length = self._bytes.length(target, place)
        self._bytes.take(target + 4, length, place)
        try:
            return bytes(self._bytes.data[target + 4 : target + 4 + length]).decode()
        except UnicodeDecodeError:
            raise FlatBufferError("is not UTF-8", place) from None

    def texts(self, slot: int, name: str) -> tuple[str, ...]:
        """Return a vector of strings, empty where it is absent.

        Raises
        ------
        FlatBufferError
            One lies outside of the bytes, or is not UTF-8.
        """
        return tuple(self._text(target, place) for target, place in self._targets(slot, name))

    def table(self, slot: int, name: str) -> Table | None:
        """Return the table that a field points to; None: it is absent.

        Raises
        ------
        FlatBufferError
            It lies outside of the bytes.
        """
        target = self._target(slot, name)
        return None if target is None else Table(self._bytes, target, f"{self.place}.{name}")

    def tables(self, slot: int, name: str) -> Sequence[Table]:
        """Return a vector of tables, empty where it is absent.

        Raises
        ------
        FlatBufferError
            One lies outside of the bytes.
        """
        return [Table(self._bytes, target, place) for target, place in self._targets(slot, name)]

    def _targets(self, slot: int, name: str) -> list[tuple[int, str]]:
        target = self._target(slot, name)
        if target is None:
            return []
        place = f"{self.place}.{name}"
        length = self._bytes.length(target, place)
        self._bytes.take(target + 4, 4 * length, place)
        fields = range(target + 4, target + 4 + 4 * length, 4)
        return [
            (self._follow(field, f"{name}[{index}]"), f"{place}[{index}]")
            for index, field in enumerate(fields)
        ]


def root_table(data: bytes | memoryview, name: str) -> Table:
    """Return the root of a finished FlatBuffer.

    Parameters
    ----------
    data
        All of its bytes, from the offset of the root.
    name
        What the root is, for error texts.

    Raises
    ------
    FlatBufferError
        It lies outside of the bytes.
    """
    content = _Bytes(data)
    start = content.length(0, name)
    if start < 4:
        raise FlatBufferError(f"its root at byte {start} lies in the offset that points to it", name)
    return Table(content, start, name)
