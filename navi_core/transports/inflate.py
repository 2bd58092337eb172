"""Inflating request bodies piece by piece, with limits that a compression bomb cannot pass."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from navi_core.errors import InvalidRequestError, RequestTooLargeError

__all__ = ["ENCODINGS", "RATIO_FLOOR_BYTES", "STEP_BYTES", "Encoding", "Inflater", "known_encoding"]

Encoding: TypeAlias = Literal["gzip", "deflate"]

ENCODINGS: Final[tuple[Encoding, ...]] = ("gzip", "deflate")

STEP_BYTES: Final = 1 << 20
"""Inflate at most so much at a time: a few milliseconds."""

RATIO_FLOOR_BYTES: Final = 32 << 20
"""The ratio is not looked at below this size: a tensor of one value, as JSON, shrinks a thousand times."""

_GZIP_WINDOW: Final = 31
_ZLIB_WINDOW: Final = 15
_RAW_WINDOW: Final = -15
_GZIP_MAGIC: Final = 0x1F


def known_encoding(name: str) -> Encoding | None:
    """Return the encoding of that name (``x-gzip`` is gzip), or None for one that cannot be inflated."""
    lowered = name.strip().lower()
    if lowered == "x-gzip":
        return "gzip"
    return lowered if lowered in ENCODINGS else None


class Inflater:
    """One compressed body.

    Gzip may have several members, and zeros after the last. ``deflate`` is zlib's format or, since
    some clients send it, the raw one; the first bytes tell.

    Parameters
    ----------
    encoding
        ``gzip`` or ``deflate``.
    max_inflated_bytes
        The largest size after inflating.
    max_inflate_ratio
        The largest size after inflating, in multiples of what was read so far.
    """

    def __init__(self, encoding: Encoding, *, max_inflated_bytes: int, max_inflate_ratio: float) -> None:
        self._encoding = encoding
        self._max_inflated_bytes = max_inflated_bytes
        self._max_inflate_ratio = max_inflate_ratio
        self._stream = zlib.decompressobj(_GZIP_WINDOW) if encoding == "gzip" else None
        self._head = b""
        self._in_padding = False
        self.wire_size_bytes = 0
        self.inflated_size_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Inflate the next bytes; yields pieces of at most :data:`STEP_BYTES`.

        Raises
        ------
        InvalidRequestError
            The bytes are not of the encoding.
        RequestTooLargeError
            A limit is passed; nothing beyond it was inflated.
        """
        self.wire_size_bytes += len(data)
        while data:
            if self._in_padding:
                self._take_padding(data)
                return
            if self._stream is None:
                data = self._choose_format(data)
                if self._stream is None:
                    return
            yield from self._inflate(self._stream, data)
            if not self._stream.eof:
                return
            data = self._stream.unused_data
            self._end_member(data)

    def finish(self) -> None:
        """End the body; one of no bytes at all is an empty body.

        Raises
        ------
        InvalidRequestError
            It is cut off.
        """
        if self._in_padding or not self.wire_size_bytes:
            return
        if self._stream is None or not self._stream.eof:
            raise InvalidRequestError(
                f"request body: expected complete {self._encoding} data, got an end after "
                f"{self.wire_size_bytes} bytes"
            )

    def _inflate(self, stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        while True:
            room = self._max_inflated_bytes - self.inflated_size_bytes
            try:
                # one byte more than allowed shows that there is more than allowed
                piece = stream.decompress(data, min(STEP_BYTES, room + 1))
            except zlib.error:
                raise InvalidRequestError(f"request body: expected {self._encoding} data") from None
            self.inflated_size_bytes += len(piece)
            self._check_limits(self.wire_size_bytes - len(stream.unconsumed_tail))
            if piece:
                yield piece
            data = stream.unconsumed_tail
            if stream.eof or (not data and not piece):
                return

    def _check_limits(self, read_bytes: int) -> None:
        size = self.inflated_size_bytes
        if size > self._max_inflated_bytes:
            raise RequestTooLargeError(
                f"request body: expected at most {self._max_inflated_bytes} bytes after inflating, got more"
            )
        if size > RATIO_FLOOR_BYTES and size > self._max_inflate_ratio * read_bytes:
            raise RequestTooLargeError(
                f"request body: expected to inflate at most {self._max_inflate_ratio:g} times, "
                f"got {size} bytes from {read_bytes}"
            )

    def _choose_format(self, data: bytes) -> bytes:
        """Look at the first two bytes of a deflate body; returns what is to be inflated now."""
        data = self._head + data
        if len(data) < 2:
            self._head = data
            return b""
        is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        self._stream = zlib.decompressobj(_ZLIB_WINDOW if is_zlib else _RAW_WINDOW)
        return data

    def _end_member(self, rest: bytes) -> None:
        if self._encoding == "deflate":
            if rest:
                raise InvalidRequestError("request body: expected an end, got bytes after the deflate data")
        elif rest and rest[0] == _GZIP_MAGIC:
            self._stream = zlib.decompressobj(_GZIP_WINDOW)
        elif rest:
            self._in_padding = True

    def _take_padding(self, data: bytes) -> None:
        if data.strip(b"\0"):
            raise InvalidRequestError("request body: expected an end, got bytes after the gzip data")
