"""JSON values -> one tensor.

Values are flattened level by level and converted as a whole; only what fails is walked value by
value, to say what is wrong where.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import numpy as np

from navi_core.errors import InvalidRequestError, UnsupportedError
from navi_core.signature import TensorSpec
from navi_core.tensors import DType, numpy_dtype
from navi_core.types import Array
from navi_core.wire.json_shown import shown
from navi_core.wire.tensor_view import MAX_RANK
from navi_core.wire.tf_dtypes import tf_type_name

__all__ = ["MismatchError", "is_base64", "json_type", "shape_of", "string_value", "tensor_of"]

_INT_BOUNDS: Final = {
    # The narrow types are read as int32 and truncated, as in TensorFlow Serving.
    **dict.fromkeys((DType.INT32, DType.INT16, DType.INT8, DType.UINT8), (-(2**31), 2**31 - 1)),
    DType.INT64: (-(2**63), 2**63 - 1),
    DType.UINT32: (0, 2**32 - 1),
    DType.UINT64: (0, 2**64 - 1),
}

_PACKED: Final[Mapping[DType, tuple[str, np.dtype[Any]]]] = {
    DType.FLOAT32: ("f", np.dtype("<f4")),
    DType.FLOAT64: ("d", np.dtype("<f8")),
    **dict.fromkeys((DType.INT32, DType.INT16, DType.INT8, DType.UINT8), ("i", np.dtype("<i4"))),
    DType.INT64: ("q", np.dtype("<i8")),
    DType.UINT32: ("I", np.dtype("<u4")),
    DType.UINT64: ("Q", np.dtype("<u8")),
}
"""Element type -> how ``struct`` packs its values, and what they are then."""

_IS_AS_PACKED: Final = {dtype: lane == numpy_dtype(dtype) for dtype, (_, lane) in _PACKED.items()}

_LONG: Final = 16
"""From so many numbers on, a list is worth being packed by itself."""

_FLOATS: Final = (DType.FLOAT32, DType.FLOAT64)


class MismatchError(Exception):
    """The values do not make a tensor of the wanted type; `shape_of` says why."""


def is_base64(value: Any) -> bool:
    """Tell whether a value is ``{"b64": text}``: bytes, not an object."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def tensor_of(value: Any, spec: TensorSpec, *, has_bools: bool = True) -> Array:
    """Make a tensor of a value or nested list.

    Parameters
    ----------
    value
        As it was parsed.
    spec
        The wanted element type.
    has_bools
        False: no value is a boolean. The quickest way to make numbers of values takes booleans for numbers, and
        is gone only then.

    Raises
    ------
    MismatchError
        The nesting is uneven or too deep, or a value is not of the wanted type.
    """
    if not has_bools and type(value) is list and value and type(value[0]) is list:
        size = len(value[0])
        if size >= _LONG and type(value[0][0]) is not list:
            rows = _packed_rows(value, size, spec.dtype)
            if rows is not None:
                return rows.reshape(len(value), size)
    shape: list[int] = []
    values: list[Any] = [value]
    while values and type(values[0]) is list:
        sizes = set(map(len, values)) if set(map(type, values)) == {list} else set()
        if len(sizes) != 1 or len(shape) == MAX_RANK:
            raise MismatchError
        size = sizes.pop()
        shape.append(size)
        if not has_bools and size >= _LONG and type(values[0][0]) is not list:
            packed = _packed_rows(values, size, spec.dtype)
            if packed is not None:
                return packed.reshape(shape)
        values = list(chain.from_iterable(values))
    return _converted(values, spec.dtype).reshape(shape)


_struct: Final = lru_cache(maxsize=64)(struct.Struct)


def _packed_rows(rows: list[list[Any]], size: int, dtype: DType) -> Array | None:
    """Convert rows that should be lists of ``size`` numbers, without booleans; None: something is unusual, or wrong.

    To pack a row finds out what it is: whatever is no list has no numbers in it, or is none.
    """
    found = _PACKED.get(dtype)
    if found is None:
        return None
    code, lane = found
    row_of = _struct(f"<{size}{code}")
    packed = bytearray(row_of.size * len(rows))
    try:
        for index, row in enumerate(rows):
            row_of.pack_into(packed, index * row_of.size, *row)
    except (struct.error, OverflowError, TypeError):
        return None
    array = np.frombuffer(packed, lane)
    return array if _IS_AS_PACKED[dtype] else array.astype(numpy_dtype(dtype))


