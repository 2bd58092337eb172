"""Records, however callers have them, as columns: what payload encoders take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from navi_core.errors import InvalidRequestError, RequestError
from navi_core.tensors import string_array
from navi_core.types import Array

__all__ = ["Records", "as_columns"]

Records: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any
"""Columns (name -> array or list), rows (mappings), or a data frame (``columns``, ``frame[name].to_numpy()``)."""

_NUMBERS: Final = "biufcV"


def as_columns(records: Records) -> dict[str, Array]:
    """Return records as columns.

    Parameters
    ----------
    records
        See :data:`Records`. What a row lacks is None, or left out of its mapping; data frames' NaN in columns of
        objects is None, too.

    Returns
    -------
    columns
        Name -> (rows, ...) array of numbers or strings (object, of ``bytes``). Where rows differ in shape, or some
        lack a value: (rows,) object array of arrays, numbers, ``bytes`` and None; its numbers are of one type. Values
        that are mappings of texts to numbers stay so, as dicts in such an array.

    Raises
    ------
    RequestError
        There are no columns, they differ in length, or a value is neither a number nor a string nor an array nor a
        mapping of texts to numbers.
    """
    columns = {name: _column(name, values) for name, values in _named(records).items()}
    if not columns:
        raise InvalidRequestError("records: expected at least one column, got none")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{name}': {length}" for name, length in lengths.items())
        raise InvalidRequestError(f"records: expected columns of one length, got {listed}")
    return columns


def _named(records: Records) -> Mapping[str, Any]:
    if isinstance(records, Mapping):
        named: Mapping[Any, Any] = records
    elif isinstance(records, Sequence) and not isinstance(records, str | bytes):
        for index, row in enumerate(records):
            if not isinstance(row, Mapping):
                raise InvalidRequestError(
                    f"records: expected rows that are mappings, got {type(row).__name__} (row {index})"
                )
        names = dict.fromkeys(name for row in records for name in row)
        named = {name: [row.get(name) for row in records] for name in names}
    elif hasattr(records, "columns") and hasattr(records, "__getitem__"):
        named = {name: _of_frame(records[name].to_numpy()) for name in records.columns}
    else:
        raise InvalidRequestError(
            f"records: expected columns, rows or a data frame, got {type(records).__name__}"
        )
    for name in named:
        if not isinstance(name, str) or not name:
            raise InvalidRequestError(f"records: expected columns with names, got {name!r}")
    return named


def _of_frame(values: Array) -> Any:
    if values.dtype != object:
        return values
    return [None if isinstance(item, float) and math.isnan(item) else item for item in values.tolist()]


def _column(name: str, values: Any) -> Array:
    if isinstance(values, np.ndarray):
        if not values.ndim:
            raise RequestError(f"column '{name}': expected one value for each row, got a scalar", tensor=name)
        if values.dtype.kind in _NUMBERS:
            return values
        if values.dtype.kind in "SU":
            return string_array(values)
        values = list(values)
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence):
        raise RequestError(
            f"column '{name}': expected a list or an array, got {type(values).__name__}", tensor=name
        )
    return _joined([_item(name, row, value) for row, value in enumerate(values)])


def _item(name: str, row: int, value: Any) -> Array | dict[str, Any] | None:
    """Return one row's value: an array of numbers or of ``bytes``, or a mapping; None: it has none."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        for key, number in value.items():
            if not isinstance(key, str) or not isinstance(number, int | float | np.number | np.bool_):
                got = f"{type(key).__name__} to {type(number).__name__}"
                raise RequestError(
                    f"column '{name}': expected a mapping of texts to numbers, got one of {got} (row {row})",
                    tensor=name,
                )
        return dict(value)
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # ragged
        array = np.empty((), np.void)
    if array.dtype.kind in "SUO":
        array = np.array(value, dtype=object)  # NumPy's own strings drop zero bytes at the end
        if all(isinstance(item, str | bytes) for item in array.flat):
            return string_array(array)
    elif array.dtype.kind in _NUMBERS and array.dtype.fields is None and array.dtype != np.void:
        return array
    raise RequestError(
        f"column '{name}': expected numbers or strings, or a regular array of them, got {_what(value)} (row {row})",
        tensor=name,
    )


def _what(value: Any) -> str:
    return "a mixed or irregular list" if isinstance(value, list | tuple) else type(value).__name__


def _joined(items: Sequence[Array | dict[str, Any] | None]) -> Array:
    present = [item for item in items if isinstance(item, np.ndarray)]
    numbers = [item for item in present if item.dtype != object]
    if numbers:
        common = np.result_type(*(item.dtype for item in numbers))
        items = [
            item.astype(common) if isinstance(item, np.ndarray) and item.dtype != object else item
            for item in items
        ]
    is_regular = len(present) == len(items) and len({item.shape for item in present}) == 1
    if is_regular and len(numbers) in (0, len(items)):
        return np.stack([item for item in items if isinstance(item, np.ndarray)])
    out = np.empty(len(items), dtype=object)
    for row, item in enumerate(items):
        out[row] = item[()] if isinstance(item, np.ndarray) else item  # of rank 0: the number, or the bytes
    return out
