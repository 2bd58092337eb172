"""JSON values as error messages show them: as TensorFlow Serving prints them, and only a little."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from navi_core.errors import InvalidRequestError

__all__ = ["format_error", "printable", "shown"]

_SHOWN_CHARACTERS: Final = 256
"""How much of an offending value an error shows."""


def printable(name: str) -> str:
    """Make a client's word fit to be shown: no stray surrogates, not too long."""
    return name[:_SHOWN_CHARACTERS].encode("utf-8", "replace").decode()


def format_error(value: Any, text: str) -> InvalidRequestError:
    """Make the error that shows a value and says what is wrong with it."""
    return InvalidRequestError(f"JSON Value: {shown(value)} {text}")


def shown(value: Any) -> str:
    """Write a value as JSON, cut to what an error shows."""
    out: list[str] = []
    _show(value, out, 0)
    return printable("".join(out)[:_SHOWN_CHARACTERS])


def _show(value: Any, out: list[str], indent: int) -> None:
    # Every call writes at least one character before it goes deeper, so the depth is bounded too.
    if sum(map(len, out)) >= _SHOWN_CHARACTERS:
        return
    if type(value) is dict:
        _show_items(value.items(), out, indent)
    elif type(value) is list:
        out.append("[")
        for index, item in enumerate(value[:_SHOWN_CHARACTERS]):
            if index:
                out.append(", ")
            _show(item, out, indent)
        out.append("]")
    elif type(value) is str:
        out.append(json.dumps(value[:_SHOWN_CHARACTERS], ensure_ascii=False))
    else:
        out.append(json.dumps(value))


def _show_items(items: Iterable[tuple[str, Any]], out: list[str], indent: int) -> None:
    out.append("{")
    empty = True
    for index, (key, item) in enumerate(items):
        if index >= _SHOWN_CHARACTERS:
            break
        empty = False
        name = json.dumps(key[:_SHOWN_CHARACTERS], ensure_ascii=False)
        out.append(f"{',' if index else ''}\n{' ' * (indent + 4)}{name}: ")
        _show(item, out, indent + 4)
    out.append("}" if empty else f"\n{' ' * indent}}}")
