"""What callers of the encoder give, read into ids, values and what is missing.

A family of features (continuous, binary...) may be given as a mapping of name or id to a column, as a pair of ids and
a matrix, or as anything with ``columns`` and ``to_numpy()``: a DataFrame of pandas or Polars, neither of which is
imported here. Missing is NaN, None, pandas' NA, and what a masked array hides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from navi_core import Array, InvalidRequestError
from navi_dr_transform.feature_id import feature_id

__all__ = [
    "BoolArray",
    "FeatureKey",
    "NumberFamily",
    "Numbers",
    "count_rows",
    "id_of",
    "read_numbers",
    "read_objects",
]

FeatureKey: TypeAlias = str | int
"""A feature's full name, or its 64-bit id; a text that is a decimal number is an id."""

NumberFamily: TypeAlias = Mapping[FeatureKey, Any] | tuple[Iterable[FeatureKey], Any]
"""Name or id -> column; or names or ids, and a (rows, features) matrix. Or, untyped, a DataFrame."""

BoolArray: TypeAlias = npt.NDArray[np.bool_]

_LISTS_REMEMBERED: Final = 64

_ID: Final = re.compile(r"-?[0-9]{1,19}")
_MISSING_TYPES: Final = ("NAType", "NaTType")
"""pandas' marks for what is not there: they are neither None nor NaN."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One family of scalar features.

    Parameters
    ----------
    ids
        (features,) int64, no two equal.
    values
        (rows, features) numbers; undefined where nothing is present.
    present
        (rows, features); None: all of them.
    """

    ids: npt.NDArray[np.int64]
    values: Array
    present: BoolArray | None


def id_of(key: Any, family: str) -> int:
    """Return a feature's id.

    Raises
    ------
    InvalidRequestError
        It is neither a name nor a 64-bit integer.
    """
    if isinstance(key, str) and not _ID.fullmatch(key):
        try:
            return feature_id(key)
        except UnicodeEncodeError:
            raise _refused(family, f"a feature's name of valid Unicode, got {key!r}") from None
    number = int(key) if isinstance(key, str | int | np.integer) and not isinstance(key, bool) else None
    if number is None or not -(2**63) <= number < 2**63:
        raise _refused(family, f"a feature's name or its 64-bit id, got {key!r}")
    return number


@lru_cache(maxsize=_LISTS_REMEMBERED)
def ids_of(keys: tuple[FeatureKey, ...], family: str) -> npt.NDArray[np.int64]:
    """Return the ids of features, no two equal. Read-only: clients send the same features again and again.

    Raises
    ------
    InvalidRequestError
        A key is no feature's, or two mean one feature.
    """
    ids = [id_of(key, family) for key in keys]
    if len(set(ids)) < len(ids):
        twice = next(key for index, key in enumerate(keys) if ids[index] in ids[:index])
        raise _refused(family, f"every feature once, got '{twice}' again")
    array = np.array(ids, dtype=np.int64)
    array.flags.writeable = False
    return array


def count_rows(family: str, given: Any) -> int | None:
    """Return how many rows a family has; None: it has no column that could say so.

    Raises
    ------
    InvalidRequestError
        It is none of the forms, or its columns differ in length.
    """
    if isinstance(given, Mapping):
        lengths = {_length(family, key, column) for key, column in given.items()}
        if len(lengths) > 1:
            raise _refused(family, f"columns of one length, got lengths {sorted(lengths)}")
        return lengths.pop() if lengths else None
    _, matrix = _keys_and_matrix(family, given)
    return len(matrix)


def read_numbers(family: str, given: Any, num_rows: int, *, integers: bool = False) -> Numbers:
    """Read a family of numbers.

    Parameters
    ----------
    family
        What it is called, for error texts.
    given
        A mapping, a pair, or a DataFrame.
    num_rows
        What ``count_rows`` answered.
    integers
        The values have to be 64-bit integers.

    Raises
    ------
    InvalidRequestError
        A column holds no such numbers.
    """
    keys: Sequence[FeatureKey]
    if integers and _is_frame(given):  # as a matrix, one column with fractions or holes makes floats of all
        labels = list(given.columns)
        _ids(labels, family)  # a label that stands twice is refused
        given = {label: given[label] for label in labels}
    if isinstance(given, Mapping):
        keys = list(given)
        columns = [_numbers(family, key, column, integers=integers) for key, column in given.items()]
        dtype = np.result_type(*(values for values, _ in columns)) if columns else np.dtype(np.float64)
        matrix = np.empty((num_rows, len(keys)), np.int64 if integers else dtype)
        present: BoolArray | None = None
        for index, (values, there) in enumerate(columns):
            if values.ndim != 1:
                raise _refused(family, f"columns of single values, got shape {values.shape}", keys[index])
            matrix[:, index] = values
            if there is not None:
                present = np.ones(matrix.shape, np.bool_) if present is None else present
                present[:, index] = there
        return Numbers(_ids(keys, family), matrix, present)
    keys, raw = _keys_and_matrix(family, given)
    values, present = _numbers(family, None, raw, integers=integers)
    return Numbers(_ids(keys, family), values, present)


