"""Messages between processes on a socket: a length of four bytes (big-endian), and so many bytes of MessagePack.

Pure: no socket is known here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from navi_core.errors import ErrorCode, NaviError
from navi_core.workers.protocol import FromParent, FromWorker

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Frames",
    "ProtocolError",
    "frame",
    "parse_from_parent",
    "parse_from_worker",
]

MAX_MESSAGE_BYTES: Final = 2**30
"""A graph that came over the wire travels whole; nothing else is large."""

_LENGTH: Final = struct.Struct(">I")


class ProtocolError(NaviError):
    """What came is no message of this protocol: a bug, or another version."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_FROM_WORKER: Final = msgspec.msgpack.Decoder(FromWorker)
_FROM_PARENT: Final = msgspec.msgpack.Decoder(FromParent)


def frame(message: FromWorker | FromParent) -> bytes:
    """Return a message's bytes.

    Raises
    ------
    ProtocolError
        It is too large.
    """
    body = _ENCODER.encode(message)
    if len(body) > MAX_MESSAGE_BYTES:
        raise ProtocolError(
            f"a message between processes: expected at most {MAX_MESSAGE_BYTES} bytes, got {len(body)}",
            code=ErrorCode.RESOURCE_EXHAUSTED,
        )
    return _LENGTH.pack(len(body)) + body


def parse_from_worker(body: bytes) -> FromWorker:
    """Return a worker's message; raises ProtocolError."""
    return _parsed(_FROM_WORKER, body)  # type: ignore[no-any-return]  # the decoder's type says it


def parse_from_parent(body: bytes) -> FromParent:
    """Return the parent's message; raises ProtocolError."""
    return _parsed(_FROM_PARENT, body)  # type: ignore[no-any-return]  # the decoder's type says it


def _parsed(decoder: msgspec.msgpack.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a message between processes: {error}") from None


class Frames:
    """Cuts what comes off a socket into messages' bodies, however it was cut before."""

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes: Final = max_bytes
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the bodies that are complete.

        Raises
        ------
        ProtocolError
            A length beyond the limit; nothing is kept for it.
        """
        self._pending += data
        start = 0
        try:
            while len(self._pending) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._pending, start)
                if length > self._max_bytes:
                    raise ProtocolError(
                        f"a message between processes: expected at most {self._max_bytes} bytes, got {length}"
                    )
                end = start + _LENGTH.size + length
                if len(self._pending) < end:
                    return
                body = bytes(memoryview(self._pending)[start + _LENGTH.size : end])
                start = end
                yield body
        finally:
            del self._pending[:start]
