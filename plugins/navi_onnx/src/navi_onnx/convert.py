"""Arrays to and from ONNX Runtime where its own conversion is not right.

What :meth:`InferenceSession.run` does with awkward input, and what is done here about it (ONNX
Runtime 1.31):

* arrays in the other byte order are read as if they were native: converted;
* unaligned arrays are read in place: copied;
* ``bytes`` in object arrays become their ``repr``, and full-width items of ``S`` arrays are read past
  their end: strings are always handed over as object arrays of ``str``;
* bfloat16 and float8 are refused: they go through ``OrtValue``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

import numpy as np
import onnxruntime as ort

from navi_core import Array, DecodeError, DType, TensorMismatchError, numpy_dtype

__all__ = [
    "ONNX_TYPES",
    "VALUE_TYPES",
    "from_ort_value",
    "from_text",
    "to_native",
    "to_ort_value",
    "to_text",
    "zipmap_keys",
    "zipmap_values",
]

ONNX_TYPES: Final = {
    "tensor(bool)": DType.BOOL,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(float16)": DType.FLOAT16,
    "tensor(bfloat16)": DType.BFLOAT16,
    "tensor(float)": DType.FLOAT32,
    "tensor(double)": DType.FLOAT64,
    "tensor(float8e4m3fn)": DType.FLOAT8_E4M3FN,
    "tensor(float8e4m3fnuz)": DType.FLOAT8_E4M3FNUZ,
    "tensor(float8e5m2)": DType.FLOAT8_E5M2,
    "tensor(float8e5m2fnuz)": DType.FLOAT8_E5M2FNUZ,
    "tensor(string)": DType.STRING,
}
"""ONNX Runtime's type texts and navi's dtypes. complex64 and complex128 have no kernels there."""

VALUE_TYPES: Final = {
    DType.BFLOAT16: 16,
    DType.FLOAT8_E4M3FN: 17,
    DType.FLOAT8_E4M3FNUZ: 18,
    DType.FLOAT8_E5M2: 19,
    DType.FLOAT8_E5M2FNUZ: 20,
}
"""Dtypes that only ``OrtValue`` carries, with their number in ``TensorProto.DataType``."""


def to_native(array: Array, dtype: np.dtype, name: str) -> Array:
    """Return an array of ``dtype`` that ONNX Runtime may read: native byte order, aligned.

    Raises
    ------
    TensorMismatchError
        The array is of another dtype.
    """
    if array.dtype != dtype:
        if array.dtype.newbyteorder("=") != dtype:
            raise TensorMismatchError(tensor=name, what="dtype", expected=str(dtype), got=str(array.dtype))
        return array.astype(dtype, order="C")
    return array if array.flags.aligned else array.copy()


def to_text(array: Array, name: str) -> Array:
    """Return a string tensor as an object array of ``str``.

    Parameters
    ----------
    array
        Object dtype with ``bytes`` (UTF-8) or ``str`` items, ``S`` or ``U`` dtype; any shape.
    name
        The input's name, for the error.

    Raises
    ------
    DecodeError
        An item is not UTF-8: ONNX strings are text.
    """
    texts: list[str] = []
    try:
        for item in array.reshape(-1).tolist():
            texts.append(item.decode() if isinstance(item, bytes) else str(item))  # noqa: PERF401 - the error names the row
    except UnicodeDecodeError as error:
        msg = f"input '{name}': expected UTF-8 text"
        raise DecodeError(msg, offset=error.start, row=len(texts), tensor=name) from None
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out.reshape(array.shape)


def from_text(array: Array) -> Array:
    """Return an object array of ``str`` as one of ``bytes``."""
    out = np.empty(array.size, dtype=object)
    out[:] = [item.encode() for item in array.reshape(-1).tolist()]
    return out.reshape(array.shape)


def to_ort_value(array: Array, dtype: DType, name: str) -> ort.OrtValue:
    """Return a value that reads the array in place: the array must outlive it."""
    native = np.asarray(to_native(array, numpy_dtype(dtype), name), order="C")
    onnx_type = VALUE_TYPES.get(dtype)
    if onnx_type is None:
        return ort.OrtValue.ortvalue_from_numpy(native)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(native, onnx_type)


def from_ort_value(value: ort.OrtValue, dtype: DType) -> Array:
    """Return a copy of a value's elements: the value may be an input, or live in the session's arena."""
    if dtype not in VALUE_TYPES:
        return np.array(value.numpy())
    out = np.empty(value.shape(), dtype=numpy_dtype(dtype))
    if out.nbytes:
        ctypes.memmove(out.ctypes.data, value.data_ptr(), out.nbytes)
    return out


def zipmap_values(rows: Sequence[dict[int | str, float]], labels: Sequence[int | str]) -> Array:
    """Return a sequence of maps as (rows, labels) float32, columns in the order of ``labels``."""
    values_of = itemgetter(*labels)  # of one label: the value itself, not a tuple
    return np.array([values_of(row) for row in rows], dtype=np.float32).reshape(len(rows), len(labels))


def zipmap_keys(num_rows: int, labels: Sequence[int | str]) -> Array:
    """Return the labels of each row: (rows, labels), int64 or strings."""
    if isinstance(labels[0], str):
        keys = np.empty(len(labels), dtype=object)
        keys[:] = [str(label).encode() for label in labels]
    else:
        keys = np.array(labels, dtype=np.int64)
    return np.tile(keys, (num_rows, 1))
