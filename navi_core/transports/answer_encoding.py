"""Compressing answers: whether the client accepts it, and doing it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from navi_core.types import Bytes

__all__ = ["accepts_gzip", "gzip_body"]

_GZIP_WINDOW: Final = 31


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether a list of codings (RFC 9110, 12.5.3) admits gzip; an empty one does not."""
    accepted: dict[str, bool] = {}
    for item in accept_encoding.split(","):
        coding, *parameters = (part.strip().lower() for part in item.split(";"))
        accepted[coding] = not any(_is_zero_weight(parameter) for parameter in parameters)
    for name in ("gzip", "x-gzip", "*"):
        if name in accepted:
            return accepted[name]
    return False


def _is_zero_weight(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return False
    try:
        return float(value) <= 0.0
    except ValueError:
        return True  # what cannot be read is not taken as consent


def gzip_body(pieces: Bytes | Sequence[Bytes], level: int) -> bytes:
    """Compress an answer; releases the interpreter's lock on large pieces."""
    stream = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)
    parts = (pieces,) if isinstance(pieces, bytes | memoryview) else pieces
    packed = [stream.compress(part) for part in parts]
    packed.append(stream.flush())
    return b"".join(packed)
