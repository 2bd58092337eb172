"""Default values of tensors: from configuration, or from the texts of a segdense file."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from navi_core import DType, ModelLoadError, numpy_dtype
from navi_dr_transform.layout import Default

__all__ = ["DTYPE_WORDS", "checked_default", "parse_default"]

DTYPE_WORDS: Final = {
    "float": DType.FLOAT32,
    "float32": DType.FLOAT32,
    "double": DType.FLOAT64,
    "float64": DType.FLOAT64,
    "int": DType.INT32,
    "integer": DType.INT32,
    "int32": DType.INT32,
    "long": DType.INT64,
    "int64": DType.INT64,
    "byte": DType.UINT8,
    "uint8": DType.UINT8,
    "bool": DType.BOOL,
    "boolean": DType.BOOL,
    "string": DType.STRING,
    "str": DType.STRING,
    "bytes": DType.STRING,
    "binary": DType.STRING,
}
"""``default_value.type`` of a segdense file, in small letters -> element type."""

_TRUTHS: Final = {"true": 1, "1": 1, "false": 0, "0": 0}


def checked_default(value: object, dtype: DType, path: str) -> Default:
    """Return a default as its tensor's elements hold it.

    Parameters
    ----------
    value
        A number, a truth value or a text.
    dtype
        The tensor's element type.
    path
        Where the value stands, for error texts.

    Raises
    ------
    ModelLoadError
        The type cannot hold it.
    """
    if dtype is DType.STRING:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, bytes):
            return value
        raise _wrong(path, "a text", value)
    if dtype is DType.BOOL:
        if value in (0, 1) and isinstance(value, int):
            return int(value)
        raise _wrong(path, "true or false", value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(path, f"a number, which {dtype} holds", value)
    if dtype in (DType.FLOAT32, DType.FLOAT64):
        return _checked_float(value, dtype, path)
    info = np.iinfo(numpy_dtype(dtype))
    if not isinstance(value, int) or not info.min <= value <= info.max:
        raise _wrong(path, f"an integer from {info.min} to {info.max}, which {dtype} holds", value)
    return value


def _checked_float(value: float, dtype: DType, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise _wrong(path, f"a number that {dtype} holds", value) from None
    if math.isfinite(number) and abs(number) > float(np.finfo(numpy_dtype(dtype)).max):
        raise _wrong(path, f"a number that {dtype} holds", value)
    return number


def parse_default(text: str, dtype: DType, path: str) -> Default:
    """Read a default from a segdense file's text.

    Parameters
    ----------
    text
        ``NaN``, ``-1``, ``true``...
    dtype
        The tensor's element type.
    path
        Where the text stands, for error texts.

    Raises
    ------
    ModelLoadError
        The text is none of that type.
    """
    word = text.strip()
    if dtype is DType.STRING:
        return text.encode()
    try:
        if dtype is DType.BOOL:
            return _TRUTHS[word.lower()]
        value = float(word) if dtype in (DType.FLOAT32, DType.FLOAT64) else int(word)
    except (ValueError, KeyError):
        raise _wrong(path, f"the text of a {dtype}", text) from None
    return checked_default(value, dtype, path)


def _wrong(path: str, expected: str, got: object) -> ModelLoadError:
    shown = repr(got)
    return ModelLoadError(
        f"{path}: expected {expected}, got {shown if len(shown) <= 80 else shown[:77] + '...'}"
    )
