"""The protobuf wire format, as far as looking into a file needs it: fields and where they lie.

Nothing is copied but what is asked for. Every length is checked against the bytes that enclose it.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import Final

__all__ = ["Buffer", "FileFormatError", "fields", "messages", "text"]

Buffer = bytes | mmap.mmap

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5


class FileFormatError(ValueError):
    """The bytes are no model; the text says where."""


def fields(
    data: Buffer, start: int, end: int, skip: re.Pattern[bytes] | None = None
) -> Iterator[tuple[int, int | slice, int]]:
    """Yield field number, an integer or the place of the bytes, and where the field begins.

    Numbers of fixed size are left out, and so is whatever ``skip`` matches where a field begins.

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
            msg = f"field number 0 at byte {begin}"
            raise FileFormatError(msg)
        if wire_type == _VARINT:
            value, position = _varint(data, position, end)
            yield number, value, begin
        elif wire_type == _BYTES:
            length, position = _varint(data, position, end)
            if length > end - position:
                msg = f"a field of {length} bytes at byte {position}, where {end - position} are left"
                raise FileFormatError(msg)
            yield number, slice(position, position + length), begin
            position += length
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
            if position > end:
                msg = f"a number is cut short at byte {end}"
                raise FileFormatError(msg)
        else:
            msg = f"wire type {wire_type} at byte {begin}"
            raise FileFormatError(msg)


def messages(data: Buffer, span: slice, skip: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, slice]]:
    """Yield the length-delimited fields of a message: number and the bytes' place.

    Raises
    ------
    FileFormatError
        The bytes of ``span`` are no message.
    """
    for number, value, _ in fields(data, span.start, span.stop, skip):
        if isinstance(value, slice):
            yield number, value


def text(data: Buffer, span: slice) -> str:
    """Return a string field's text; bytes that are not UTF-8 are kept as surrogates."""
    return data[span].decode("utf-8", "surrogateescape")


def _varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift >= 70:
            msg = f"a number of more than ten bytes at byte {position}"
            raise FileFormatError(msg)
    msg = f"a number is cut short at byte {end}"
    raise FileFormatError(msg)
