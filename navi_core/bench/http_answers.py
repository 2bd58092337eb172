"""Reads the answers of one HTTP/1.1 connection on which one request at a time is in flight: bytes in, answers out."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["HttpAnswer", "HttpAnswerReader", "HttpFormatError"]

_MAX_HEAD_BYTES: Final = 1 << 16
_BODILESS: Final = frozenset({204, 304})


class HttpFormatError(ValueError):
    """What came is no HTTP answer."""


class HttpAnswer(NamedTuple):
    """One answer; ``closes``: the connection cannot be used again."""

    status: int
    body: bytes
    closes: bool


class HttpAnswerReader:
    """Puts the pieces together that a connection delivers."""

    def __init__(self) -> None:
        self._data = b""
        self._head: tuple[int, int | None, bool, bool] | None = None

    def feed(self, data: bytes) -> HttpAnswer | None:
        """Take what came; return the answer if it is complete.

        Raises
        ------
        HttpFormatError
            It is none.
        """
        self._data = self._data + data if self._data else data
        if self._head is None:
            self._head = self._read_head()
        if self._head is None:
            return None
        status, length, is_chunked, closes = self._head
        if is_chunked:
            body = self._chunks()
            if body is None:
                return None
            self._head = None
            return HttpAnswer(status, body, closes)
        if length is None or len(self._data) < length:
            return None
        body, self._data, self._head = self._data[:length], self._data[length:], None
        return HttpAnswer(status, body, closes)

    def end(self) -> HttpAnswer | None:
        """Say that the connection has ended; return the answer that this ends, if it does."""
        if self._head is None or self._head[1] is not None or self._head[2]:
            return None
        status, body = self._head[0], self._data
        self._data, self._head = b"", None
        return HttpAnswer(status, body, closes=True)

    def _read_head(self) -> tuple[int, int | None, bool, bool] | None:
        while True:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                if len(self._data) > _MAX_HEAD_BYTES:
                    raise HttpFormatError(f"expected headers of at most {_MAX_HEAD_BYTES} bytes")
                return None
            head = self._data[:end].lower() + b"\r\n"
            self._data = self._data[end + 4 :]
            if not head.startswith(b"http/1.") or not head[9:12].isdigit():
                raise HttpFormatError(f"expected an HTTP/1.1 answer, got {head[:20]!r}")
            status = int(head[9:12])
            if status >= 200:  # else an interim answer: the answer follows
                break
        connection = _header(head, b"connection")
        closes = b"close" in connection or (head[7:8] == b"0" and b"keep-alive" not in connection)
        is_chunked = b"chunked" in _header(head, b"transfer-encoding")
        length: int | None = None
        said = _header(head, b"content-length")
        if status in _BODILESS:
            length = 0
        elif said:
            if not said.isdigit():
                raise HttpFormatError(f"content-length: expected a number, got {said[:20]!r}")
            length = int(said)
        return status, length, is_chunked, closes or (length is None and not is_chunked)

    def _chunks(self) -> bytes | None:
        """Return the body if its last chunk is there."""
        pieces: list[bytes] = []
        pos = 0
        while True:
            end = self._data.find(b"\r\n", pos)
            if end < 0:
                return None
            try:
                size = int(self._data[pos:end].partition(b";")[0], 16)
            except ValueError:
                raise HttpFormatError(
                    f"expected the size of a chunk, got {self._data[pos:end][:20]!r}"
                ) from None
            pos = end + 2
            if not size:
                break
            if len(self._data) < pos + size + 2:
                return None
            pieces.append(self._data[pos : pos + size])
            pos += size + 2
        while True:  # trailers, then an empty line
            end = self._data.find(b"\r\n", pos)
            if end < 0:
                return None
            if end == pos:
                self._data = self._data[end + 2 :]
                return b"".join(pieces)
            pos = end + 2


def _header(head: bytes, name: bytes) -> bytes:
    """Return the value of the first header of a name, lower case; empty: there is none."""
    begin = head.find(b"\r\n" + name + b":")
    if begin < 0:
        return b""
    begin += len(name) + 3
    return head[begin : head.index(b"\r\n", begin)].strip()
