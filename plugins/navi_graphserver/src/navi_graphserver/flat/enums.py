"""The numbers of GraphServer's schemas: element types, families of operations, kinds of variables, what is returned.

Sources: ``libnd4j/include/graph/scheme/*.fbs`` of deeplearning4j, in both generations of the schema.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import ml_dtypes
import numpy as np

__all__ = [
    "DTYPE_FLAGS",
    "EMPTY_FLAG",
    "FAMILIES",
    "NUMPY_DTYPES",
    "DType",
    "Generation",
    "OutputMode",
    "VariableKind",
]


class Generation(IntEnum):
    """The wire of a graph: the numbers of families and the slots of nodes and variables changed once."""

    GEN1 = 1
    GEN2 = 2


class DType(IntEnum):
    """Element types; the same in both generations."""

    INHERIT = 0
    BOOL = 1
    FLOAT8 = 2
    HALF = 3
    HALF2 = 4
    FLOAT = 5
    DOUBLE = 6
    INT8 = 7
    INT16 = 8
    INT32 = 9
    INT64 = 10
    UINT8 = 11
    UINT16 = 12
    UINT32 = 13
    UINT64 = 14
    QINT8 = 15
    QINT16 = 16
    BFLOAT16 = 17
    UTF8 = 50
    UTF16 = 51
    UTF32 = 52


NUMPY_DTYPES: Final = {
    DType.BOOL: np.dtype(np.bool_),
    DType.HALF: np.dtype(np.float16),
    DType.FLOAT: np.dtype(np.float32),
    DType.DOUBLE: np.dtype(np.float64),
    DType.INT8: np.dtype(np.int8),
    DType.INT16: np.dtype(np.int16),
    DType.INT32: np.dtype(np.int32),
    DType.INT64: np.dtype(np.int64),
    DType.UINT8: np.dtype(np.uint8),
    DType.UINT16: np.dtype(np.uint16),
    DType.UINT32: np.dtype(np.uint32),
    DType.UINT64: np.dtype(np.uint64),
    DType.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    DType.UTF8: np.dtype(object),
}
"""What is served; the others have no arrays in any writer that is known."""

EMPTY_FLAG: Final = 8

_UNSIGNED: Final = 8388608
DTYPE_FLAGS: Final = {
    DType.BOOL: 524288,
    DType.HALF: 4096,
    DType.FLOAT: 8192,
    DType.DOUBLE: 16384,
    DType.INT8: 32768,
    DType.INT16: 65536,
    DType.INT32: 131072,
    DType.INT64: 262144,
    DType.UINT8: 32768 | _UNSIGNED,
    DType.UINT16: 65536 | _UNSIGNED,
    DType.UINT32: 131072 | _UNSIGNED,
    DType.UINT64: 262144 | _UNSIGNED,
    DType.BFLOAT16: 2048,
    DType.UTF8: 1048576,
}
"""Bits of a shape's ``extra`` number, from which readers in C++ take the element type."""


class VariableKind(IntEnum):
    """What a variable of the second generation is."""

    VARIABLE = 0
    CONSTANT = 1
    ARRAY = 2
    PLACEHOLDER = 3
    SEQUENCE = 4


class OutputMode(IntEnum):
    """What comes back."""

    IMPLICIT = 0
    EXPLICIT = 1
    EXPLICIT_AND_IMPLICIT = 2
    VARIABLE_SPACE = 3
    OPTIMIZED = 4


_GEN1: Final = (
    *("TRANSFORM", "ACCUMULATION", "INDEX_ACCUMULATION", "SCALAR", "BROADCAST", "PAIRWISE", "ACCUMULATION3"),
    *("SUMMARYSTATS", "SHAPE", "AGGREGATION", "RANDOM", "CUSTOM", "GRAPH"),
)
_GEN2: Final = (
    *("TRANSFORM_FLOAT", "TRANSFORM_SAME", "TRANSFORM_BOOL", "TRANSFORM_STRICT", "TRANSFORM_ANY"),
    *("REDUCE_FLOAT", "REDUCE_SAME", "REDUCE_LONG", "REDUCE_BOOL", "INDEX_REDUCE", "SCALAR", "SCALAR_BOOL"),
    *("BROADCAST", "BROADCAST_BOOL", "PAIRWISE", "PAIRWISE_BOOL", "REDUCE_3", "SUMMARYSTATS", "SHAPE"),
    *("AGGREGATION", "RANDOM", "CUSTOM", "GRAPH"),
)
FAMILIES: Final = {
    Generation.GEN1: dict(enumerate(_GEN1)) | {30: "VARIABLE", 40: "BOOLEAN", 119: "LOGIC"},
    Generation.GEN2: dict(enumerate(_GEN2)) | {40: "VARIABLE", 60: "BOOLEAN", 119: "LOGIC"},
}
"""Generation -> number of a node's ``opType`` -> its name: the family that its ``opNum`` counts in."""
