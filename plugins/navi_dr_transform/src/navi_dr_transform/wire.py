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

SPARSE_COO: Final = 1
COO_SHAPE: Final = 1
COO_INDICES: Final = 2
COO_VALUES: Final = 3
MAX_DENSE: Final = 2**31
"""The most elements that a sparse tensor may stand for."""

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

# --- what a field of a DataRecord or CompactDataRecord holds: its types on the wire say ---------------------

NO_KIND: Final = 0
IDS: Final = 1  # set<i64>
ID_DOUBLES: Final = 2  # map<i64, double>
ID_FLOATS: Final = 3  # map<i64, i32>: the bits of a float
ID_LONGS: Final = 4
ID_STRINGS: Final = 5  # strings and blobs
ID_SETS: Final = 6  # map<i64, set<string or integer>>
ID_MAPS: Final = 7  # map<i64, map<string or integer, double or bits of a float>>
ID_TENSORS: Final = 8
ID_SPARSE_TENSORS: Final = 9

COMPACT_SETS_16: Final = 6  # fields that a CompactDataRecord has in another meaning
COMPACT_SETS_32: Final = 7
COMPACT_MAPS: Final = 9

COMPACT_SPARSE_16: Final = 10  # fields that only a CompactDataRecord has
COMPACT_SPARSE_32: Final = 11
COMPACT_SPARSE_64: Final = 12
COMPACT_BLOBS: Final = 13
COMPACT_TENSORS: Final = 14
COMPACT_SPARSE_TENSORS: Final = 15

# --- which struct a payload is --------------------------------------------------------------------------------

BATCH: Final = 0  # BatchPredictionRequest
PREDICTION: Final = 1  # PredictionRequest: its one record has the id of a BatchPredictionRequest's records
RECORD: Final = 2  # DataRecord

# --- how a category of a sparse feature is hashed (FNV-1a, begun with the feature's id) ---------------------------

CATEGORY_SEED: Final = -7046029254386353131
CATEGORY_PRIME: Final = 0x100000001B3
DIGIT_0: Final = 48
MINUS: Final = 45

# --- first values of kernels' variables: names, because Numba compiles anew for every literal argument --------

BEGIN: Final = 0
ONE: Final = 1
ABSENT: Final = -1
ONLY_ROW: Final = 0

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
NO_SUCH_ROW: Final = 12
SPARSE_SHAPE: Final = 13
SPARSE_INDICES: Final = 14

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
    NO_SUCH_ROW: "expected rows for every record, got too few",
    SPARSE_SHAPE: f"expected a dense shape of 0 to {MAX_DENSE} elements, got another",
    SPARSE_INDICES: "expected one index inside the dense shape for every dimension of every value, got others",
}
"""Status -> what was expected and what came."""
