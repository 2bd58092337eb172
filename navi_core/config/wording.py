"""Words for configuration errors: where a value stands, what was expected there, and what came.

Pure texts; :mod:`navi_core.config.convert` decides when they are needed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import inspect

__all__ = ["describe", "item_path", "key_path", "plain", "show", "unknown_key"]

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_MAX_SHOWN: Final = 60


def key_path(path: str, key: str) -> str:
    """Return the path of ``key`` in the table at ``path``, quoted where TOML would quote it."""
    word = key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{word}" if path else word


def item_path(path: str, index: int) -> str:
    """Return the path of one item of the array at ``path``."""
    return f"{path}[{index}]"


def show(value: object) -> str:
    """Write a value the way the file has it; tables and arrays by their kind, long texts cut."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, Mapping):
        return "a table"
    elif isinstance(value, list | tuple):
        return "an array" if value else "an empty array"
    elif isinstance(value, int):
        # str() of an integer refuses more digits than the interpreter allows
        text = str(value) if value.bit_length() < 1024 else f"an integer of {value.bit_length()} bits"
    elif isinstance(value, float):
        text = repr(value)
    elif value is None:
        text = "nothing"
    else:
        text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Say that a key is unknown, with the one that was probably meant, or with all there are."""
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"unknown key, did you mean '{close[0]}'?"
    if not known:
        return "unknown key, expected none"
    return f"unknown key, expected one of {', '.join(repr(name) for name in known)}"


def describe(annotation: Any) -> str:
    """Say what a type accepts: ``int >= 1``, ``one of "availability", "resource"``, ``table``..."""
    return _describe(inspect.type_info(annotation))


def _describe(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata():
            return _describe(info.type)
        case inspect.UnionType():
            kinds = [_describe(kind) for kind in info.types if not isinstance(kind, inspect.NoneType)]
            return " or ".join(dict.fromkeys(kinds)) or "nothing"
        case inspect.IntType():
            return _bounded("int", info)
        case inspect.FloatType():
            return _bounded("number", info)
        case inspect.BoolType():
            return "bool"
        case inspect.StrType():
            return _describe_str(info)
        case inspect.LiteralType():
            return _one_of(info.values)
        case inspect.EnumType():
            return _one_of(member.value for member in info.cls)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return f"array of {_plural(_describe(info.item_type))}"
        case inspect.TupleType():
            return f"array of {', '.join(_describe(kind) for kind in info.item_types)}"
        case inspect.DictType() | inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
            return "table"
        case inspect.AnyType():
            return "any value"
        case _:
            return type(info).__name__.removesuffix("Type").lower()


def _plural(text: str) -> str:
    return "tables" if text == "table" else text


def _one_of(values: Iterable[object]) -> str:
    shown = [show(value) for value in values]
    return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"


def _bounded(kind: str, info: inspect.IntType | inspect.FloatType) -> str:
    signs = ((">", info.gt), (">=", info.ge), ("<", info.lt), ("<=", info.le))
    bounds = [f"{sign} {_number(limit)}" for sign, limit in signs if limit is not None]
    if info.multiple_of is not None:
        bounds.append(f"a multiple of {_number(info.multiple_of)}")
    return f"{kind} {' and '.join(bounds)}" if bounds else kind


def _number(value: float) -> str:
    return f"{value:g}" if type(value) is float else str(value)


def _describe_str(info: inspect.StrType) -> str:
    rules = []
    if info.min_length is not None and info.max_length is not None:
        rules.append(f"of {info.min_length} to {info.max_length} characters")
    elif info.min_length is not None:
        rules.append(f"of at least {info.min_length} character{'' if info.min_length == 1 else 's'}")
    elif info.max_length is not None:
        rules.append(f"of at most {info.max_length} characters")
    if info.pattern is not None:
        rules.append(f"that matches {info.pattern}")
    return " ".join(["str", *rules])


def plain(error: msgspec.ValidationError) -> str:
    """Return msgspec's words without its own notation of the place."""
    return re.sub(r" - at `(key in )?\$[^`]*`$", "", str(error)).replace("`", "")
