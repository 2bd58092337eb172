"""Arrays as plain JSON values: what commands print, and what the HTTP client sends."""

from __future__ import annotations

import base64 as b64
from typing import Any

import numpy as np

from navi_core.tensors import DType, dtype_of, string_array
from navi_core.types import Array
from navi_core.wire.json_predictions import shortest_decimals

__all__ = ["to_json_value"]


def to_json_value(array: Array, *, base64: bool = False) -> Any:
    """Return nested lists of an array's values; a scalar by itself.

    Parameters
    ----------
    array
        Any shape, any dtype that navi carries. float32 is written by its shortest decimals; complex
        numbers become ``[real, imaginary]``; narrow floats become numbers.
    base64
        Write every string as ``{"b64": ...}``; else only those that are no UTF-8.
    """
    dtype = dtype_of(array)
    if dtype is DType.STRING:
        texts = string_array(array)
        values = np.empty(texts.shape, dtype=object)
        for index, item in enumerate(texts.flat):
            values.flat[index] = _text(item, base64=base64)
        # tolist() of rank 0 would unpack the object array to its item, which is what is wanted
        return values.tolist()
    if dtype in (DType.COMPLEX64, DType.COMPLEX128):
        return np.stack([array.real, array.imag], axis=-1).tolist()
    if dtype is DType.FLOAT32:
        return shortest_decimals(array).tolist()
    if dtype in (DType.BFLOAT16, DType.FLOAT16) or dtype.startswith("float8"):
        return array.astype(np.float64).tolist()
    return array.tolist()


def _text(item: bytes, *, base64: bool) -> Any:
    if not base64:
        try:
            return item.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": b64.b64encode(item).decode("ascii")}
