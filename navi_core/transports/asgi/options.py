"""Settings of the ASGI application."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["AsgiOptions"]


class AsgiOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the application may be told.

    Attributes
    ----------
    compression
        ``gzip``: compress answers for clients that accept it.
    compression_min_bytes, compression_level
        Leave smaller answers alone; zlib's level.
    disconnect_poll_ms
        How often a running call looks whether its client is still there. Only calls that run longer
        are looked at, so short ones cost nothing.
    """

    compression: Literal["none", "gzip"] = "none"
    compression_min_bytes: Annotated[int, Meta(ge=1)] = 1024
    compression_level: Annotated[int, Meta(ge=1, le=9)] = 1
    disconnect_poll_ms: Annotated[float, Meta(gt=0, le=60_000)] = 50.0
