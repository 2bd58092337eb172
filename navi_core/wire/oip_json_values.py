"""``data`` of a JSON tensor -> one array.

The lists may be nested or flat, row-major either way. Values are flattened level by level and converted as a whole.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import numpy as np

from navi_core.errors import DecodeError, TensorMismatchError
from navi_core.tensors import DType
from navi_core.types import Array
from navi_core.wire.oip_dtypes import OipType
from navi_core.wire.oip_request import InputHead
from navi_core.wire.oip_tensors import object_array

__all__ = ["decode_data"]

_struct: Final = lru_cache(maxsize=64)(struct.Struct)

_WORDS: Final = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}


def decode_data(data: Any, head: InputHead, kind: OipType, count: int) -> Array:
    """Return the array that JSON ``data`` holds.

    Parameters
    ----------
    data
        Parsed JSON.
    head, kind
        What is said of the tensor.
    count
        The number of elements of its shape.

    Raises
    ------
    DecodeError
        The type has no JSON form, the lists are uneven, or a value is not of the type.
    TensorMismatchError
        There are more or fewer values than the shape has elements.
    """
    name = head.name
    if not kind.field:
        raise DecodeError(
            f"receiving {kind.name} data via JSON is not supported. "
            f"Please use the binary data format for input '{name}'",
            tensor=name,
        )
    if type(data) is not list:
        raise DecodeError(f"input '{name}': data: expected an array, got {_word(data)}", tensor=name)
    values: list[Any] = data
    while values and type(values[0]) is list:
        if set(map(type, values)) != {list} or len(set(map(len, values))) != 1:
            raise DecodeError(f"input '{name}': data: expected evenly nested arrays", tensor=name)
        values = list(chain.from_iterable(values))
    if len(values) != count:
        raise TensorMismatchError(tensor=name, what="elements", expected=str(count), got=str(len(values)))
    return _converted(values, name, kind).reshape(head.shape)


def _word(value: Any) -> str:
    return _WORDS.get(type(value), "null" if value is None else "an object")


def _converted(values: list[Any], name: str, kind: OipType) -> Array:
    dtype = kind.numpy
    if not values:
        return np.empty(0, dtype)
    kinds = set(map(type, values))
    if dtype.kind == "f":
        _check_kinds(values, kinds, {int, float, type(None)}, "numbers", name, kind)
        try:
            return np.frombuffer(bytearray(_struct(f"<{len(values)}{dtype.char}").pack(*values)), dtype)
        except (struct.error, OverflowError):  # null, or a number that is too large
            pass
        try:
            with np.errstate(over="ignore"):  # too large for FP32 is infinite
                return np.array(values, dtype=dtype)  # null is NaN
        except OverflowError:
            raise DecodeError(f"input '{name}': a number is too large for {kind.name}", tensor=name) from None
    if dtype.kind == "b":
        _check_kinds(values, kinds, {bool}, "booleans", name, kind)
        return np.array(values, dtype=np.bool_)
    if kind.dtype is DType.STRING:
        _check_kinds(values, kinds, {str}, "strings", name, kind)
        try:
            return object_array([value.encode() for value in values])
        except UnicodeEncodeError:
            raise DecodeError(
                f"input '{name}': a string holds half of a surrogate pair", tensor=name
            ) from None
    _check_kinds(values, kinds, {int}, "integers", name, kind)
    limits = np.iinfo(dtype)
    smallest, largest = min(values), max(values)
    if smallest < limits.min or largest > limits.max:
        wrong = smallest if smallest < limits.min else largest
        got = str(wrong) if -(10**20) < wrong < 10**20 else "a number far outside"
        raise DecodeError(
            f"input '{name}': expected {kind.name} values from {limits.min} to {limits.max}, got {got}",
            tensor=name,
        )
    return np.array(values, dtype=dtype)


def _check_kinds(
    values: list[Any], kinds: set[type], wanted: set[type], word: str, name: str, kind: OipType
) -> None:
    if kinds <= wanted:
        return
    index, value = next((i, value) for i, value in enumerate(values) if type(value) not in wanted)
    raise DecodeError(
        f"input '{name}': expected {word} as {kind.name} data, got {_word(value)} at flat index {index}",
        tensor=name,
    )
