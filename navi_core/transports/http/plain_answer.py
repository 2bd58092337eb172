"""The heads of answers to plain requests, which nobody else writes."""

from __future__ import annotations

import email.utils
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from navi_core.contracts.service import Headers, Response
from navi_core.transports.http.connection import SERVER
from navi_core.transports.http_rules import header_lines

__all__ = ["answer_head", "has_body", "stream_head"]

_NO_BODY: Final = (204, 304)


def has_body(status: int) -> bool:
    """Tell whether answers of this status have a body (RFC 9110, sections 15.3.5 and 15.4.5)."""
    return status not in _NO_BODY


def answer_head(status: int, headers: Headers, size_bytes: int, *, keeps_open: bool) -> bytes:
    """Return the head of an answer with a body of so many bytes.

    Raises
    ------
    ValueError
        A header cannot be written.
    """
    lasting = _lasting(status, tuple(headers), keeps_open)
    length = b"Content-Length: %d\r\n" % size_bytes if has_body(status) else b""
    return b"%b%bDate: %b\r\n\r\n" % (lasting, length, _date(int(time.time())))


def stream_head(status: int, headers: Headers, *, keeps_open: bool) -> bytes:
    """Return the head of an answer that comes in chunks.

    Raises
    ------
    ValueError
        A header cannot be written.
    """
    lasting = _lasting(status, tuple(headers), keeps_open)
    return b"%bTransfer-Encoding: chunked\r\nDate: %b\r\n\r\n" % (lasting, _date(int(time.time())))


@lru_cache(maxsize=256)
def _lasting(status: int, headers: Headers, keeps_open: bool) -> bytes:
    """Return what does not change from answer to answer: the same few over and over."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:  # RFC 9112, section 4: it may be empty
        phrase = ""
    lines = header_lines(Response(status=status, headers=headers))
    names = {name.lower() for name, _ in lines}
    lines.append(("Server", SERVER))
    if "content-type" not in names and has_body(status):
        lines.append(("Content-Type", "application/octet-stream"))
    if not keeps_open:
        lines.append(("Connection", "close"))
    for name, _ in lines:
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"header name: expected letters, digits, - and _, got {name!r}")
    text = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"HTTP/1.1 {status} {phrase}\r\n{text}".encode("ascii")


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return email.utils.formatdate(second, usegmt=True).encode("ascii")
