"""The HTTP transport's own settings."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["HttpOptions"]

_Seconds = Annotated[float, Meta(gt=0, le=1e6)]
_Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class HttpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of the HTTP transport in the configuration.

    Attributes
    ----------
    unix_socket
        Listen on this path too.
    compression
        ``gzip``: compress answers for clients that accept it.
    compression_min_bytes, compression_level
        Leave smaller answers alone; zlib's level.
    keepalive_timeout_s
        Close a connection that has sent no complete request head for so long.
    body_timeout_s, min_body_bytes_per_s
        A body may take this time, and longer as far as it comes at this rate.
    max_line_bytes, max_header_bytes, max_headers
        Limits of the request line, of one header, and of the number of headers.
    """

    unix_socket: Annotated[str, Meta(min_length=1)] | None = None
    compression: Literal["none", "gzip"] = "gzip"
    compression_min_bytes: _Count = 1024
    compression_level: Annotated[int, Meta(ge=1, le=9)] = 1
    keepalive_timeout_s: _Seconds = 75.0
    body_timeout_s: _Seconds = 60.0
    min_body_bytes_per_s: _Count = 1024
    max_line_bytes: _Count = 8190
    max_header_bytes: _Count = 8190
    max_headers: _Count = 128
