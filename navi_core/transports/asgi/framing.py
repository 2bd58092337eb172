"""gRPC's message framing: a flag byte, a 4-byte big-endian length, the message. No I/O.

The format is that of gRPC's ``PROTOCOL-HTTP2.md`` ("Length-Prefixed-Message").
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from navi_core.errors import ErrorCode, InvalidRequestError, RequestTooLargeError
from navi_core.types import Bytes

__all__ = ["PREFIX_BYTES", "Frame", "FrameDecoder", "encode_prefix", "whole_message_bytes"]

PREFIX_BYTES: Final = 5
_PREFIX: Final = struct.Struct(">BI")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as it was on the wire.

    Parameters
    ----------
    payload
        A view of what was received, where it came in one piece.
    is_compressed
        The flag: the payload is in the encoding that ``grpc-encoding`` names.
    """

    payload: Bytes
    is_compressed: bool


def encode_prefix(size_bytes: int, *, is_compressed: bool = False) -> bytes:
    """Return the five bytes before a message.

    Raises
    ------
    RequestTooLargeError
        The length does not fit four bytes.
    """
    if size_bytes > 0xFFFFFFFF:
        raise RequestTooLargeError(f"message: expected less than 4 GiB, got {size_bytes} bytes")
    return _PREFIX.pack(is_compressed, size_bytes)


def whole_message_bytes(piece: bytes) -> int | None:
    """Return the size of the message that a piece is: one, whole, not compressed; None: it is something else."""
    if len(piece) < PREFIX_BYTES:
        return None
    flag, size_bytes = _PREFIX.unpack_from(piece)
    return size_bytes if not flag and size_bytes == len(piece) - PREFIX_BYTES else None


class FrameDecoder:
    """Cuts a stream of bytes into messages.

    Parameters
    ----------
    max_message_bytes
        A longer message is refused as soon as its length is known.
    on_length
        Called with the length of each message before its bytes are kept; may raise to refuse it.
    """

    def __init__(self, max_message_bytes: int, on_length: Callable[[int], None]) -> None:
        self._max_message_bytes = max_message_bytes
        self._on_length = on_length
        self._prefix = b""
        self._missing_bytes: int | None = None  # None: the prefix is not complete
        self._is_compressed = False
        self._pieces: list[Bytes] = []

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the next bytes; yields every message that is complete with them.

        Raises
        ------
        InvalidRequestError
            The flag is neither 0 nor 1.
        RequestTooLargeError
            A message is over the limit.
        """
        view = memoryview(data)
        while view:
            if self._missing_bytes is None:
                view = self._take_prefix(view)
            if self._missing_bytes is not None:
                taken = view[: self._missing_bytes]
                view = view[len(taken) :]
                if taken:
                    self._pieces.append(taken)
                    self._missing_bytes -= len(taken)
                if not self._missing_bytes:
                    yield self._complete()

    def finish(self) -> None:
        """End the stream.

        Raises
        ------
        InvalidRequestError
            It ends within a message: its length is beyond the body.
        """
        if self._missing_bytes is not None:
            raise InvalidRequestError(
                f"gRPC message: expected {self._missing_bytes} bytes more, got the end of the body",
                code=ErrorCode.INTERNAL,
            )
        if self._prefix:
            raise InvalidRequestError(
                f"gRPC message: expected a prefix of {PREFIX_BYTES} bytes, got {len(self._prefix)}",
                code=ErrorCode.INTERNAL,
            )

    def _take_prefix(self, view: memoryview) -> memoryview:
        wanted = PREFIX_BYTES - len(self._prefix)
        self._prefix += bytes(view[:wanted])
        if len(self._prefix) < PREFIX_BYTES:
            return view[len(view) :]
        flag = self._prefix[0]
        length = int.from_bytes(self._prefix[1:], "big")
        if flag > 1:
            raise InvalidRequestError(
                f"gRPC message: expected the flag 0 or 1, got {flag}", code=ErrorCode.INTERNAL
            )
        if length > self._max_message_bytes:
            raise RequestTooLargeError(
                f"gRPC message: expected at most {self._max_message_bytes} bytes, got {length}"
            )
        self._on_length(length)
        self._prefix = b""
        self._is_compressed = flag == 1
        self._missing_bytes = length
        return view[wanted:]

    def _complete(self) -> Frame:
        pieces, self._pieces = self._pieces, []
        self._missing_bytes = None
        if not pieces:
            return Frame(b"", self._is_compressed)
        return Frame(pieces[0] if len(pieces) == 1 else b"".join(pieces), self._is_compressed)
