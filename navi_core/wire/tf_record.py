"""TFRecord files: records with their lengths and checksums, one after the other.

A record is its length (8 bytes, little-endian), the masked CRC-32C of those bytes (4), the content, and
the masked CRC-32C of the content (4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from navi_core.errors import DecodeError, ErrorCode
from navi_core.wire.crc32c import masked_crc32c

__all__ = ["MAX_RECORD_BYTES", "read_records"]

MAX_RECORD_BYTES: Final = 2**31 - 1
"""The largest record: what one protobuf message may have."""

_LENGTH_BYTES: Final = 8
_CRC_BYTES: Final = 4
_HEADER_BYTES: Final = _LENGTH_BYTES + _CRC_BYTES


def read_records(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Read records until the end.

    Parameters
    ----------
    stream
        At its beginning; blocking.
    size_bytes
        Bytes that it has. No length beyond it is believed, so that none costs memory.

    Yields
    ------
    content
        One record's.

    Raises
    ------
    DecodeError
        A checksum is wrong, or the file ends inside a record: code DATA_LOSS, with the record's offset.
    """
    offset = 0
    while offset < size_bytes:
        header = _read(stream, _HEADER_BYTES, offset)
        length = int.from_bytes(header[:_LENGTH_BYTES], "little")
        _check(header[:_LENGTH_BYTES], header[_LENGTH_BYTES:], "length", offset)
        left = size_bytes - offset - _HEADER_BYTES - _CRC_BYTES
        if length > left:
            raise _lost(f"record: expected {length} bytes of content, got {max(left, 0)}", offset)
        if length > MAX_RECORD_BYTES:
            msg = f"record: expected at most {MAX_RECORD_BYTES} bytes, got {length}"
            raise DecodeError(msg, offset=offset)
        content = _read(stream, length, offset)
        _check(content, _read(stream, _CRC_BYTES, offset), "content", offset)
        yield content
        offset += _HEADER_BYTES + length + _CRC_BYTES


def _read(stream: BinaryIO, num_bytes: int, offset: int) -> bytes:
    data = stream.read(num_bytes)
    if len(data) != num_bytes:
        raise _lost(f"record: expected {num_bytes} more bytes, got {len(data)}", offset)
    return data


def _check(data: bytes, stored: bytes, what: str, offset: int) -> None:
    expected, got = int.from_bytes(stored, "little"), masked_crc32c(data)
    if expected != got:
        raise _lost(f"checksum of a record's {what}: expected {expected:#010x}, got {got:#010x}", offset)


def _lost(message: str, offset: int) -> DecodeError:
    return DecodeError(message, offset=offset, code=ErrorCode.DATA_LOSS)
