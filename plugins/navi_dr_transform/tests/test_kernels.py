"""The kernels beside their plain twins, and both beside Apache Thrift and Navi's scatter.

Everything here passes with NUMBA_DISABLE_JIT=1 too.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform import _kernels, wire
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
from navi_dr_transform._generated.tensor import ttypes as tensors
from navi_dr_transform._memory import rows_of
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import HOME, HOME_EMBEDDINGS, HomeTensor, Source
from navi_dr_transform.reference import Reference
from navi_dr_transform.tables import freeze
from navi_dr_transform.thrift_records import decode_request
from thrift.TSerialization import serialize

WIDTHS = (4, 3, 2, 2, 3, 1)
IDS = (-2, -3, -2)  # two embeddings share an id
COLUMNS = {
    (Source.CONTINUOUS, 7): (Place(HomeTensor.CONTINUOUS, 0),),
    (Source.CONTINUOUS, 8): (Place(HomeTensor.CONTINUOUS, 2),),
    (Source.CONTINUOUS, -9): (Place(HomeTensor.CONTINUOUS, 3),),
    (Source.BINARY, 5): (Place(HomeTensor.BINARY, 1),),
    (Source.BINARY, 6): (Place(HomeTensor.BINARY, 2),),
    (Source.DISCRETE, 20): (Place(HomeTensor.DISCRETE, 0),),
    (Source.DISCRETE, 21): (Place(HomeTensor.DISCRETE, 1),),
}
FEATURES = FeatureMap(COLUMNS, dict(zip(HOME_EMBEDDINGS, IDS, strict=True)))
DTYPES = ("f4", "i8", "i8", "f4", "f4", "f4")


def run(payload, *, exact=0, first_row=1, spare=2, widths=WIDTHS, form=wire.BATCH):
    """Measure and fill with the kernels; rows around the request's own must stay as they are."""
    wanted = {tensor: width for tensor, width in zip(HomeTensor, widths, strict=True) if width}
    frozen = freeze(HOME, FEATURES, wanted, exact=bool(exact))
    scratch = np.full(frozen.scratch_size, 77)
    status, offset, num_records, records, common = _kernels.measure(payload, form, frozen.plan, scratch)
    if status != wire.OK:
        return SimpleNamespace(status=status, offset=offset, rows=None)
    out = [
        np.full((num_records + first_row + spare, width), 77, dtype=DTYPES[tensor])
        for tensor, width in wanted.items()
    ]
    template = [np.empty_like(row) for row in frozen.defaults]
    filled = _kernels.fill(
        payload,
        num_records,
        records,
        common,
        frozen.plan,
        frozen.displacements,
        rows_of(frozen.defaults),
        rows_of(template),
        rows_of(out),
        first_row,
        scratch,
        np.empty(0, np.int64),
    )
    for array in out:
        assert (array[:first_row] == 77).all()
        assert (array[first_row + num_records :] == 77).all()
    rows = [array[first_row : first_row + num_records] for array in out]
    return SimpleNamespace(
        status=status, offset=offset, span=(num_records, records, common), filled=tuple(filled), rows=rows
    )


def check_twins(payload, *, exact=0, form=wire.BATCH):
    """Run the kernels and the reference, compare everything they answer, and return it."""
    ours = run(payload, exact=exact, form=form)
    reference = Reference(
        HOME, FEATURES, dict(zip(HomeTensor, WIDTHS, strict=True)), exact=bool(exact), form=form
    )
    status, offset, *span = reference.measure(payload)
    assert (ours.status, ours.offset) == (status, offset)
    if ours.rows is not None:
        assert ours.span == tuple(span)
        end, rows = reference.fill(payload)
        assert ours.filled == (wire.OK, end)
        for mine, other in zip(ours.rows, rows.values(), strict=True):
            np.testing.assert_array_equal(mine, other)
    return ours


