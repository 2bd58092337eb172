"""Thrift messages in TBinaryProtocol: headers read and written, application exceptions written.

Source: Apache Thrift's ``doc/specs/thrift-binary-protocol.md`` and ``thrift-rpc.md``. A strict header is
``i32 0x8001 0000 | type, string name, i32 seqid``, an old one ``string name, byte type, i32 seqid``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from navi_core import InvalidRequestError

__all__ = [
    "MAX_NAME_BYTES",
    "SNIFF_BYTES",
    "AppError",
    "Framing",
    "Header",
    "MessageType",
    "ThriftProtocolError",
    "app_exception",
    "message_start",
    "read_header",
    "sniff_framing",
]

MAX_NAME_BYTES: Final = 1024
"""Of a method's name: what is longer is no thrift message."""

_VERSION_MASK: Final = 0xFFFF0000
_VERSION_1: Final = 0x80010000
_I32: Final = struct.Struct(">i")
_U32: Final = struct.Struct(">I")
_STRING_FIELD: Final = struct.Struct(">Bhi")
_I32_FIELD: Final = struct.Struct(">Bhi")
_STRING, _I32_TYPE = 11, 8
_STOP: Final = b"\0"

SNIFF_BYTES: Final = 5
"""So many bytes of a connection tell the framing."""


class ThriftProtocolError(InvalidRequestError):
    """What came is no thrift message, so what follows on the connection cannot be understood either."""


class MessageType(IntEnum):
    """What a message is."""

    CALL = 1
    REPLY = 2
    EXCEPTION = 3
    ONEWAY = 4


class AppError(IntEnum):
    """The types of a TApplicationException that are used here."""

    UNKNOWN_METHOD = 1
    INVALID_MESSAGE_TYPE = 2
    INTERNAL_ERROR = 6
    PROTOCOL_ERROR = 7


class Framing(IntEnum):
    """How the messages of a connection are told apart."""

    FRAMED = 1
    """Each is preceded by its length (TFramedTransport)."""
    BUFFERED = 2
    """One follows the other (TBufferedTransport)."""


@dataclass(frozen=True, slots=True)
class Header:
    """The beginning of a message.

    Parameters
    ----------
    name
        The method, as it came.
    type
        What the message is; other numbers than those of :class:`MessageType` may come.
    seqid
        The client's number for the call; the answer repeats it.
    is_strict
        It has the form with a version; the answer has the same.
    size_bytes
        Bytes that it takes.
    """

    name: bytes
    type: int
    seqid: int
    is_strict: bool
    size_bytes: int


def sniff_framing(start: bytes | memoryview) -> Framing | None:
    """Tell the framing of a connection from its first bytes; None: more of them are needed.

    A length is positive, so that a first byte of 0x80 begins a strict header without a frame. Otherwise the first four
    bytes are a length: of a frame, which goes on with a strict header (0x80) or with the length of a name (0x00), or
    of an old header's name, which goes on with its first letter.

    Raises
    ------
    ThriftProtocolError
        It is none of these.
    """
    if len(start) and start[0] >= 0x80:
        if start[0] == 0x80 and (len(start) < 2 or start[1] == 0x01):
            return Framing.BUFFERED if len(start) > 1 else None
        raise ThriftProtocolError("expected thrift messages in TBinaryProtocol, framed or not, got others")
    if len(start) < SNIFF_BYTES:
        return None
    if start[4] in (0x80, 0x00):
        return Framing.FRAMED
    # other protocols begin their frames with other bytes: 0x82 is TCompactProtocol's, '[' TJSONProtocol's
    is_name = bytes(start[4:5]).isalpha() or start[4] == ord("_")
    if not is_name or _I32.unpack_from(start)[0] > MAX_NAME_BYTES:
        raise ThriftProtocolError("expected thrift messages in TBinaryProtocol, framed or not, got others")
    return Framing.BUFFERED


def read_header(data: bytes | memoryview) -> Header | None:
    """Read a message's header; None: more bytes are needed.

    Raises
    ------
    ThriftProtocolError
        It is none.
    """
    if len(data) < 4:
        return None
    first = _U32.unpack_from(data)[0]
    is_strict = first >= 0x80000000
    if is_strict and first & _VERSION_MASK != _VERSION_1:
        raise ThriftProtocolError(f"thrift message: expected version 0x8001, got 0x{first >> 16:04x}")
    start = 4 if is_strict else 0
    if len(data) < start + 4:
        return None
    length = _I32.unpack_from(data, start)[0]
    if not 0 <= length <= MAX_NAME_BYTES:
        msg = f"thrift message: expected a method's name of 0 to {MAX_NAME_BYTES} bytes, got {length}"
        raise ThriftProtocolError(msg)
    name_at = start + 4
    seqid_at = name_at + length + (0 if is_strict else 1)
    if len(data) < seqid_at + 4:
        return None
    return Header(
        name=bytes(data[name_at : name_at + length]),
        type=first & 0xFF if is_strict else data[seqid_at - 1],
        seqid=_I32.unpack_from(data, seqid_at)[0],
        is_strict=is_strict,
        size_bytes=seqid_at + 4,
    )


def message_start(request: Header, message_type: MessageType, framing: Framing, body_bytes: int) -> bytes:
    """Return what stands before the body of an answer, in the form of the request.

    Raises
    ------
    OverflowError
        A frame cannot be so long.
    """
    name = _I32.pack(len(request.name)) + request.name
    if request.is_strict:
        header = _U32.pack(_VERSION_1 | message_type) + name + _I32.pack(request.seqid)
    else:
        header = name + bytes((message_type,)) + _I32.pack(request.seqid)
    if framing is Framing.BUFFERED:
        return header
    if len(header) + body_bytes > 2**31 - 1:
        raise OverflowError("a frame holds less than 2 GiB")
    return _I32.pack(len(header) + body_bytes) + header


def app_exception(error: AppError, text: str) -> bytes:
    """Return a TApplicationException."""
    message = text.encode("utf-8", "replace")
    return b"".join(
        (
            _STRING_FIELD.pack(_STRING, 1, len(message)),
            message,
            _I32_FIELD.pack(_I32_TYPE, 2, error),
            _STOP,
        )
    )
