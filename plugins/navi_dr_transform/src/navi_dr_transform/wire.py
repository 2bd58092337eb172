"""Constants of the wire format: TBinaryProtocol, the structs of ``specs/thrift``, the kernels' statuses.

Plain integers, because Numba freezes them into the kernels; a change here changes compiled code (the
kernel cache is keyed by this file too).
"""

from __future__ import annotations

from typing import Final

# --- TBinaryProtocol: one byte a type; all integers big-endian, signed -------------------------------

STOP: Final = 0
BOOL: Final = 2
BYTE: Final = 3
DOUBLE: Final = 4
I16: Final = 6
I32: Final = 8
I64: Final = 10
STRING: Final = 11
STRUCT: Final = 12
MAP: Final = 13
SET: Final = 14
LIST: Final = 15

FIELD_HEADER_BYTES: Final = 3  # type, i16 id
MAP_HEADER_BYTES: Final = 6  # key type, value type, i32 count
LIST_HEADER_BYTES: Final = 5  # element type, i32 count; sets likewise
LENGTH_BYTES: Final = 4  # before the bytes of a string

MAX_DEPTH: Final = 64
"""Nesting that is followed while an unknown or unused field is skipped; Apache Thrift's own limit."""

# --- prediction_service.thrift: BatchPredictionRequest -----------------------------------------------

REQUEST_RECORDS: Final = 1
REQUEST_COMMON: Final = 2

# --- data.thrift: DataRecord --------------------------------------------------------------------------

RECORD_END: Final = 0
RECORD_BINARY: Final = 1
RECORD_CONTINUOUS: Final = 2
RECORD_DISCRETE: Final = 3
RECORD_STRINGS: Final = 4
RECORD_SPARSE_BINARY: Final = 5
RECORD_SPARSE_CONTINUOUS: Final = 6
RECORD_BLOBS: Final = 7
RECORD_TENSORS: Final = 8
RECORD_SPARSE_TENSORS: Final = 9

# --- tensor.thrift: GeneralTensor and its members --------------------------------------------------------

TENSOR_RAW: Final = 1
TENSOR_STRING: Final = 2
TENSOR_INT32: Final = 3
TENSOR_INT64: Final = 4
TENSOR_FLOAT: Final = 5
TENSOR_DOUBLE: Final = 6
TENSOR_BOOL: Final = 7
TENSOR_BINARY: Final = 8

VALUES: Final = 1
SHAPE: Final = 2
RAW_DATA_TYPE: Final = 1
RAW_CONTENT: Final = 2
RAW_SHAPE: Final = 3

RAW_FLOAT: Final = 0
RAW_DOUBLE: Final = 1
RAW_INT32: Final = 2
RAW_INT64: Final = 3
RAW_UINT8: Final = 4

# --- how a tensor's elements lie in the payload -----------------------------------------------------------

NOT_NUMBERS: Final = 0  # strings, blobs, booleans, data types without a number: read as zeros, as in Navi
DOUBLES: Final = 1  # big-endian, as every thrift double
INTS: Final = 2
LONGS: Final = 3
RAW_FLOATS: Final = 4  # little-endian: RawTypedTensor holds the writer's memory
RAW_DOUBLES: Final = 5
RAW_INTS: Final = 6
RAW_LONGS: Final = 7
RAW_BYTES: Final = 8

# --- the frozen feature map (feature_map.freeze) --------------------------------------------------------

GOLDEN: Final = -7046029254386353131
"""2**64 divided by the golden ratio, as a signed integer: spreads ids over the table (Knuth's method)."""

CONTINUOUS_KIND: Final = 0
BINARY_KIND: Final = 1
DISCRETE_KIND: Final = 2
KIND_SHIFT: Final = 32
"""A slot's value is ``kind << KIND_SHIFT | column``."""

# --- first values of kernels' variables: names, because Numba compiles anew for every literal argument --------

BEGIN: Final = 0
ABSENT: Final = -1
DEFAULTS_ROW: Final = 0
COMMON_ROW: Final = 1

# --- what a kernel answers -----------------------------------------------------------------------------------

OK: Final = 0
TRUNCATED: Final = 1
WRONG_TYPE: Final = 2
UNKNOWN_TYPE: Final = 3
NEGATIVE_COUNT: Final = 4
COUNT_TOO_LARGE: Final = 5
TOO_DEEP: Final = 6
MISSING_FIELD: Final = 7
NOT_ONE_MEMBER: Final = 8
RAW_SIZE: Final = 9
EMBEDDING_SHORT: Final = 10
EMBEDDING_LONG: Final = 11

STATUS_TEXTS: Final = {
    TRUNCATED: "expected more bytes, got the end of the payload",
    WRONG_TYPE: "expected the wire type that the field's definition asks for, got another",
    UNKNOWN_TYPE: "expected a wire type of TBinaryProtocol, got another",
    NEGATIVE_COUNT: "expected a count or length of at least 0, got a negative one",
    COUNT_TOO_LARGE: "expected no more elements than the rest of the payload can hold, got a larger count",
    TOO_DEEP: f"expected at most {MAX_DEPTH} levels of nesting, got more",
    MISSING_FIELD: "expected every required field of the struct, got its end",
    NOT_ONE_MEMBER: "expected exactly one known field of the union, got another number of fields",
    RAW_SIZE: "expected the raw tensor's content to be a whole number of elements, got another size",
    EMBEDDING_SHORT: "expected at least as many values as the embedding is wide, got fewer",
    EMBEDDING_LONG: "expected exactly as many values as the embedding is wide, got more",
}
"""Status -> what was expected and what came."""