# --- requests that Apache Thrift writes -------------------------------------------------------------------

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
SCALAR_IDS = st.sampled_from([*(feature_id for _, feature_id in COLUMNS), -2, 99, -(2**63)]) | INT64
TENSOR_IDS = st.sampled_from([-2, -3, -4, 7, 99])
DOUBLES = st.floats(allow_nan=True, allow_infinity=True)
TEXTS = st.text(max_size=3)
SHAPES = st.none() | st.lists(INT64, max_size=2)
LENGTH = {"min_size": 0, "max_size": 5}


@st.composite
def general_tensors(draw):
    kind = draw(st.sampled_from(["raw", "string", "int32", "int64", "float", "double", "bool", "binary"]))
    shape = draw(SHAPES)
    match kind:
        case "raw":
            data_type = draw(st.integers(0, 11))
            content = draw(st.binary(max_size=40))
            if data_type in (0, 2):
                content = content[: len(content) // 4 * 4]
            if data_type in (1, 3):
                content = content[: len(content) // 8 * 8]
            raw = tensors.RawTypedTensor(data_type, content, shape)
            return tensors.GeneralTensor(rawTypedTensor=raw)
        case "string":
            values = tensors.StringTensor(draw(st.lists(TEXTS, **LENGTH)), shape)
            return tensors.GeneralTensor(stringTensor=values)
        case "int32":
            return tensors.GeneralTensor(
                int32Tensor=tensors.Int32Tensor(draw(st.lists(INT32, **LENGTH)), shape)
            )
        case "int64":
            return tensors.GeneralTensor(
                int64Tensor=tensors.Int64Tensor(draw(st.lists(INT64, **LENGTH)), shape)
            )
        case "float":
            return tensors.GeneralTensor(
                floatTensor=tensors.FloatTensor(draw(st.lists(DOUBLES, **LENGTH)), shape)
            )
        case "double":
            values = tensors.DoubleTensor(draw(st.lists(DOUBLES, **LENGTH)), shape)
            return tensors.GeneralTensor(doubleTensor=values)
        case "bool":
            values = tensors.BoolTensor(draw(st.lists(st.booleans(), **LENGTH)), shape)
            return tensors.GeneralTensor(boolTensor=values)
        case _:
            values = tensors.BinaryTensor(draw(st.lists(st.binary(max_size=3), **LENGTH)), shape)
            return tensors.GeneralTensor(binaryTensor=values)


def sparse_tensors():
    return st.builds(
        lambda shape, indices, values: tensors.SparseTensor(
            tensors.COOSparseTensor(shape, tensors.Int64Tensor(indices), values)
        ),
        st.lists(INT64, max_size=2),
        st.lists(INT64, max_size=2),
        general_tensors(),
    )


def maps(keys, values, max_size=4):
    return st.none() | st.dictionaries(keys, values, max_size=max_size)


RECORDS = st.builds(
    DataRecord,
    binaryFeatures=st.none() | st.sets(SCALAR_IDS, max_size=4),
    continuousFeatures=maps(SCALAR_IDS, DOUBLES, 6),
    discreteFeatures=maps(SCALAR_IDS, INT64),
    stringFeatures=maps(INT64, TEXTS, 2),
    sparseBinaryFeatures=maps(INT64, st.sets(TEXTS, max_size=2), 2),
    sparseContinuousFeatures=maps(INT64, st.dictionaries(TEXTS, DOUBLES, max_size=2), 2),
    blobFeatures=maps(INT64, st.binary(max_size=3), 2),
    tensors=maps(TENSOR_IDS, general_tensors(), 3),
    sparseTensors=maps(INT64, sparse_tensors(), 2),
)
REQUESTS = st.builds(
    BatchPredictionRequest,
    individualFeaturesList=st.lists(RECORDS, max_size=4),
    commonFeatures=st.none() | RECORDS,
)


# --- the oracle: Navi's converter over Apache Thrift's objects, with the README's exceptions ---------------


def numbers(tensor):
    """Return a GeneralTensor's values as float64; None for what holds no numbers."""
    for typed, attribute in (
        (tensor.floatTensor, "floats"),
        (tensor.doubleTensor, "doubles"),
        (tensor.int32Tensor, "ints"),
        (tensor.int64Tensor, "longs"),
    ):
        if typed is not None:
            return np.array(getattr(typed, attribute), dtype=np.float64)
    raw = tensor.rawTypedTensor
    dtype = {0: "<f4", 1: "<f8", 2: "<i4", 3: "<i8", 4: "u1"}.get(raw.dataType) if raw is not None else None
    return None if dtype is None else np.frombuffer(raw.content, dtype).astype(np.float64)


def navi(request, *, exact=False):
    """Return the six tensors; None where an embedding has the wrong length."""
    records = request.individualFeaturesList
    common = request.commonFeatures
    out = [np.zeros((len(records), width), dtype) for width, dtype in zip(WIDTHS, DTYPES, strict=True)]
    out[0][:] = np.nan

    def scatter(record, rows):
        by_source = (
            (Source.CONTINUOUS, (record.continuousFeatures or {}).items()),
            (Source.BINARY, [(feature_id, 1) for feature_id in record.binaryFeatures or ()]),
            (Source.DISCRETE, (record.discreteFeatures or {}).items()),
        )
        for source, features in by_source:
            for feature_id, value in features:
                for place in COLUMNS.get((source, feature_id), ()):
                    out[place.tensor][rows, place.column] = value
        fits = True
        for index, embedding_id in enumerate(IDS):
            tensor = (record.tensors or {}).get(embedding_id)
            if tensor is None:
                continue
            values, width = numbers(tensor), WIDTHS[3 + index]
            if values is None:
                out[3 + index][rows] = 0
            elif len(values) < width or (exact and len(values) > width):
                fits = False
            else:
                out[3 + index][rows] = values[:width]
        return fits

    with np.errstate(over="ignore"):
        fits = [scatter(common, slice(None))] if common is not None else []
        fits += [scatter(record, row) for row, record in enumerate(records)]
    return out if all(fits) else None


@settings(max_examples=150)
@given(request=REQUESTS, exact=st.booleans(), trailing=st.binary(max_size=3))
def test_requests_become_the_tensors_that_navi_makes(request, exact, trailing):
    payload = serialize(request)
    ours = check_twins(payload + trailing, exact=int(exact))
    # decoded again, because a payload is what counts (an i32 enum, bytes instead of text)
    expected = navi(decode_request(payload), exact=exact)
    if expected is None:
        assert ours.status in (wire.EMBEDDING_SHORT, wire.EMBEDDING_LONG)
        return
    assert ours.status == wire.OK
    assert ours.offset == len(payload)
    for mine, other in zip(ours.rows, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


@settings(max_examples=100)
@given(request=REQUESTS, data=st.data())
def test_a_request_cut_anywhere_is_refused_at_the_same_byte(request, data):
    payload = serialize(request)
    cut = data.draw(st.integers(0, len(payload) - 1))
    ours = check_twins(payload[:cut])
    assert ours.status != wire.OK
    assert 0 <= ours.offset <= cut


@settings(max_examples=300)
@given(
    request=REQUESTS,
    damage=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 16) | st.integers(0, 255)), max_size=4),
    exact=st.integers(0, 1),
)
def test_damaged_requests_get_the_same_answer_from_both_twins(request, damage, exact):
    payload = bytearray(serialize(request))
    for position, value in damage:
        payload[position % len(payload)] = value
    check_twins(bytes(payload), exact=exact)


