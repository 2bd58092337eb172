"""The kernels beside Apache Thrift on whatever bytes: both accept and agree, or both refuse, or it is an exception.

Exceptions are those of ``EXCEPTIONS``: what they are is checked on every example that is one, each has a payload that
shows it, and the README lists them. Everything here passes with NUMBA_DISABLE_JIT=1 too.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from apache_thrift import TENSORS, Accepted, Refused, apache, navi
from drawn_bytes import DAMAGE, damaged, headers_changed, values
from drawn_records import COMPACT_RECORDS, RECORDS, requests
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform import wire
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest, PredictionRequest
from navi_dr_transform._generated.tensor import ttypes as tensors
from navi_dr_transform.thrift_records import float_tensor
from thrift.protocol.TProtocol import TProtocolException
from thrift.TSerialization import serialize
from thrift_bytes import (
    continuous,
    field,
    float_member,
    has_repeats,
    list_of,
    map_of,
    nested_lists,
    string,
    tensor_map,
)

UUID = 16
"""A wire type that newer versions of Apache Thrift know."""

# a map's header: its field's id, the types of keys and values
COMPACT_ONLY = rb"[\x0a-\x0c]\x0a\x0d|\x0d\x0a\x0b|[\x0e\x0f]\x0a\x0c"
COMPACT_FIELDS = re.compile(
    rb"\x0d\x00(?:\x02\x0a\x08|[\x06-\x08]\x0a\x0e|\x09\x0a\x0d|" + COMPACT_ONLY + rb")", re.DOTALL
)
RECORD_FIELDS = re.compile(
    rb"\x0d\x00(?:\x02\x0a\x04|\x06\x0a\x0d|\x07\x0a\x0b|[\x08\x09]\x0a\x0c|(?!"
    + COMPACT_ONLY
    + rb")[\x0a-\x0f])",
    re.DOTALL,
)

EXCEPTIONS = {
    "wrong type": "navi refuses a field, key, value or element of another type than its definition's; Apache Thrift "
    "passes over fields, and its plain decoder reads keys and values as if they were of the right type",
    "union": "navi refuses a tensor that has not exactly one known member; Apache Thrift's Python unions are structs",
    "raw size": "navi refuses raw content that is no whole number of elements, of any tensor; Apache Thrift hands it on",
    "replaced": "navi checks what a later field or key of the same name replaces; Apache Thrift has forgotten it",
    "uuid": "navi knows no wire type 16; newer versions of Apache Thrift do",
    "utf-8": "navi takes texts as bytes; Apache Thrift's plain decoder refuses what is not UTF-8, its accelerated one "
    "puts U+FFFD in its place",
    "depth": "navi allows 64 levels in an unknown field; Apache Thrift's decoders count others too, each its own",
    "other record": "navi tells DataRecords from CompactDataRecords field by field; to Apache Thrift the other one's "
    "fields are of wrong types, or unknown",
}


def status_of(error):
    """Return the kernels' status that a refusal words."""
    return next(status for status, text in wire.STATUS_TEXTS.items() if text in error.message)


def exception_of(struct_type, payload, ours, theirs, strict):
    """Return which exception a difference is; None for none.

    ``strict`` is what the accelerated decoder says: only it looks at the types of keys, values and elements.
    """
    mistyped = isinstance(strict, Refused) and "wrong ttype" in str(strict.error)
    if isinstance(ours, Refused):
        if mistyped:
            return "wrong type"
        status, at = status_of(ours.error), ours.error.offset
        if status == wire.UNKNOWN_TYPE:
            near = payload[max(at - wire.FIELD_HEADER_BYTES, 0) : at + 2]
            return "uuid" if UUID in near else None
        if status == wire.TOO_DEEP:
            return "depth"
        if status in (wire.MISSING_FIELD, wire.EMBEDDING_SHORT, wire.SPARSE_SHAPE, wire.SPARSE_INDICES):
            return "replaced" if has_repeats(payload) else None
        return {wire.WRONG_TYPE: "wrong type", wire.NOT_ONE_MEMBER: "union", wire.RAW_SIZE: "raw size"}.get(
            status
        )
    if isinstance(theirs, Refused):
        error = theirs.error
        if isinstance(error, UnicodeDecodeError):
            return "utf-8"
        if isinstance(error, TProtocolException) and error.type == TProtocolException.DEPTH_LIMIT:
            return "depth"
    elif "\ufffd" in repr(theirs.request):
        return "utf-8"
    both = isinstance(theirs, Accepted) and isinstance(strict, Accepted)
    foreign = RECORD_FIELDS if struct_type is CompactDataRecord else COMPACT_FIELDS
    if (mistyped or both) and foreign.search(payload):
        return "other record"
    return None


