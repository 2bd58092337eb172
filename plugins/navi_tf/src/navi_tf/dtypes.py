"""TensorFlow's element types as navi's."""

from __future__ import annotations

from typing import Final

from navi_core import DType
from navi_tf.framework import types_pb2

__all__ = ["DTYPES", "dtype_name", "navi_dtype"]

DTYPES: Final = {
    types_pb2.DT_BOOL: DType.BOOL,
    types_pb2.DT_INT8: DType.INT8,
    types_pb2.DT_INT16: DType.INT16,
    types_pb2.DT_INT32: DType.INT32,
    types_pb2.DT_INT64: DType.INT64,
    types_pb2.DT_UINT8: DType.UINT8,
    types_pb2.DT_UINT16: DType.UINT16,
    types_pb2.DT_UINT32: DType.UINT32,
    types_pb2.DT_UINT64: DType.UINT64,
    types_pb2.DT_HALF: DType.FLOAT16,
    types_pb2.DT_BFLOAT16: DType.BFLOAT16,
    types_pb2.DT_FLOAT: DType.FLOAT32,
    types_pb2.DT_DOUBLE: DType.FLOAT64,
    types_pb2.DT_COMPLEX64: DType.COMPLEX64,
    types_pb2.DT_COMPLEX128: DType.COMPLEX128,
    types_pb2.DT_FLOAT8_E4M3FN: DType.FLOAT8_E4M3FN,
    types_pb2.DT_FLOAT8_E4M3FNUZ: DType.FLOAT8_E4M3FNUZ,
    types_pb2.DT_FLOAT8_E4M3B11FNUZ: DType.FLOAT8_E4M3B11FNUZ,
    types_pb2.DT_FLOAT8_E5M2: DType.FLOAT8_E5M2,
    types_pb2.DT_FLOAT8_E5M2FNUZ: DType.FLOAT8_E5M2FNUZ,
    types_pb2.DT_STRING: DType.STRING,
}
"""``tensorflow.DataType`` -> navi's. Not there: quantised and sub-byte integers, resources, variants."""

_REFERENCE: Final = 100
"""What a reference type (a TensorFlow 1 variable itself) adds to the number."""


def navi_dtype(number: int) -> DType | None:
    """Return navi's dtype of a ``tensorflow.DataType``; None: navi has none."""
    return DTYPES.get(number % _REFERENCE)


def dtype_name(number: int) -> str:
    """Return TensorFlow's name: ``qint8``."""
    try:
        return str(types_pb2.DataType.Name(number)).removeprefix("DT_").lower()
    except ValueError:
        return f"type {number}"
