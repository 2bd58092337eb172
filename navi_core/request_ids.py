"""Request ids: what joins a client's call, the answer, and the lines of the log. Pure.

A client's own id is kept where it is harmless: it goes into logs and back into headers, so it is short and of
characters that mean nothing in either. Whatever else came is replaced, never repaired: a repaired id is found by nobody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

__all__ = [
    "REQUEST_ID_HEADER",
    "current_request_id",
    "id_fields",
    "id_headers",
    "new_request_id",
    "request_id_of",
    "trace_id_of",
]

REQUEST_ID_HEADER: Final = "x-request-id"
"""HTTP header, and gRPC metadata, of both ways."""

_TRACE_HEADER: Final = "traceparent"
_MAX_CHARACTERS: Final = 128
_SANE: Final = re.compile(rf"[A-Za-z0-9._:/+=@-]{{1,{_MAX_CHARACTERS}}}", re.ASCII)

# W3C Trace Context: version, trace id, parent id, flags; later versions may append more behind another dash
_TRACE_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII)
_NO_VERSION: Final = "ff"
_FIRST_VERSION: Final = "00"

current_request_id: Final[ContextVar[str | None]] = ContextVar("navi_request_id", default=None)
"""The id of the request that is being answered, where requests are logged; None: none, or nobody logs them."""


def new_request_id() -> str:
    """Return an id that no other request has: 32 hexadecimal digits."""
    return os.urandom(16).hex()


def request_id_of(metadata: Mapping[str, str | bytes]) -> str | None:
    """Return the id that a client sent; None: it sent none, or one that is not fit to be repeated."""
    said = metadata.get(REQUEST_ID_HEADER)
    return said if isinstance(said, str) and _SANE.fullmatch(said) else None


def trace_id_of(metadata: Mapping[str, str | bytes]) -> str | None:
    """Return the trace id of a W3C ``traceparent``; None: there is none, or it is invalid."""
    said = metadata.get(_TRACE_HEADER)
    found = _TRACE_PARENT.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        return None
    version, trace_id, parent_id, more = found.groups()
    if version == _NO_VERSION or (version == _FIRST_VERSION and more is not None):
        return None
    return trace_id if trace_id.strip("0") and parent_id.strip("0") else None


def id_headers(metadata: Mapping[str, str | bytes]) -> tuple[tuple[str, str], ...]:
    """Return what a transport adds to an answer of its own: the request's id; empty: it has none."""
    found = request_id_of(metadata)
    return () if found is None else ((REQUEST_ID_HEADER, found),)


def id_fields() -> dict[str, str]:
    """Return the current request's id as fields of a log event; empty: there is none."""
    found = current_request_id.get()
    return {} if found is None else {"request_id": found}
