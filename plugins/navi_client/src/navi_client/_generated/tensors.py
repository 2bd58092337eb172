# Copied from navi_core/tensors.py by tools/build_wire_copies.py; not edited by hand.
"""Data types: the one list of names, and how they stand in NumPy.

Strings travel as **object arrays of** ``bytes``: protocols carry bytes, and a runtime that needs
text (ONNX Runtime) decodes on its own side. bfloat16 and the float8 kinds are ``ml_dtypes`` types.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from navi_client import narrow_floats as ml_dtypes
import numpy as np

from navi_client.types import Array

__all__ = [
    "DType",
    "dtype_of",
    "itemsize_bytes",
    "numpy_dtype",
    "string_array",
    "string_items",
    "tensor_size_bytes",
]


class DType(StrEnum):
    """The element types that navi carries, by NumPy's names; ``string`` is bytes of any length."""

    BOOL = "bool"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E4M3FNUZ = "float8_e4m3fnuz"
    FLOAT8_E4M3B11FNUZ = "float8_e4m3b11fnuz"
    FLOAT8_E5M2 = "float8_e5m2"
    FLOAT8_E5M2FNUZ = "float8_e5m2fnuz"
    STRING = "string"


_ML_DTYPES: Final = {
    DType.BFLOAT16: ml_dtypes.bfloat16,
    DType.FLOAT8_E4M3FN: ml_dtypes.float8_e4m3fn,
    DType.FLOAT8_E4M3FNUZ: ml_dtypes.float8_e4m3fnuz,
    DType.FLOAT8_E4M3B11FNUZ: ml_dtypes.float8_e4m3b11fnuz,
    DType.FLOAT8_E5M2: ml_dtypes.float8_e5m2,
    DType.FLOAT8_E5M2FNUZ: ml_dtypes.float8_e5m2fnuz,
}

_NUMPY: Final[dict[DType, np.dtype]] = {
    kind: np.dtype(object) if kind is DType.STRING else np.dtype(_ML_DTYPES.get(kind, kind.value))
    for kind in DType
}

_NAVI: Final[dict[np.dtype, DType]] = {numpy: kind for kind, numpy in _NUMPY.items()}


def numpy_dtype(dtype: DType) -> np.dtype:
    """Return the NumPy dtype in which ``dtype`` is held; object for strings."""
    return _NUMPY[dtype]


def dtype_of(array: Array) -> DType:
    """Return the element type of an array.

    Parameters
    ----------
    array
        Any shape. ``S`` and ``U`` arrays count as strings, like object arrays.

    Raises
    ------
    TypeError
        The dtype is none that navi carries (datetimes, records...).
    """
    known = _NAVI.get(array.dtype)
    if known is not None:
        return known
    if array.dtype.kind in "SU":
        return DType.STRING
    native = _NAVI.get(array.dtype.newbyteorder("="))
    if native is not None:
        return native
    msg = f"dtype: expected one of {', '.join(DType)}, got {array.dtype}"
    raise TypeError(msg)


def itemsize_bytes(dtype: DType) -> int | None:
    """Return the bytes of one element; None for strings, which have no fixed size."""
    return None if dtype is DType.STRING else _NUMPY[dtype].itemsize


_ONLY_BYTES: Final = frozenset({bytes})


def string_array(values: Array) -> Array:
    """Return a string tensor as an object array of ``bytes``.

    Parameters
    ----------
    values
        Any shape; object (``bytes`` or ``str`` items), ``S`` or ``U`` dtype. ``str`` is encoded as UTF-8.

    Returns
    -------
    array
        Same shape, object dtype. The argument itself when nothing has to change.

    Raises
    ------
    TypeError
        An item is neither ``bytes`` nor ``str``.
    """
    if values.dtype.kind == "O" and _ONLY_BYTES.issuperset(map(type, values.ravel().tolist())):
        return values
    out = np.empty(values.shape, dtype=object)
    flat = out.reshape(-1)
    for index, item in enumerate(values.flat):
        if isinstance(item, str):
            flat[index] = item.encode()
        elif isinstance(item, bytes):
            flat[index] = bytes(item)
        else:
            msg = f"string tensor: expected bytes or str, got {type(item).__name__} at flat index {index}"
            raise TypeError(msg)
    return out


def string_items(values: Array) -> list[bytes]:
    """Return the items of a string tensor, row-major.

    Parameters
    ----------
    values
        See `string_array`.

    Raises
    ------
    TypeError
        An item is neither ``bytes`` nor ``str``.
    """
    if values.dtype.kind == "O":
        items: list[bytes] = values.ravel().tolist()
        if _ONLY_BYTES.issuperset(map(type, items)):
            return items
    return string_array(values).ravel().tolist()


def tensor_size_bytes(array: Array) -> int:
    """Return the bytes that an array's elements take, string contents included."""
    if array.dtype.kind == "O":
        return sum(len(item) for item in array.flat if isinstance(item, bytes | str))
    return array.nbytes