def read_objects(family: str, given: Any) -> list[tuple[int, FeatureKey, Any]]:
    """Read a family whose values are no numbers: id, key and column of each feature.

    Raises
    ------
    InvalidRequestError
        It is none of the forms.
    """
    if isinstance(given, Mapping):
        keys, columns = list(given), list(given.values())
    else:
        keys, matrix = _keys_and_matrix(family, given)
        columns = list(np.moveaxis(np.asanyarray(matrix), 1, 0))
    return list(zip(_ids(keys, family).tolist(), keys, columns, strict=True))


def _ids(keys: Sequence[FeatureKey], family: str) -> npt.NDArray[np.int64]:
    try:
        return ids_of(tuple(keys), family)
    except TypeError:  # a key that cannot be remembered is no feature's either
        raise _refused(family, f"features' names or 64-bit ids, got {list(keys)!r:.200}") from None


def is_missing(value: object) -> bool:
    """Tell whether a single value stands for nothing."""
    return (
        value is None
        or value is np.ma.masked
        or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN is what differs from itself
        or type(value).__name__ in _MISSING_TYPES
    )


def _numbers(
    family: str, key: FeatureKey | None, column: Any, *, integers: bool
) -> tuple[Array, BoolArray | None]:
    """Return numbers and which of them are there; None: all."""
    hidden: BoolArray | None = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    values: Array = np.asarray(column)
    there: BoolArray | None = None
    if integers and values.dtype.kind == "f" and hasattr(column, "to_list"):
        # a Series of integers with holes: as floats they lose what is beyond 53 bits
        values = np.array(column.to_list(), object)
    if values.dtype.kind == "O":
        values, there = _from_objects(family, key, values, integers=integers)
    elif values.dtype.kind not in "biuf":
        raise _refused(family, f"numbers, got dtype {values.dtype}", key)
    elif values.dtype.kind == "f":
        there = np.logical_not(np.isnan(values))
    if hidden is not None:
        there = ~hidden if there is None else there & ~hidden
    if there is not None and there.all():
        there = None
    return (_as_integers(family, key, values, there) if integers else values), there


def _from_objects(
    family: str, key: FeatureKey | None, values: Array, *, integers: bool
) -> tuple[Array, BoolArray]:
    there = np.array([not is_missing(value) for value in values.flat], np.bool_).reshape(values.shape)
    known = [value for value in values.flat if not is_missing(value)]
    for value in known:
        if not isinstance(value, int | float | np.bool_ | np.integer | np.floating):
            raise _refused(family, f"numbers, got {type(value).__name__}", key)
    if integers:  # beside a float the others would become floats
        known = [
            int(each) if isinstance(each, float | np.floating) and each.is_integer() else each
            for each in known
        ]
    try:
        numbers = np.array(known)
        if numbers.dtype.kind not in "biuf":  # integers beyond 64 bits
            numbers = np.array(known, np.float64)
    except OverflowError:
        raise _refused(family, "numbers of at most 64 bits", key) from None
    out = np.zeros(values.shape, numbers.dtype)
    out[there] = numbers
    return out, there


def _as_integers(family: str, key: FeatureKey | None, values: Array, there: BoolArray | None) -> Array:
    known = values if there is None else values[there]
    if values.dtype.kind == "f":
        if not ((known == np.floor(known)) & (np.abs(known) < 2.0**63)).all():
            raise _refused(family, "whole numbers of 64 bits, got others", key)
    elif values.dtype == np.uint64 and known.size and int(known.max()) >= 2**63:
        raise _refused(family, "signed numbers of 64 bits, got larger ones", key)
    return np.where(there, values, 0).astype(np.int64) if there is not None else values.astype(np.int64)


def _is_frame(given: Any) -> bool:
    return hasattr(given, "columns") and hasattr(given, "to_numpy")


def _keys_and_matrix(family: str, given: Any) -> tuple[list[FeatureKey], Array]:
    """Return the keys and the matrix of a pair or a DataFrame."""
    if isinstance(given, tuple) and len(given) == 2:
        keys = given[0].tolist() if isinstance(given[0], np.ndarray) else list(given[0])
        matrix = given[1] if isinstance(given[1], np.ndarray) else np.asarray(given[1])
    elif _is_frame(given):
        keys, matrix = list(given.columns), given.to_numpy()
    else:
        form = "a mapping of features to columns, a pair of features and a matrix, or a DataFrame"
        raise _refused(family, f"{form}, got {type(given).__name__}")
    if matrix.ndim != 2 or matrix.shape[1] != len(keys):
        raise _refused(family, f"a matrix of shape (rows, {len(keys)}), got {matrix.shape}")
    return keys, matrix


def _length(family: str, key: FeatureKey, column: Any) -> int:
    try:
        return len(column)
    except TypeError:
        raise _refused(family, f"a column of values, got {type(column).__name__}", key) from None


def _refused(family: str, expected: str, key: FeatureKey | None = None) -> InvalidRequestError:
    where = family if key is None else f"{family} feature '{key}'"
    return InvalidRequestError(f"{where}: expected {expected}", tensor="" if key is None else str(key))
