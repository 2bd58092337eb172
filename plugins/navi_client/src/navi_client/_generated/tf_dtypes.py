# Copied from navi_core/wire/tf_dtypes.py by tools/build_wire_copies.py; not edited by hand.
"""TensorFlow's element types: their numbers, their names, and the TensorProto field of each.

The one table; source: TensorFlow's ``types.proto`` and ``tensor.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from navi_client._generated.tensors import DType, numpy_dtype

__all__ = ["BY_NUMBER", "TF_TYPES", "TfType", "tf_type_name"]


@dataclass(frozen=True, slots=True)
class TfType:
    """One element type.

    Parameters
    ----------
    dtype
        navi's name.
    number
        Its value in the ``DataType`` enum.
    name
        The enum value's name, ``DT_FLOAT``.
    word
        How TensorFlow's messages call it: ``float``.
    field
        The TensorProto field with its values.
    field_number
        That field's number.
    lane
        How the field's run of values lies in memory once decoded, little-endian. It may be another type
        than the elements': half_val holds 16 bits in an int32, complex fields hold pairs.
    fixed
        The field's packed run *is* the array's memory: no varints.
    """

    dtype: DType
    number: int
    name: str
    word: str
    field: str
    field_number: int
    lane: np.dtype
    fixed: bool

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype of the elements; object for strings."""
        return numpy_dtype(self.dtype)


def _type(dtype: DType, number: int, name: str, field: str, field_number: int, lane: str) -> TfType:
    fixed = field in ("float_val", "double_val", "scomplex_val", "dcomplex_val", "float8_val")
    return TfType(dtype, number, f"DT_{name}", name.lower(), field, field_number, np.dtype(lane), fixed)


TF_TYPES: Final[dict[DType, TfType]] = {
    kind.dtype: kind
    for kind in (
        _type(DType.FLOAT32, 1, "FLOAT", "float_val", 5, "<f4"),
        _type(DType.FLOAT64, 2, "DOUBLE", "double_val", 6, "<f8"),
        _type(DType.INT32, 3, "INT32", "int_val", 7, "<i4"),
        _type(DType.UINT8, 4, "UINT8", "int_val", 7, "<i4"),
        _type(DType.INT16, 5, "INT16", "int_val", 7, "<i4"),
        _type(DType.INT8, 6, "INT8", "int_val", 7, "<i4"),
        _type(DType.STRING, 7, "STRING", "string_val", 8, "O"),
        _type(DType.COMPLEX64, 8, "COMPLEX64", "scomplex_val", 9, "<f4"),
        _type(DType.INT64, 9, "INT64", "int64_val", 10, "<i8"),
        _type(DType.BOOL, 10, "BOOL", "bool_val", 11, "?"),
        _type(DType.BFLOAT16, 14, "BFLOAT16", "half_val", 13, "<i4"),
        _type(DType.UINT16, 17, "UINT16", "int_val", 7, "<i4"),
        _type(DType.COMPLEX128, 18, "COMPLEX128", "dcomplex_val", 12, "<f8"),
        _type(DType.FLOAT16, 19, "HALF", "half_val", 13, "<i4"),
        _type(DType.UINT32, 22, "UINT32", "uint32_val", 16, "<u4"),
        _type(DType.UINT64, 23, "UINT64", "uint64_val", 17, "<u8"),
        _type(DType.FLOAT8_E5M2, 24, "FLOAT8_E5M2", "float8_val", 18, "u1"),
        _type(DType.FLOAT8_E4M3FN, 25, "FLOAT8_E4M3FN", "float8_val", 18, "u1"),
        _type(DType.FLOAT8_E4M3FNUZ, 26, "FLOAT8_E4M3FNUZ", "float8_val", 18, "u1"),
        _type(DType.FLOAT8_E4M3B11FNUZ, 27, "FLOAT8_E4M3B11FNUZ", "float8_val", 18, "u1"),
        _type(DType.FLOAT8_E5M2FNUZ, 28, "FLOAT8_E5M2FNUZ", "float8_val", 18, "u1"),
    )
}
"""navi's element type -> TensorFlow's. Total."""

BY_NUMBER: Final[dict[int, TfType]] = {kind.number: kind for kind in TF_TYPES.values()}
"""``DataType`` number -> type, for those that navi carries."""


def tf_type_name(dtype: DType) -> str:
    """Return TensorFlow's word for an element type, as its error messages have it (``float``, ``half``)."""
    return TF_TYPES[dtype].word
