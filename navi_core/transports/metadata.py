"""gRPC metadata and status texts: what may go on the wire, and how.

The rules are those of gRPC's ``PROTOCOL-HTTP2.md``; the cut of long status texts is TensorFlow
Serving's.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from navi_core.contracts.service import Headers
from navi_core.errors import InvalidRequestError

__all__ = [
    "MAX_STATUS_TEXT_BYTES",
    "TRUNCATED",
    "checked_metadata",
    "decode_binary",
    "encode_binary",
    "parse_timeout_s",
    "percent_encode",
    "status_text",
]

MAX_STATUS_TEXT_BYTES: Final = 1024
TRUNCATED: Final = "...TRUNCATED"

_NAME: Final = re.compile(r"[0-9a-z_.\-]+")
_ASCII_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_TIMEOUT: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def status_text(message: str) -> str:
    """Return a status text that fits: valid Unicode, at most 1024 bytes of UTF-8 before the mark.

    A cut never splits a character.
    """
    raw = message.encode("utf-8", "replace")
    if len(raw) <= MAX_STATUS_TEXT_BYTES:
        return raw.decode()
    return raw[:MAX_STATUS_TEXT_BYTES].decode("utf-8", "ignore") + TRUNCATED


def percent_encode(text: str) -> str:
    """Encode a ``grpc-message``: printable ASCII but ``%`` stays, every other byte becomes ``%XX``."""
    raw = text.encode("utf-8", "replace")
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in raw)


def checked_metadata(pairs: Headers) -> tuple[tuple[str, str | bytes], ...]:
    """Return metadata as it may be sent.

    Raises
    ------
    ValueError
        A service made metadata that gRPC does not allow: a bug of the service's.
    """
    for name, value in pairs:
        if not _NAME.fullmatch(name) or name.startswith("grpc-"):
            raise ValueError(f"metadata name: expected lower-case letters, digits and -_., got {name!r}")
        if name.endswith("-bin"):
            if not isinstance(value, bytes):
                raise ValueError(f"metadata '{name}': expected bytes, got {type(value).__name__}")
        elif not isinstance(value, str) or not _ASCII_VALUE.fullmatch(value):
            raise ValueError(f"metadata '{name}': expected printable ASCII text")
    return tuple((name, value) for name, value in pairs)


def encode_binary(value: bytes) -> str:
    """Encode a ``-bin`` value: base64 without padding."""
    return base64.b64encode(value).rstrip(b"=").decode("ascii")


def decode_binary(name: str, value: bytes) -> bytes:
    """Decode a ``-bin`` value, padded or not; of a list joined by commas, the last.

    Raises
    ------
    InvalidRequestError
        It is not base64.
    """
    last = value.rpartition(b",")[2].strip().rstrip(b"=")
    try:
        return base64.b64decode(last + b"=" * (-len(last) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"metadata '{name}': expected base64") from None


def parse_timeout_s(text: str) -> float:
    """Parse a ``grpc-timeout``: up to eight digits and a unit (H, M, S, m, u, n); returns seconds.

    Raises
    ------
    InvalidRequestError
        It is something else.
    """
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise InvalidRequestError("grpc-timeout: expected up to eight digits and one of H, M, S, m, u, n")
    return int(found[1]) * _UNIT_S[found[2]]
