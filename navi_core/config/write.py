"""Plain tables as TOML: what :mod:`navi_core.config.load` reads back as the same tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["toml_text"]

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_TO_ESCAPE: Final = re.compile(r'[\x00-\x1f\x7f"\\]')


def toml_text(table: Mapping[str, Any], *, comments: Sequence[str] = ()) -> str:
    """Write tables as TOML.

    Parameters
    ----------
    table
        Key -> bool, int, float, str, a list of these, a mapping like this one, or a list of such mappings.
    comments
        Lines to stand at the top.
    """
    lines = [f"# {_in_a_line(comment)}".rstrip() for comment in comments]
    if lines:
        lines.append("")
    lines += _lines(table, ())
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield a table's own values, then the tables in it."""
    inner = {key: value for key, value in table.items() if _is_tables(value)}
    for key, value in table.items():
        if key not in inner:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        name = ".".join(map(_key, (*path, key)))
        for each in [value] if isinstance(value, Mapping) else value:
            if not isinstance(value, Mapping):
                yield ""
                yield f"[[{name}]]"
            elif not each or not all(map(_is_tables, each.values())):  # else its own tables imply it
                yield ""
                yield f"[{name}]"
            yield from _lines(each, (*path, key))


def _is_tables(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)
    )


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():  # inf and nan are TOML's words, too; 1e+16 is a float of both
            return repr(value)
        case str():
            return _string(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            msg = f"TOML: expected a bool, a number, a text or a list of these, got {type(value).__name__}"
            raise TypeError(msg)


def _string(text: str) -> str:
    return f'"{_TO_ESCAPE.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}"


def _in_a_line(text: str) -> str:
    """Make a text fit for a comment: no control characters in it."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)