def _converted(values: list[Any], dtype: DType) -> Array:
    """Convert scalars to a flat array of ``dtype``."""
    kinds = set(map(type, values))
    if not values:
        return np.empty(0, dtype=numpy_dtype(dtype))
    if dtype in _FLOATS:
        if not kinds <= {float, int}:
            raise MismatchError
        try:
            with np.errstate(over="ignore"):  # too large for float32 is infinite, as in TensorFlow Serving
                return np.array(values, dtype=numpy_dtype(dtype))
        except OverflowError:
            raise MismatchError from None
    bounds = _INT_BOUNDS.get(dtype)
    if bounds is not None:
        if kinds != {int} or min(values) < bounds[0] or max(values) > bounds[1]:
            raise MismatchError
        wide = np.uint64 if dtype is DType.UINT64 else np.int64
        return np.array(values, dtype=wide).astype(numpy_dtype(dtype), copy=False)
    if dtype is DType.BOOL and kinds == {bool}:
        return np.array(values, dtype=np.bool_)
    if dtype is DType.STRING and kinds <= {str, dict}:
        out = np.empty(len(values), dtype=object)
        out[:] = [string_value(value) for value in values]
        return out
    raise MismatchError


def string_value(value: Any) -> bytes:
    """Return the bytes of a text or a base64 object; raises MismatchError."""
    if type(value) is str:
        return value.encode("utf-8", "surrogateescape")
    if not is_base64(value):
        raise MismatchError
    encoded = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MismatchError from None


def shape_of(value: Any, spec: TensorSpec) -> tuple[int, ...]:
    """Walk a value in order; return its shape or raise for the first thing that is wrong.

    Raises
    ------
    InvalidRequestError
        In TensorFlow Serving's words.
    UnsupportedError
        JSON cannot carry the element type.
    """
    shape: list[int] = []
    first = value
    while type(first) is list:
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    rank = len(shape)
    if rank > MAX_RANK:
        raise InvalidRequestError(
            f"Encountered list at unexpected level: {MAX_RANK} expected < {MAX_RANK}", tensor=spec.name
        )
    pending: list[tuple[Any, tuple[int, ...]]] = [(value, ())]
    while pending:
        item, place = pending.pop()
        level = len(place)
        if type(item) is not list:
            if level != rank:
                raise InvalidRequestError(
                    f"JSON Value: {shown(item)} found at incorrect level: {level + 1} in the JSON DOM. "
                    f"Expected at level: {rank}{_at(place)}",
                    tensor=spec.name,
                )
            _check_scalar(item, spec)
            continue
        if level >= rank:
            raise InvalidRequestError(
                f"Encountered list at unexpected level: {level} expected < {rank}{_at(place)}",
                tensor=spec.name,
            )
        if len(item) != shape[level]:
            raise InvalidRequestError(
                f"Encountered list at unexpected size: {len(item)} at level: {level} "
                f"expected size: {shape[level]}{_at(place)}",
                tensor=spec.name,
            )
        pending.extend((item[index], (*place, index)) for index in range(len(item) - 1, -1, -1))
    return tuple(shape)


def _at(place: tuple[int, ...]) -> str:
    return f" (at {''.join(f'[{index}]' for index in place)})" if place else ""


def _check_scalar(value: Any, spec: TensorSpec) -> None:
    try:
        _converted([value], spec.dtype)
    except MismatchError:
        pass
    else:
        return
    word = tf_type_name(spec.dtype)
    if spec.dtype is DType.STRING and type(value) is dict:
        text = (
            "Unable to base64 decode"
            if is_base64(value)
            else f"JSON Value: {shown(value)} not formatted correctly for base64 data"
        )
        raise InvalidRequestError(text, tensor=spec.name)
    known = spec.dtype in _FLOATS or spec.dtype in _INT_BOUNDS or spec.dtype in (DType.BOOL, DType.STRING)
    if not known and type(value) is not dict:
        raise UnsupportedError(f"Conversion of JSON Value: {shown(value)} to type: {word}", tensor=spec.name)
    raise InvalidRequestError(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: {word}",
        tensor=spec.name,
    )


def json_type(value: Any) -> str:
    """Return how TensorFlow Serving's messages call the type of a JSON value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"
