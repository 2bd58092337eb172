"""The heads of requests as almost all are, read without aiohttp.

Only what is beyond doubt is taken: HTTP/1.1, GET or POST, a path of plain characters, headers of printable ASCII each of
which comes once, and a body of a known length, if any. Whatever differs in the least is aiohttp's to read or
to refuse, so that no two readers can see two different requests in the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

__all__ = ["HEAD_END", "PlainHead", "read_head"]

HEAD_END: Final = b"\r\n\r\n"

_HEAD: Final = re.compile(
    rb"(GET|POST) (/[!$-;=?-Z_a-z~]*+) HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e]*+\r\n)*+)\r\n"
)
"""RFC 9112, sections 3 and 5, without what few clients send: a query or path of other characters, a folded line."""

_BEYOND: Final = frozenset(
    {"content-encoding", "expect", "sec-websocket-key1", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that change how a request is read or answered."""

_MAX_KEPT: Final = 256
_MAX_KEPT_BYTES: Final = 1024
"""So many heads are kept, of no more bytes than this: the clients of a connection send the same one over and over."""

_MAX_DIGITS: Final = 15

_CONNECTION: Final = {"keep-alive": True, "close": False}
"""What a client may say of the connection -> whether it stays open."""


class PlainHead(msgspec.Struct, frozen=True, kw_only=True):
    """A request without its body.

    Parameters
    ----------
    verb, path, query, metadata
        As in :class:`~navi_core.contracts.service.Call`.
    body_bytes
        Length of the body.
    keeps_open
        The connection may take another request.
    """

    verb: str
    path: str
    query: str
    metadata: Mapping[str, str | bytes]
    body_bytes: int
    keeps_open: bool


def read_head(head: bytes, max_headers: int) -> PlainHead | None:
    """Read a head.

    Parameters
    ----------
    head
        All of it, with the empty line at its end.
    max_headers
        More are not plain.

    Returns
    -------
    request
        None: it is not plain, or no request at all.
    """
    return (_kept if len(head) <= _MAX_KEPT_BYTES else _read)(head, max_headers)


def _read(head: bytes, max_headers: int) -> PlainHead | None:
    found = _HEAD.fullmatch(head)
    if found is None:
        return None
    verb, target, lines = (part.decode("ascii") for part in found.groups())
    metadata: dict[str, str] = {}
    num_headers = 0
    for line in lines.split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        metadata[name.lower()] = value.strip(" \t")
        num_headers += 1
    if num_headers > max_headers or num_headers != len(metadata):
        return None
    if "host" not in metadata or not _BEYOND.isdisjoint(metadata):  # RFC 9112, section 3.2
        return None
    length, connection = metadata.get("content-length", "0"), metadata.get("connection", "keep-alive")
    keeps_open = _CONNECTION.get(connection.lower())
    if keeps_open is None or not length.isdecimal() or len(length) > _MAX_DIGITS:
        return None
    path, _, query = target.partition("?")
    return PlainHead(
        verb=verb,
        path=path,
        query=query,
        metadata=MappingProxyType(metadata),
        body_bytes=int(length),
        keeps_open=keeps_open,
    )


_kept: Final = lru_cache(maxsize=_MAX_KEPT)(_read)
