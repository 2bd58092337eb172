"""Answers as almost all are, written without aiohttp's response object: HTTP/1.1, with a body of a known length."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web

from navi_core.transports.http.connection import SERVER

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["WRITTEN", "WRITTEN_LAST", "is_plain", "write_plain"]

_JOINED_BYTES: Final = 1 << 16
"""Up to so many bytes, to join a head and a body costs less than a second write."""

_NO_BODY: Final = (204, 205, 304)


class _Written(web.StreamResponse):
    """What aiohttp is told of an answer that is written: nothing is left to be done."""

    def __init__(self, *, keeps_open: bool) -> None:
        super().__init__()
        self._keeps_open = keeps_open

    @property
    def keep_alive(self) -> bool:
        """Whether the connection takes another request."""
        return self._keeps_open

    async def prepare(self, _request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write no head."""
        return None

    async def write_eof(self, _data: bytes = b"") -> None:
        """Write no end."""


WRITTEN: Final = _Written(keeps_open=True)
WRITTEN_LAST: Final = _Written(keeps_open=False)
"""The connection is closed now."""


def is_plain(request: web.BaseRequest, status: int, body: bytes) -> bool:
    """Tell whether an answer is like almost all: all others are written by aiohttp, which knows their rules."""
    return (
        bool(body)
        and status >= 200
        and status not in _NO_BODY
        and request.method not in ("HEAD", "CONNECT")
        and request.version == HttpVersion11
    )


async def write_plain(
    request: web.BaseRequest, status: int, lines: Sequence[tuple[str, str]], body: bytes, *, keeps_open: bool
) -> None:
    """Write a whole answer, and wait until the client has taken most of what was written.

    Raises
    ------
    ValueError
        A header's name cannot be written.
    ConnectionError
        The client has gone.
    """
    writer = request.writer
    lasting = _head(status, tuple(lines), keeps_open)
    head = b"%b%d\r\nDate: %b\r\n\r\n" % (lasting, len(body), _date(int(time.time())))
    if len(body) <= _JOINED_BYTES:
        await writer.write(head + body)
    else:
        await writer.write(head)
        await writer.write(body)
    await writer.drain()


@lru_cache(maxsize=256)
def _head(status: int, lines: tuple[tuple[str, str], ...], keeps_open: bool) -> bytes:
    """Return a head up to its content's length: the same few over and over."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # RFC 9112, section 4: it may be empty
        phrase = ""
    names = {name.lower() for name, _ in lines}
    written = [*lines, ("Server", SERVER)]
    if "content-type" not in names:
        written.append(("Content-Type", "application/octet-stream"))
    if not keeps_open:
        written.append(("Connection", "close"))
    for name, _ in written:
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"header name: expected letters, digits, - and _, got {name!r}")
    text = "".join(f"{name}: {value}\r\n" for name, value in written)
    return f"HTTP/1.1 {status} {phrase}\r\n{text}Content-Length: ".encode("ascii")


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return email.utils.formatdate(second, usegmt=True).encode("ascii")