def equal(ours, theirs):
    return all(
        ours[index].dtype == array.dtype
        and ours[index].shape == array.shape
        and np.array_equal(ours[index], array, equal_nan=array.dtype.kind == "f")
        for index, array in theirs.items()
    )


def judge(struct_type, payload):
    """Return how navi and both decoders of Apache Thrift agree, or which exceptions their differences are."""
    ours = navi(struct_type, payload)
    accelerated = apache(struct_type, payload, accelerated=True)
    plain = apache(struct_type, payload, accelerated=False)
    verdicts = set()
    for theirs in (accelerated, plain):
        if (
            isinstance(ours, Accepted)
            and isinstance(theirs, Accepted)
            and equal(ours.tensors, theirs.tensors)
        ):
            verdicts.add("both accept")
        elif isinstance(ours, Refused) and isinstance(theirs, Refused):
            verdicts.add("both refuse")
        else:
            name = exception_of(struct_type, payload, ours, theirs, accelerated)
            assert name is not None, (payload, ours, theirs)
            verdicts.add(name)
    return verdicts


# --- bytes ------------------------------------------------------------------------------------------------------

STRUCTS = st.one_of(
    st.tuples(st.just(BatchPredictionRequest), requests(RECORDS)),
    st.tuples(st.just(PredictionRequest), RECORDS.map(PredictionRequest)),
    st.tuples(st.just(DataRecord), RECORDS),
    st.tuples(st.just(CompactDataRecord), COMPACT_RECORDS),
)


def test_what_apache_thrift_writes_both_read_alike():
    seen = Counter()

    @settings(max_examples=100, deadline=None)
    @given(drawn=STRUCTS, trailing=st.binary(max_size=3))
    def alike(drawn, trailing):
        struct_type, value = drawn
        seen.update(judge(struct_type, serialize(value) + trailing))

    alike()
    assert set(seen) <= {"both accept", "both refuse", "replaced"}  # refused: what does not fit its tensor
    assert seen["both accept"] > 30


def test_damaged_bytes_both_read_alike_or_both_refuse():
    seen = Counter()

    @settings(max_examples=400, deadline=None)
    @given(drawn=STRUCTS, damage=st.lists(st.tuples(DAMAGE, st.integers(0, 2**12)), min_size=1, max_size=3))
    def alike(drawn, damage):
        struct_type, value = drawn
        seen.update(judge(struct_type, damaged(serialize(value), damage)))

    alike()
    assert seen["both accept"] > 40
    assert seen["both refuse"] > 40


KEYS = st.integers(1, 4)
WHOLE_FIELDS = st.one_of(
    # keys twice, in an order of their own
    st.lists(st.tuples(KEYS, st.floats()), max_size=5).map(lambda pairs: continuous(*pairs)),
    st.lists(st.tuples(KEYS, st.floats(width=32)), max_size=4).map(
        lambda pairs: tensor_map(*((key, float_member(value, 1.0, 2.0)) for key, value in pairs))
    ),
    RECORDS.map(lambda record: serialize(record)[:-1]),
)
ANY_FIELDS = st.tuples(st.sampled_from([*range(1, 10), 77, -3, 100]), values()).map(
    lambda held: field(held[1][0], held[0], held[1][1])
)


def test_repeated_and_foreign_fields_both_read_alike():
    """Fields in any order and more than once, keys that come again, and fields of other types than theirs."""
    seen = Counter()

    @settings(max_examples=150, deadline=None)
    @given(pieces=st.lists(WHOLE_FIELDS | WHOLE_FIELDS | ANY_FIELDS, max_size=4))
    def alike(pieces):
        payload = b"".join(pieces) + b"\0"
        verdicts = judge(DataRecord, payload)
        seen.update(verdicts)
        if "both accept" in verdicts and has_repeats(payload):
            seen["repeats"] += 1

    alike()
    assert seen["both accept"] > 30
    assert seen["repeats"] > 10


# --- the exceptions -----------------------------------------------------------------------------------------------


def one_tensor(content, key=99):
    return tensor_map((key, content)) + b"\0"


