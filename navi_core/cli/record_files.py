"""Rows and columns for encoders, from JSON, CSV and .npz files; and the encoders' options."""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from navi_core.columns import Records
from navi_core.errors import ConfigError

__all__ = ["parse_json_records", "read_options", "read_records"]

_INT: Final = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|[+-]?inf", re.IGNORECASE)


def read_records(path: Path) -> Records:
    """Return what a file holds, as an encoder's caller gives it.

    Parameters
    ----------
    path
        ``.json``: a list of objects, or an object of lists. ``.csv``: a line of names, then rows; a column of
        integers or numbers becomes one, an empty cell is a missing value. ``.npz``: columns.

    Raises
    ------
    ConfigError
        It is none of these, or cannot be read.
    """
    readers = {".json": _json, ".csv": _csv, ".npz": _npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{path}: expected a file called {', '.join(readers)}", path="--input")
    try:
        return reader(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}", path="--input") from None
    except (ValueError, EOFError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as {path.suffix}: {error}", path="--input") from None


def parse_json_records(content: bytes, option: str) -> Records:
    """Return the rows or columns of a JSON text; ``{"b64": ...}`` is a string of bytes.

    Raises
    ------
    ConfigError
        It is no JSON, and no list or object.
    """
    try:
        records = json.loads(content, object_hook=_bytes_or_object)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"expected JSON: {error}", path=option) from None
    if not isinstance(records, list | dict):
        raise ConfigError("expected a list of objects, or an object of lists", path=option)
    return records


def read_options(path: Path) -> dict[str, Any]:
    """Return the table that a TOML file is.

    Raises
    ------
    ConfigError
        It is no TOML.
    OSError
        It cannot be read.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or no number that Python makes
        raise ConfigError(f"{path}: expected TOML: {error}", path="--encode-options") from None


def _bytes_or_object(value: dict[str, Any]) -> Any:
    if value.keys() != {"b64"} or isinstance(value["b64"], int | float):  # a number: a category of that name
        return value
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (TypeError, binascii.Error):
        msg = 'expected base64 in {"b64": ...}'
        raise ValueError(msg) from None


def _json(path: Path) -> Records:
    return parse_json_records(path.read_bytes(), f"--input {path}")


def _npz(path: Path) -> Records:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        raise ConfigError(f"{path}: expected columns with names, got one array", path="--input")
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _csv(path: Path) -> Records:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, strict=True)
        names = next(reader, [])
        if not names or "" in names or len(set(names)) < len(names):
            msg = f"expected names in the first line, each once, got {names}"
            raise ValueError(msg)
        rows = []
        for row in reader:
            if len(row) not in (0, len(names)):  # 0: an empty line
                msg = f"expected {len(names)} cells, got {len(row)} (line {reader.line_num})"
                raise ValueError(msg)
            if row:
                rows.append(row)
    return {name: _typed([row[index] for row in rows]) for index, name in enumerate(names)}


def _typed(cells: Sequence[str]) -> list[int | float | str | None]:
    said = [cell for cell in cells if cell]
    kind: type[int | float | str] = str
    if said and all(_INT.fullmatch(cell) for cell in said):
        kind = int
    elif said and all(_FLOAT.fullmatch(cell) for cell in said):
        kind = float
    return [kind(cell) if cell else None for cell in cells]