@settings(max_examples=100)
@given(payload=st.binary(max_size=64))
def test_random_bytes_get_the_same_answer_from_both_twins(payload):
    check_twins(payload)


def big_request():
    """Return a request with every kind of field in it."""
    float_tensor = tensors.GeneralTensor(floatTensor=tensors.FloatTensor([1.0, 2.0, 3.0], [3]))
    raw = tensors.GeneralTensor(rawTypedTensor=tensors.RawTypedTensor(0, struct.pack("<3f", 1, 2, 3), [3]))
    texts = tensors.GeneralTensor(stringTensor=tensors.StringTensor(["a", "bc"]))
    record = DataRecord(
        binaryFeatures={5, 99},
        continuousFeatures={7: 1.5, 99: 2.0},
        discreteFeatures={20: 3},
        stringFeatures={1: "text"},
        sparseBinaryFeatures={2: {"a"}},
        sparseContinuousFeatures={3: {"k": 1.5}},
        blobFeatures={4: b"\x00"},
        tensors={-2: float_tensor, -3: raw, 99: texts},
        sparseTensors={9: tensors.SparseTensor(tensors.COOSparseTensor([3], tensors.Int64Tensor([0]), raw))},
    )
    return serialize(BatchPredictionRequest([record, DataRecord()], record))


