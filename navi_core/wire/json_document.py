"""JSON documents as TensorFlow Serving reads them, with the fastest parser that takes them.

Three parsers that must agree wherever they accept a document:

- msgspec takes strict JSON. It keeps the last of repeated keys and does not tell, so documents where keys could
  repeat are left to the next.
- The standard library's takes ``NaN`` and ``Infinity``, repeated keys (the first one counts, as in
  RapidJSON) and text after the first value.
- `navi_core.wire.json_tolerant` takes the rest of what RapidJSON takes, and words the errors.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from navi_core.errors import InvalidRequestError
from navi_core.types import Bytes
from navi_core.wire.json_shown import format_error
from navi_core.wire.json_tolerant import parse_json_tolerantly

__all__ = ["parse_json", "read_request"]

_KEY_ENDS: Final = re.compile(rb'"[ \t\n\r]*+:')

_LONE_SURROGATE: Final = re.compile(
    # halves of surrogate pairs, or what may be one
    rb"\\\\u[dD]"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)

_DIGITS_AS_0: Final = bytes.maketrans(b"0123456789", b"0" * 10)
_BIG_NUMBERS: Final = (b"e000", b"E000", b"e+000", b"E+000", b"0" * 300)
"""Numbers that may be too big for a double, with 0 for every digit."""

_SPACE: Final = " \t\n\r"

_NUMBERS: Final = (float, int)


def read_request(body: Bytes) -> tuple[dict[str, Any], str]:
    """Parse the body of a predict, classify or regress request.

    Returns
    -------
    document, signature
        The object, and the signature's name as sent (empty: none was sent).

    Raises
    ------
    InvalidRequestError
        It is no JSON object, or the signature's name is no text.
    """
    if not len(body):
        raise InvalidRequestError("JSON Parse error: The document is empty")
    document = parse_json(body)
    if type(document) is not dict:
        raise format_error(document, "Is not object")
    signature = document.get("signature_name", "")
    if type(signature) is not str:
        raise format_error(document, "not formatted correctly. 'signature_name' key must be a string value.")
    return document, signature


def parse_json(body: Bytes) -> Any:
    """Parse a JSON document.

    Parameters
    ----------
    body
        UTF-8 text.

    Returns
    -------
    document
        Dicts, lists, str, int, float, bool and None. An integer token is an int, any other number
        a float. A float stands for an integer token that fits no 64-bit type, or a large int does.

    Raises
    ------
    InvalidRequestError
        It is no JSON; the text says why and at which byte, in TensorFlow Serving's words.
    """
    try:
        document = msgspec.json.decode(body)
    except RecursionError:  # far too deep: the tolerant parser says where, and reads no further
        return parse_json_tolerantly(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _parse_loosely(body)
    num_keys = len(_KEY_ENDS.findall(body))
    is_alone = type(document) is dict and len(document) == num_keys  # no object in it has any
    if not is_alone and num_keys != _count_members(document):
        return _parse_loosely(body)
    return document


def _parse_loosely(body: Bytes) -> Any:
    if not _is_doubtful(body if isinstance(body, bytes) else bytes(body)):
        try:
            text = str(body, "utf-8")
            start = len(text) - len(text.lstrip(_SPACE))
            document = _DECODER.raw_decode(text, start)[0]
            if isinstance(document, dict | list):  # after a number, trailing text could belong to it
                return document
        except (ValueError, RecursionError):
            pass
    return parse_json_tolerantly(body)


def _is_doubtful(text: bytes) -> bool:
    """Tell whether the standard library's parser may take what RapidJSON refuses."""
    shape = text.translate(_DIGITS_AS_0)
    if any(number in shape for number in _BIG_NUMBERS):
        return True
    return b"\\" in text and _LONE_SURROGATE.search(text) is not None


def _first_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of which the first of repeated keys counts."""
    members = dict(pairs)
    return members if len(members) == len(pairs) else dict(reversed(pairs))


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_first_members)


def _count_members(document: Any) -> int:
    """Count the members of all objects in a document, but those in lists that begin with a number.

    Such lists are most of a document, and hold numbers. If one holds objects after all, too few are counted, and
    the document is parsed once more.
    """
    count = 0
    level = [document]
    while level:
        children: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                count += len(value)
                children.extend(value.values())
            elif kind is list and value and type(value[0]) not in _NUMBERS:
                children.extend(value)
        level = children
    return count
