"""Payloads that no library writes: repeated fields, odd orders and what is refused, at the same byte by both twins.

Everything here passes with NUMBA_DISABLE_JIT=1 too.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from kernel_twins import DTYPES, FEATURES, WIDTHS, check_twins
from navi_dr_transform import _kernels, wire
from navi_dr_transform._memory import rows_of
from navi_dr_transform.layout import HOME, HomeTensor
from navi_dr_transform.tables import freeze
from thrift_bytes import (
    binary,
    common,
    continuous,
    discrete,
    field,
    float_member,
    nested_lists,
    records,
    tensor_map,
)


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
