"""JSON documents, read token by token: what RapidJSON takes beyond the standard, and errors in its words.

Takes bare ``NaN``, ``Infinity`` and ``Inf`` with either sign, text after the first value, a byte order mark, and
strings that are not UTF-8 (their bytes survive as surrogate escapes). Of repeated keys the first one
counts. It never recurses, refuses deep nesting, and gives up on long documents: it is slow,
and meant for what faster parsers refused.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from navi_core.errors import InvalidRequestError
from navi_core.types import Bytes

__all__ = ["MAX_DEPTH", "MAX_STEPS", "parse_json_tolerantly"]

MAX_DEPTH: Final = 100
"""The deepest nesting."""

MAX_STEPS: Final = 100_000
"""The most values read one by one: a third of a second of work. Arrays of numbers count as one."""

_MAX_INT_DIGITS: Final = 20
"""An integer of more digits fits no 64-bit type and is read as a float, as RapidJSON does."""

_WHITESPACE: Final = re.compile(rb"[ \t\n\r]*+")

_FLAT_ARRAY: Final = re.compile(rb'\[[^\[\]{}"]*+\]')

_STRING: Final = re.compile(rb'"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"')

_NUMBER: Final = re.compile(
    rb"(?P<number>-?(?:0|[1-9][0-9]*+)(?P<fraction>\.[0-9]++)?(?P<exponent>[eE][+-]?[0-9]++)?)"
    rb"|(?P<minus>-?)(?P<special>NaN|Inf(?:inity)?)"
)

_UNFINISHED_FRACTION: Final = re.compile(rb"-?(?:0|[1-9][0-9]*+)\.(?![0-9])")
_UNFINISHED_EXPONENT: Final = re.compile(rb"[eE][+-]?(?![0-9])")

_WORDS: Final[tuple[tuple[bytes, bool | None], ...]] = ((b"true", True), (b"false", False), (b"null", None))

_ESCAPE: Final = re.compile(
    r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL
)

_SIMPLE_ESCAPES: Final = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}


def _error(reason: str, offset: int) -> InvalidRequestError:
    return InvalidRequestError(f"JSON Parse error: {reason} at offset: {offset}")


class _Root(list[Any]):
    """The parent of the top-level value."""


def parse_json_tolerantly(body: Bytes) -> Any:
    """Parse a JSON document, or the one that ``body`` begins with.

    Parameters
    ----------
    body
        UTF-8 text.

    Returns
    -------
    document
        See `navi_core.wire.json_document.parse_json`.

    Raises
    ------
    InvalidRequestError
        It is no JSON, nested deeper than `MAX_DEPTH`, or longer than `MAX_STEPS`.
    """
    text = bytes(body)
    pos = _skip(text, 3 if text.startswith(b"\xef\xbb\xbf") else 0)
    if pos == len(text):
        raise _error("The document is empty.", pos)
    root = _Root()
    stack: list[tuple[Any, str]] = []
    container: Any = root
    key = ""
    steps = 0
    while True:
        steps += 1
        if steps > MAX_STEPS:
            raise _error("Not strict JSON, and too long to be read otherwise.", pos)
        # A value begins at pos, in `container` (under `key`, if that is an object).
        value: Any
        opener = text[pos : pos + 1]
        if len(stack) >= MAX_DEPTH and opener in (b"[", b"{"):
            raise _error(f"Nested deeper than {MAX_DEPTH} levels.", pos)
        flat = _flat_array(text, pos)
        if flat is not None:
            value, pos = flat
            _store(container, key, value)
        elif opener in (b"[", b"{"):
            value = [] if opener == b"[" else {}
            pos = _skip(text, pos + 1)
            _store(container, key, value)
            if text[pos : pos + 1] != (b"]" if opener == b"[" else b"}"):
                stack.append((container, key))
                container = value
                if opener == b"{":
                    key, pos = _member_name(text, pos)
                continue
            pos += 1
        else:
            start = pos
            value, pos = _scalar(text, pos)
            if opener == b'"':
                steps += text.count(b"\\", start, pos)
            _store(container, key, value)
        # A value has ended at pos: close what ends with it, or go on to the next one.
        while container is not root:
            pos = _skip(text, pos)
            mark = text[pos : pos + 1]
            if mark == b",":
                pos = _skip(text, pos + 1)
                if type(container) is dict:
                    key, pos = _member_name(text, pos)
                break
            if mark != (b"}" if type(container) is dict else b"]"):
                raise _error(
                    "Missing a comma or } after an object member."
                    if type(container) is dict
                    else "Missing a comma or ] after an array element.",
                    pos,
                )
            pos += 1
            container, key = stack.pop()
        else:
            return root[0]


def _flat_array(text: bytes, pos: int) -> tuple[list[Any], int] | None:
    """Read an array without strings, lists and objects at once: most of a body is such arrays.

    None: there is none at ``pos``, or something in it is better read (or refused) token by token.
    """
    found = _FLAT_ARRAY.match(text, pos)
    if found is None:
        return None
    try:
        values: list[Any] = json.loads(found[0])
    except ValueError:
        return None
    if b"I" not in found[0] and (float("inf") in values or float("-inf") in values):
        return None  # a number that is too big
    return values, found.end()


def _store(container: Any, key: str, value: Any) -> None:
    if type(container) is dict:
        container.setdefault(key, value)
    else:
        container.append(value)


def _skip(text: bytes, pos: int) -> int:
    found = _WHITESPACE.match(text, pos)
    return found.end() if found else pos


def _member_name(text: bytes, pos: int) -> tuple[str, int]:
    """Read ``"name":`` and the space behind it."""
    if text[pos : pos + 1] != b'"':
        raise _error("Missing a name for object member.", pos)
    name, pos = _string(text, pos)
    pos = _skip(text, pos)
    if text[pos : pos + 1] != b":":
        raise _error("Missing a colon after a name of object member.", pos)
    return name, _skip(text, pos + 1)


def _scalar(text: bytes, pos: int) -> tuple[Any, int]:
    if text[pos : pos + 1] == b'"':
        return _string(text, pos)
    found = _NUMBER.match(text, pos)
    if found is not None:
        return _number(found, text), found.end()
    for word, value in _WORDS:
        if text.startswith(word, pos):
            return value, pos + len(word)
    raise _error("Invalid value.", pos)


def _number(found: re.Match[bytes], text: bytes) -> int | float:
    if found["special"]:
        special = float("nan") if found["special"] == b"NaN" else float("inf")
        return -special if found["minus"] else special
    fraction = _UNFINISHED_FRACTION.match(text, found.start())
    if fraction:
        raise _error("Miss fraction part in number.", fraction.end())
    exponent = None if found["exponent"] else _UNFINISHED_EXPONENT.match(text, found.end())
    if exponent:
        raise _error("Miss exponent in number.", exponent.end())
    token = found["number"]
    if not found["fraction"] and not found["exponent"] and len(token) <= _MAX_INT_DIGITS:
        return int(token)
    number = float(token)
    if number in (float("inf"), float("-inf")):
        raise _error("Number too big to be stored in double.", found.start())
    return number


def _string(text: bytes, pos: int) -> tuple[str, int]:
    found = _STRING.match(text, pos)
    if found is None:
        raise _string_error(text, pos)
    value = found[1].decode("utf-8", "surrogateescape")
    if "\\" in value:
        value = _unescape(value, pos)
    return value, found.end()


def _string_error(text: bytes, pos: int) -> InvalidRequestError:
    control = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+').match(text, pos + 1)
    stop = control.end() if control else pos + 1
    if stop < len(text) and 0 < text[stop] < 0x20:
        return _error("Invalid encoding in string.", stop)
    return _error("Missing a closing quotation mark in string.", pos)


def _unescape(value: str, pos: int) -> str:
    def replace(found: re.Match[str]) -> str:
        escape = found[1]
        if len(escape) == 11:  # a surrogate pair
            high, low = int(escape[1:5], 16), int(escape[7:], 16)
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        if len(escape) == 5:
            code = int(escape[1:], 16)
            if 0xD800 <= code <= 0xDFFF:
                raise _error("The surrogate pair in string is invalid.", pos)
            return chr(code)
        if escape == "u":
            raise _error("Incorrect hex digit after \\u escape in string.", pos)
        if escape not in _SIMPLE_ESCAPES:
            raise _error("Invalid escape character in string.", pos)
        return _SIMPLE_ESCAPES[escape]

    return _ESCAPE.sub(replace, value)