def test_every_truncation_of_a_request_is_refused():
    payload = big_request()
    assert check_twins(payload).status == wire.OK
    for cut in range(len(payload)):
        assert check_twins(payload[:cut]).status != wire.OK


def test_every_changed_byte_of_a_request_gets_the_same_answer_from_both_twins():
    payload = big_request()
    for position in range(len(payload)):
        for value in (0, 255, payload[position] ^ 1, payload[position] ^ 0x80):
            check_twins(payload[:position] + bytes([value]) + payload[position + 1 :])


# --- payloads that no library writes ------------------------------------------------------------------------


def field(wire_type, field_id, content=b""):
    return struct.pack(">bh", wire_type, field_id) + content


def continuous(*pairs, field_id=2):
    body = b"".join(struct.pack(">qd", *pair) for pair in pairs)
    return field(wire.MAP, field_id, struct.pack(">bbi", wire.I64, wire.DOUBLE, len(pairs)) + body)


def binary(*ids):
    return field(wire.SET, 1, struct.pack(f">bi{len(ids)}q", wire.I64, len(ids), *ids))


def discrete(*pairs):
    body = b"".join(struct.pack(">qq", *pair) for pair in pairs)
    return field(wire.MAP, 3, struct.pack(">bbi", wire.I64, wire.I64, len(pairs)) + body)


def float_member(*values):
    return field(
        wire.STRUCT,
        5,
        field(wire.LIST, 1, struct.pack(f">bi{len(values)}d", wire.DOUBLE, len(values), *values)) + b"\0",
    )


def tensor_map(*pairs):
    body = b"".join(struct.pack(">q", feature_id) + tensor + b"\0" for feature_id, tensor in pairs)
    return field(wire.MAP, 8, struct.pack(">bbi", wire.I64, wire.STRUCT, len(pairs)) + body)


def records(*contents):
    body = b"".join(content + b"\0" for content in contents)
    return field(wire.LIST, 1, struct.pack(">bi", wire.STRUCT, len(contents)) + body)


def common(content):
    return field(wire.STRUCT, 2, content + b"\0")


