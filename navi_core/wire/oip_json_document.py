"""JSON documents of the Open Inference Protocol: limits first, then the fastest parser that takes them.

Two parsers that agree wherever both accept: msgspec takes strict JSON, the standard library's takes bare ``NaN``
and ``Infinity`` besides, as Triton does. Of repeated keys both keep the last one.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
import numpy as np

from navi_core.errors import InvalidRequestError
from navi_core.types import Bytes

__all__ = ["DEFAULT_MAX_DEPTH", "DEFAULT_MAX_JSON_BYTES", "parse_object"]

DEFAULT_MAX_DEPTH: Final = 100
"""The deepest nesting; Triton's."""

DEFAULT_MAX_JSON_BYTES: Final = 64 << 20
"""The longest document; Triton's ``--http-max-input-size``."""

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"[]{}")))
_NO_MARKS: Final = bytes(sorted(set(range(256)) - set(b'[]{}"')))

_STEPS: Final = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def parse_object(
    body: Bytes, *, max_json_bytes: int = DEFAULT_MAX_JSON_BYTES, max_depth: int = DEFAULT_MAX_DEPTH
) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    body
        UTF-8 text.
    max_json_bytes, max_depth
        What is refused before it is parsed.

    Raises
    ------
    InvalidRequestError
        It is too long, nested too deeply, no JSON, or no object; the text says which.
    """
    if len(body) > max_json_bytes:
        raise InvalidRequestError(
            f"request JSON: expected at most {max_json_bytes} bytes (max_json_bytes), got {len(body)}"
        )
    text = bytes(body)
    # no document is deeper than it has brackets
    if text.count(b"[") + text.count(b"{") > max_depth and _depth(text) > max_depth:
        raise InvalidRequestError(f"request JSON: nesting depth exceeds the limit ({max_depth})")
    document = _parse(text)
    if type(document) is not dict:
        raise InvalidRequestError("request JSON: expected an object")
    return document


def _depth(text: bytes) -> int:
    """Return the deepest nesting of arrays and objects."""
    # Brackets inside strings do not count. Without escapes, a string's ends are told by quotes alone.
    brackets = _STRING.sub(b"", text if b"\\" in text else text.translate(None, _NO_MARKS))
    steps = _STEPS[np.frombuffer(brackets.translate(None, _NO_BRACKETS), np.uint8)]
    return int(steps.cumsum(dtype=np.int64).max(initial=0))


def _parse(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"failed to parse the request JSON buffer: not UTF-8 at byte {error.start}"
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"failed to parse the request JSON buffer: {error.msg} at {error.pos}"
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits; max_depth set very high
        raise InvalidRequestError("failed to parse the request JSON buffer") from None
