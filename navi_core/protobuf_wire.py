"""The protobuf wire format, as far as looking into a file needs it: fields, and where they lie.

For runtimes that have to know something of a model's file before a framework opens it. Nothing is copied but what is
asked for, no generated code is needed, and every length is checked against the bytes that enclose it.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import Final, TypeAlias

__all__ = [
    "FileBytes",
    "FileFormatError",
    "protobuf_fields",
    "protobuf_messages",
    "protobuf_text",
    "protobuf_varints",
]

FileBytes: TypeAlias = bytes | mmap.mmap
"""A file's content, read or mapped."""

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_BITS: Final = (1 << 64) - 1


class FileFormatError(ValueError):
    """A file is not of the format that it should be; one line that says where."""


def protobuf_fields(
    data: FileBytes, start: int, end: int, skip: re.Pattern[bytes] | None = None
) -> Iterator[tuple[int, int | slice, int]]:
    """Yield each field's number, its integer or the place of its bytes, and where it begins.

    Parameters
    ----------
    data
        The file.
    start, end
        The message in it.
    skip
        Whatever this matches where a field begins is passed over; so are numbers of fixed size.

    Raises
    ------
    FileFormatError
        The bytes between ``start`` and ``end`` are no message.
    """
    position = start
    while position < end:
        if skip is not None and (skipped := skip.match(data, position, end)):
            position = skipped.end()
            continue
        begin = position
        tag, position = _varint(data, position, end)
        number, wire_type = tag >> 3, tag & 7
        if not number:
            raise FileFormatError(f"field number 0 at byte {begin}")
        if wire_type == _VARINT:
            value, position = _varint(data, position, end)
            yield number, value, begin
        elif wire_type == _BYTES:
            length, position = _varint(data, position, end)
            if length > end - position:
                raise FileFormatError(
                    f"a field of {length} bytes at byte {position}, where {end - position} are left"
                )
            yield number, slice(position, position + length), begin
            position += length
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
            if position > end:
                raise FileFormatError(f"a number is cut short at byte {end}")
        else:
            raise FileFormatError(f"wire type {wire_type} at byte {begin}")


def protobuf_messages(data: FileBytes, span: slice) -> Iterator[tuple[int, slice]]:
    """Yield the fields of a message that hold bytes: number and place.

    Raises
    ------
    FileFormatError
        The bytes of ``span`` are no message.
    """
    for number, value, _ in protobuf_fields(data, span.start, span.stop):
        if isinstance(value, slice):
            yield number, value


def protobuf_text(data: FileBytes, span: slice) -> str:
    """Return a string field's text; bytes that are not UTF-8 are kept as surrogates."""
    return data[span].decode("utf-8", "surrogateescape")


def protobuf_varints(data: FileBytes, span: slice) -> Iterator[int]:
    """Yield the integers of a packed field, as 64 bits without a sign.

    Raises
    ------
    FileFormatError
        One is cut short, or longer than an integer can be.
    """
    position: int = span.start
    while position < span.stop:
        value, position = _varint(data, position, span.stop)
        yield value


def _varint(data: FileBytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _BITS, position
        shift += 7
        if shift >= 70:
            raise FileFormatError(f"a number of more than ten bytes at byte {position}")
    raise FileFormatError(f"a number is cut short at byte {end}")