def test_common_features_may_stand_before_the_records():
    before = check_twins(common(continuous((7, 1.0), (8, 2.0))) + records(continuous((8, 3.0))) + b"\0")
    after = check_twins(records(continuous((8, 3.0))) + common(continuous((7, 1.0), (8, 2.0))) + b"\0")
    for ours, theirs in zip(before.rows, after.rows, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(before.rows[0], [[1.0, np.nan, 3.0, np.nan]])


def test_of_a_repeated_request_field_the_last_one_counts():
    payload = (
        records(binary(5))
        + common(continuous((7, 1.0)))
        + common(continuous((8, 2.0)))
        + records(binary(6), b"")
        + b"\0"
    )
    ours = check_twins(payload)
    np.testing.assert_array_equal(ours.rows[0], [[np.nan, np.nan, 2.0, np.nan]] * 2)
    np.testing.assert_array_equal(ours.rows[1], [[0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("place", ["record", "common"])
def test_of_a_repeated_record_field_the_last_one_counts(place):
    content = (
        continuous((7, 1.0))
        + binary(5)
        + discrete((20, 1))
        + tensor_map((-2, float_member(1.0, 2.0)), (-3, float_member(1.0, 2.0, 3.0)))
        + continuous((8, 2.0))
        + binary(6)
        + discrete((21, 2))
        + tensor_map((-3, float_member(4.0, 5.0, 6.0)))
    )
    payload = records(content) + b"\0" if place == "record" else records(b"") + common(content) + b"\0"
    ours = check_twins(payload)
    expected = (
        [np.nan, np.nan, 2.0, np.nan],
        [0, 0, 1],
        [0, 2],
        [0.0, 0.0],
        [4.0, 5.0, 6.0],
        [0.0],
    )
    for got, want in zip(ours.rows, expected, strict=True):
        np.testing.assert_array_equal(got, [want])


def test_a_repeated_record_field_falls_back_to_the_common_features():
    payload = records(continuous((7, 1.0)) + continuous((8, 2.0))) + common(continuous((7, 9.0))) + b"\0"
    np.testing.assert_array_equal(check_twins(payload).rows[0], [[9.0, np.nan, 2.0, np.nan]])


def test_of_equal_keys_the_last_one_counts():
    payload = (
        records(
            continuous((7, 1.0), (7, 2.0))
            + tensor_map((-3, float_member(1, 2, 3)), (-3, float_member(4, 5, 6)))
        )
        + b"\0"
    )
    ours = check_twins(payload)
    assert ours.rows[0][0, 0] == 2.0
    np.testing.assert_array_equal(ours.rows[4], [[4, 5, 6]])


def test_fields_may_come_in_any_order_and_unknown_ones_are_passed_over():
    unknown = field(wire.LIST, 77, struct.pack(">bi2h", wire.I16, 2, 1, 2)) + field(wire.BOOL, -5, b"\1")
    nested = field(wire.STRUCT, 10, field(wire.STRING, 1, struct.pack(">i", 2) + b"ab") + b"\0")
    payload = unknown + records(nested + continuous((7, 1.0)) + unknown + binary(5)) + nested + b"\0"
    ours = check_twins(payload)
    assert ours.status == wire.OK
    assert ours.rows[0][0, 0] == 1.0
    assert ours.rows[1][0, 1] == 1


def test_an_empty_container_may_have_any_element_types():
    empty_map = field(wire.MAP, 2, struct.pack(">bbi", 0, 99, 0))
    payload = records(empty_map + field(wire.SET, 1, struct.pack(">bi", 0, 0))) + b"\0"
    assert check_twins(payload).status == wire.OK
    assert check_twins(field(wire.LIST, 1, struct.pack(">bi", 0, 0)) + b"\0").status == wire.OK


def nested_lists(depth):
    return struct.pack(">bi", wire.LIST, 1) * (depth - 1) + struct.pack(">bi", wire.I64, 0)


@pytest.mark.parametrize(
    ("depth", "status"), [(wire.MAX_DEPTH, wire.OK), (wire.MAX_DEPTH + 1, wire.TOO_DEEP)]
)
def test_nesting_of_unknown_fields_is_bounded(depth, status):
    payload = records() + field(wire.LIST, 9, nested_lists(depth)) + b"\0"
    assert check_twins(payload).status == status


def test_deep_structs_are_refused_at_their_offset():
    payload = records() + field(wire.STRUCT, 9) * 100_000
    ours = check_twins(payload)
    assert (ours.status, ours.offset) == (wire.TOO_DEEP, len(records()) + 3 * (wire.MAX_DEPTH + 1))


TENSOR_AT = len(records(b"")) - 1 + 3 + 6 + 8  # where the tensor of the first pair begins

REFUSED = {
    "empty": (b"", wire.TRUNCATED, 0),
    "no records": (b"\0", wire.MISSING_FIELD, 0),
    "records of another type": (field(wire.MAP, 1), wire.WRONG_TYPE, 0),
    "records that are no structs": (
        field(wire.LIST, 1, struct.pack(">bi", wire.I64, 0x7)),
        wire.WRONG_TYPE,
        3,
    ),
    "common of another type": (field(wire.LIST, 2), wire.WRONG_TYPE, 0),
    "negative count of records": (
        field(wire.LIST, 1, struct.pack(">bi", wire.STRUCT, -1)),
        wire.NEGATIVE_COUNT,
        4,
    ),
    "more records than bytes": (
        field(wire.LIST, 1, struct.pack(">bi", wire.STRUCT, 2) + b"\0"),
        wire.COUNT_TOO_LARGE,
        4,
    ),
    "huge count": (
        records(field(wire.MAP, 2, struct.pack(">bbi", wire.I64, wire.DOUBLE, 2**31 - 1)))[:-1],
        wire.COUNT_TOO_LARGE,
        13,
    ),
    "negative count of pairs": (
        records(field(wire.MAP, 2, struct.pack(">bbi", wire.I64, wire.DOUBLE, -1))),
        wire.NEGATIVE_COUNT,
        13,
    ),
    "floats that are no doubles": (
        records(field(wire.MAP, 2, struct.pack(">bbiqq", wire.I64, wire.I64, 1, 7, 1))),
        wire.WRONG_TYPE,
        12,
    ),
    "keys that are no i64": (
        records(field(wire.MAP, 3, struct.pack(">bbiqq", wire.I32, wire.I64, 1, 7, 1))),
        wire.WRONG_TYPE,
        11,
    ),
    "a set that is a list": (
        records(field(wire.LIST, 1, struct.pack(">bi", wire.I64, 0))),
        wire.WRONG_TYPE,
        8,
    ),
    "unknown type": (field(1, 9), wire.UNKNOWN_TYPE, 3),
    "unknown element type": (field(wire.LIST, 9, struct.pack(">bi", 5, 1) + b"\0"), wire.UNKNOWN_TYPE, 3),
    "unknown value type": (
        field(wire.MAP, 9, struct.pack(">bbi", wire.I64, 16, 1) + bytes(20)),
        wire.UNKNOWN_TYPE,
        4,
    ),
    "negative string length": (field(wire.STRING, 9, struct.pack(">i", -1)), wire.NEGATIVE_COUNT, 3),
    "a string longer than the payload": (field(wire.STRING, 9, struct.pack(">i", 1)), wire.TRUNCATED, 3),
    "a union without a field": (records(tensor_map((-2, b""))), wire.NOT_ONE_MEMBER, TENSOR_AT),
    "a union with two fields": (
        records(tensor_map((9, float_member(1.0) + float_member(2.0)))),
        wire.NOT_ONE_MEMBER,
        TENSOR_AT + len(float_member(1.0)),
    ),
    "a union with an unknown field": (
        records(tensor_map((9, field(wire.STRUCT, 9, b"\0")))),
        wire.NOT_ONE_MEMBER,
        TENSOR_AT,
    ),
    "a union's field that is no struct": (
        records(tensor_map((9, field(wire.LIST, 5)))),
        wire.WRONG_TYPE,
        TENSOR_AT,
    ),
    "a tensor without values": (
        records(tensor_map((9, field(wire.STRUCT, 5, b"\0")))),
        wire.MISSING_FIELD,
        TENSOR_AT + 3,
    ),
    "a raw tensor without content": (
        records(tensor_map((9, field(wire.STRUCT, 1, field(wire.I32, 1, bytes(4)) + b"\0")))),
        wire.MISSING_FIELD,
        TENSOR_AT + 10,
    ),
    "a raw tensor without a data type": (
        records(tensor_map((9, field(wire.STRUCT, 1, field(wire.STRING, 2, bytes(4)) + b"\0")))),
        wire.MISSING_FIELD,
        TENSOR_AT + 10,
    ),
    "raw content of 1.5 floats": (
        records(
            tensor_map(
                (
                    9,
                    field(
                        wire.STRUCT,
                        1,
                        field(wire.I32, 1, bytes(4))
                        + field(wire.STRING, 2, struct.pack(">i", 6) + bytes(6))
                        + b"\0",
                    ),
                )
            )
        ),
        wire.RAW_SIZE,
        TENSOR_AT + 3 + 7 + 7,
    ),
    "a shape that is no list": (
        records(tensor_map((9, field(wire.STRUCT, 5, field(wire.I64, 2, bytes(8)) + b"\0")))),
        wire.WRONG_TYPE,
        TENSOR_AT + 3,
    ),
    "a short embedding": (
        records(tensor_map((-2, float_member(1.0)))),
        wire.EMBEDDING_SHORT,
        TENSOR_AT + 3 + 3 + 5,
    ),
    "a short common embedding": (
        records() + common(tensor_map((-3, float_member(1.0, 2.0)))),
        wire.EMBEDDING_SHORT,
        len(records()) + 3 + 3 + 6 + 8 + 3 + 3 + 5,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals_name_the_byte(what):
    content, status, offset = REFUSED[what]
    payload = content if what in ("empty", "no records") else content + bytes(64)
    if what in ("more records than bytes", "a string longer than the payload", "huge count"):
        payload = content
    ours = check_twins(payload)
    assert (ours.status, ours.offset) == (status, offset)


def test_an_embedding_that_is_too_long_is_refused_only_where_it_must_be_exact():
    payload = records(tensor_map((-3, float_member(1, 2, 3, 4)))) + b"\0"
    np.testing.assert_array_equal(check_twins(payload).rows[4], [[1, 2, 3]])
    ours = check_twins(payload, exact=1)
    assert (ours.status, ours.offset) == (wire.EMBEDDING_LONG, TENSOR_AT + 3 + 3 + 5)


def test_fill_checks_what_measure_has_checked():
    """A fill that is handed spans of another payload stops inside the payload, and inside the rows."""
    good = records(continuous((7, 1.0)), binary(5)) + b"\0"
    frozen = freeze(HOME, FEATURES, dict(zip(HomeTensor, WIDTHS, strict=True)), exact=False)
    scratch = np.zeros(frozen.scratch_size, np.int64)
    _, _, num_records, first, shared = _kernels.measure(good, wire.BATCH, frozen.plan, scratch)

    def fill(payload, first_row=0, first=first, rows=2):
        arrays = [np.zeros((rows, width), dtype) for width, dtype in zip(WIDTHS, DTYPES, strict=True)]
        template = [np.empty_like(row) for row in frozen.defaults]
        memory = (rows_of(frozen.defaults), rows_of(template), rows_of(arrays))
        span = (num_records, first, shared)
        plan = (frozen.plan, frozen.displacements)
        return _kernels.fill(payload, *span, *plan, *memory, first_row, scratch, np.empty(0, np.int64))

    assert fill(good)[0] == wire.OK
    assert fill(good[:20]) == (wire.COUNT_TOO_LARGE, 13)
    assert fill(good, first=10**9)[0] == wire.TRUNCATED
    assert fill(good, first=-5)[0] == wire.TRUNCATED
    assert fill(good, first_row=1)[0] == wire.NO_SUCH_ROW
    assert fill(good, first_row=-1)[0] == wire.NO_SUCH_ROW
    assert fill(good, rows=1)[0] == wire.NO_SUCH_ROW


@pytest.mark.parametrize("unwanted", list(HomeTensor))
def test_tensors_that_are_not_wanted_are_left_out(unwanted):
    payload = big_request()
    wanted = [0 if kind is unwanted else width for kind, width in zip(HomeTensor, WIDTHS, strict=True)]
    full = run(payload).rows
    del full[unwanted]
    for ours, theirs in zip(run(payload, widths=wanted).rows, full, strict=True):
        np.testing.assert_array_equal(ours, theirs)
