"""Whether an exported program's archive holds nothing but what torch.export writes. Imports no torch.

torch turns parts of ``models/NAME.json`` into code (names and guards into Python source, operators into attributes of
modules), so only what torch.export itself writes may stand there. Weights and constants that are pickled instead of
raw, and objects, are refused: torch would unpickle them without restriction.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from navi_torch.expressions import check_guard, parse_size

__all__ = ["IDENTIFIER", "ProgramError", "check_document", "check_payloads"]

IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")
"""What a name may be."""

_DOTTED: Final = re.compile(r"[\w.]*")
_OPERATOR: Final = re.compile(
    r"torch\.ops\.(?!_?load)[A-Za-z]\w*\.(?:[a-z_]?[A-Za-z0-9]\w*|__i?(?:and|or|xor|lshift|rshift)__)(?:\.[A-Za-z0-9]\w*)?"
    r"|_operator\.(?:add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|lshift|rshift|getitem)"
    r"|math\.(?:trunc|ceil|floor|sqrt)"
    r"|torch\.(?:_?sym_\w+)"
)
_NAMES: Final = frozenset({"name", "as_name"})
_PATHS: Final = frozenset(
    {"parameter_name", "buffer_name", "tensor_constant_name", "user_input_name", "fqn", "custom_obj_name"}
)
_OBJECTS: Final = frozenset({"as_custom_obj", "custom_obj", "as_opaque_obj", "as_opaque"})


class ProgramError(ValueError):
    """The archive is none that can be served, or none that torch.export writes; one line."""


def check_document(document: Any) -> None:
    """Walk through all of ``models/NAME.json`` and refuse what torch would make other code of.

    Raises
    ------
    ProgramError
        It holds what torch.export does not write.
    ExpressionError
        So does a size, or a guard.
    """
    for guard in document.get("guards_code") or ():
        check_guard(guard)
    for symbol in document.get("range_constraints") or ():
        parse_size(symbol)
    waiting: list[Any] = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            for key, value in item.items():
                _check_field(key, value)
                if isinstance(value, dict | list) and key != "metadata":
                    waiting.append(value)


def _check_field(key: str, value: Any) -> None:
    if key in _NAMES and value:
        _expect(IDENTIFIER, value, "name")
    elif key in _PATHS and value:
        _expect(_DOTTED, value, "name")
    elif key == "expr_str":
        parse_size(value)
    elif key in ("target", "as_operator"):
        _expect(_OPERATOR, value, "operator")
    elif key in ("in_spec", "out_spec"):
        # torch imports the module that an enumeration's key names; an escape could hide it
        if not isinstance(value, str) or "__enum__" in value or "\\u" in value:
            msg = "the structure of its arguments or outputs has keys that are not plain ASCII text"
            raise ProgramError(msg)
    elif key == "forward_arg_names":
        for name in value or ():
            _expect(IDENTIFIER, name, "argument")
    elif (key in _OBJECTS and value) or (key == "custom_obj_values" and value):
        msg = "it holds an object of a custom class, which is not served"
        raise ProgramError(msg)


def _expect(pattern: re.Pattern[str], text: Any, what: str) -> None:
    if not isinstance(text, str) or len(text) > 1000 or not pattern.fullmatch(text):
        msg = f"{what} {str(text)[:80]!r} is none that torch.export writes"
        raise ProgramError(msg)


def check_payloads(config: bytes, record_sizes: Mapping[str, int], folder: str) -> None:
    """Check what ``data/weights`` or ``data/constants`` say about their tensors.

    Parameters
    ----------
    config
        The JSON file.
    record_sizes
        Name in the archive -> size in bytes.
    folder
        Where the records lie.

    Raises
    ------
    ProgramError
        Something is pickled, missing, or claims a size that the archive does not hold.
    """
    try:
        for name, entry in json.loads(config)["config"].items():
            _check_payload(str(name)[:80], entry, record_sizes, folder)
    except ProgramError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = "the description of its weights is damaged"
        raise ProgramError(msg) from error


def _check_payload(name: str, entry: Any, record_sizes: Mapping[str, int], folder: str) -> None:
    path = str(entry["path_name"])
    if entry.get("use_pickle") or path.startswith(("custom_obj_", "opaque_obj_")):
        msg = f"'{name}' is stored as a pickle, which is not read: unpickling runs code"
        raise ProgramError(msg)
    size_bytes = record_sizes.get(folder + path)
    if size_bytes is None:
        msg = f"'{name}' has no data in the archive"
        raise ProgramError(msg)
    elements = math.prod(int(size["as_int"]) for size in entry["tensor_meta"]["sizes"])
    if not size_bytes and elements:  # torch would make it of zeros
        msg = f"'{name}' claims {elements} elements and has none in the archive"
        raise ProgramError(msg)