SHOWN = {
    "wrong type": [
        field(wire.LIST, 1, list_of(wire.I64)) + b"\0",
        field(wire.MAP, 3, map_of(wire.I64, wire.DOUBLE, bytes(16))) + b"\0",
    ],
    "union": [one_tensor(b""), one_tensor(float_member(1.0) + field(wire.STRUCT, 6, float_member(2.0)[3:]))],
    "raw size": [
        one_tensor(
            field(
                wire.STRUCT,
                1,
                field(wire.I32, 1, bytes(4)) + field(wire.STRING, 2, string(bytes(6))) + b"\0",
            )
        )
    ],
    "replaced": [
        tensor_map((2, float_member(1.0)), (2, float_member(1.0, 2.0, 3.0))) + b"\0",
        tensor_map((9, field(wire.STRUCT, 5, b"\0"))) + tensor_map() + b"\0",
    ],
    "uuid": [
        field(UUID, 99, bytes(16)) + b"\0",
        field(wire.LIST, 99, list_of(UUID, bytes(16))) + b"\0",
    ],
    "utf-8": [
        field(wire.MAP, 4, map_of(wire.I64, wire.STRING, struct.pack(">q", 1) + string(b"\xff"))) + b"\0",
        field(wire.STRING, 99, string(b"\xff")) + b"\0",
    ],
    "depth": [
        field(wire.LIST, 99, nested_lists(wire.MAX_DEPTH, 1)) + b"\0",
        field(wire.LIST, 99, nested_lists(wire.MAX_DEPTH - 1, 1)) + b"\0",
    ],
    "other record": [
        field(wire.MAP, 2, map_of(wire.I64, wire.I32, struct.pack(">qi", 1, 0x3F800000))) + b"\0",
        field(wire.MAP, 13, map_of(wire.I64, wire.STRING, struct.pack(">q", 1) + string(b"a"))) + b"\0",
    ],
}


@pytest.mark.parametrize(
    ("name", "payload"), [(name, payload) for name, payloads in SHOWN.items() for payload in payloads]
)
def test_exceptions_are_what_they_are_said_to_be(name, payload):
    verdicts = judge(DataRecord, payload)
    assert name in verdicts
    assert verdicts <= {name, "both accept", "both refuse"}


def test_every_exception_is_shown_and_in_the_readme():
    assert set(SHOWN) == set(EXCEPTIONS)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    listed = re.findall(r"^\| \*([\w -]+)\* \|", readme, re.MULTILINE)
    assert listed == list(EXCEPTIONS)


BITS = struct.unpack("=i", struct.pack("=f", 0.25))[0]
FULL = {
    "binaryFeatures": {1, 4},
    "discreteFeatures": {2: -5},
    "stringFeatures": {1: "text"},
    "sparseBinaryFeatures": {1: {"a"}},
    "blobFeatures": {2: b"\xff"},
    "tensors": {2: float_tensor([1.0, 2.0, 3.0, 4.0])},
    "sparseTensors": {
        3: tensors.SparseTensor(
            tensors.COOSparseTensor([2, 2], tensors.Int64Tensor([0, 1]), float_tensor([5.0]))
        )
    },
}


FULL_RECORDS = [
    DataRecord(
        **FULL, continuousFeatures={3: 0.5, 9: 0.0}, sparseContinuousFeatures={2: {"\u00e9": 1.5, "b": 0.0}}
    ),
    CompactDataRecord(
        **FULL, continuousFeatures={3: BITS}, sparseContinuousFeaturesWith16bSparseKey={2: {7: BITS}}
    ),
]


@pytest.mark.parametrize("record", FULL_RECORDS)
def test_every_tensor_is_filled_and_compared(record):
    """Two that left everything at its default would agree too."""
    payload = serialize(record)
    assert judge(type(record), payload) == {"both accept"}
    filled = apache(type(record), payload, accelerated=True).tensors
    for index, array in filled.items():
        default = np.full_like(array, TENSORS[index].default)
        assert not equal({index: default}, {index: array}), TENSORS[index].name
        changed = {**filled, index: default}
        assert not equal(changed, filled)


@pytest.mark.parametrize("record", FULL_RECORDS)
def test_every_changed_header_both_read_alike_or_both_refuse(record):
    """Negative and huge counts and lengths, and every other type of keys, values and elements, at each place."""
    seen = Counter()
    for payload in headers_changed(serialize(record)):
        seen.update(judge(type(record), payload))
    assert seen["both refuse"] > 200
    assert seen["wrong type"] > 20
