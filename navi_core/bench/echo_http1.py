"""The least that an HTTP/1.1 server can do: count the bytes of requests, and answer each with the same bytes."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["FixedHttp1"]

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)


class FixedHttp1:
    """One connection: bytes in, bytes out.

    Parameters
    ----------
    answer
        The body of every answer.
    """

    def __init__(self, answer: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
        self._answer = head.encode() + answer
        self._data = b""

    def opening(self) -> bytes:
        """Return what a server sends first."""
        return b""

    def feed(self, data: bytes) -> bytes:
        """Take what came; return what is to be sent."""
        self._data = self._data + data if self._data else data
        answers: list[bytes] = []
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            match = _LENGTH.search(self._data, 0, end)
            size = end + 4 + (int(match[1]) if match else 0)
            if len(self._data) < size:
                break
            self._data = self._data[size:]
            answers.append(self._answer)
        return b"".join(answers)
