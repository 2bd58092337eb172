# Copied from navi_core/wire/oip_dtypes.py by tools/build_wire_copies.py; not edited by hand.
"""The Open Inference Protocol's element types: names, typed gRPC fields, numbers in a model's configuration.

The one table; source: the protocol's "tensor data types" and Triton's ``model_config.proto`` (BF16 is
Triton's addition). FP16 and BF16 have no typed field and no JSON form: they travel as raw bytes alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from navi_client._generated.tensors import DType, numpy_dtype

__all__ = ["BY_NAME", "BY_NUMPY", "OIP_TYPES", "OipType", "datatype_name"]


@dataclass(frozen=True, slots=True)
class OipType:
    """One element type.

    Parameters
    ----------
    dtype
        navi's name.
    name
        The protocol's: ``FP32``.
    number
        Its value in the ``DataType`` enum of a model's configuration.
    field
        The field of ``InferTensorContents`` with its values; empty: none has them.
    field_number
        That field's number; 0: none.
    fixed
        The field's packed run *is* the array's memory: no varints.
    """

    dtype: DType
    name: str
    number: int
    field: str
    field_number: int
    fixed: bool = False

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype of the elements; object for strings."""
        return numpy_dtype(self.dtype)


OIP_TYPES: Final[dict[DType, OipType]] = {
    kind.dtype: kind
    for kind in (
        OipType(DType.BOOL, "BOOL", 1, "bool_contents", 1, fixed=True),
        OipType(DType.UINT8, "UINT8", 2, "uint_contents", 4),
        OipType(DType.UINT16, "UINT16", 3, "uint_contents", 4),
        OipType(DType.UINT32, "UINT32", 4, "uint_contents", 4),
        OipType(DType.UINT64, "UINT64", 5, "uint64_contents", 5),
        OipType(DType.INT8, "INT8", 6, "int_contents", 2),
        OipType(DType.INT16, "INT16", 7, "int_contents", 2),
        OipType(DType.INT32, "INT32", 8, "int_contents", 2),
        OipType(DType.INT64, "INT64", 9, "int64_contents", 3),
        OipType(DType.FLOAT16, "FP16", 10, "", 0),
        OipType(DType.FLOAT32, "FP32", 11, "fp32_contents", 6, fixed=True),
        OipType(DType.FLOAT64, "FP64", 12, "fp64_contents", 7, fixed=True),
        OipType(DType.STRING, "BYTES", 13, "bytes_contents", 8),
        OipType(DType.BFLOAT16, "BF16", 14, "", 0),
    )
}
"""navi's element type -> the protocol's, for those that it has."""

BY_NAME: Final[dict[str, OipType]] = {kind.name: kind for kind in OIP_TYPES.values()}
"""The protocol's name -> type."""

BY_NUMPY: Final[dict[np.dtype, OipType]] = {kind.numpy: kind for kind in OIP_TYPES.values()}
"""An array's dtype, of the machine's byte order -> type."""


def datatype_name(dtype: DType) -> str:
    """Return the protocol's name of an element type; navi's own in capitals where the protocol has none."""
    kind = OIP_TYPES.get(dtype)
    return kind.name if kind is not None else dtype.value.upper()
