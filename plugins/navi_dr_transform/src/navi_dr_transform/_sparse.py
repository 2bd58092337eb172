"""Kernels for features whose values vary in size: strings and blobs, and sparse features by category.

Of a string its place in the payload is kept. A sparse feature holds many values by category, a text or (in
CompactDataRecords) an integer, which stands for its decimal text; a layout names the categories that have a
column. A category is found by a hash of the feature's id and its bytes, and then compared byte for byte.

The rules are those of ``_protocol``; ``_walk`` has checked every length.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import inner
from navi_dr_transform._memory import (
    get,
    put,
    read_f32,
    read_f64,
    read_i16,
    read_i32,
    read_i64,
    read_u8,
    wrapping_multiply,
    write_i64,
)
from navi_dr_transform._numbers import write_bits, write_number
from navi_dr_transform._protocol import fixed_size
from navi_dr_transform._scatter import find
from navi_dr_transform._walk import map_types, set_type

__all__ = ["scatter_sparse", "scatter_strings"]


@inner
def scatter_strings(
    payload: bytes, offset: int, count: int, plan: Any, displacements: Any, index: int, row: Any
) -> None:
    """Write the spans of a field's strings into a row."""
    at = _plan.PASSES_AT + _plan.PASS_FIELDS * index
    for _ in range(count):
        key = read_i64(payload, offset)
        length = read_i32(payload, offset + 8)
        offset += 12
        slot = find(plan, displacements, at, key)
        if get(plan, slot) == key:
            place = get(plan, slot + 1)
            write_i64(row, place, offset)
            write_i64(row, place + 8, length)
        offset += length


@inner
def write_digits(scratch: Any, value: int) -> int:
    """Write an integer as decimal text and return its length."""
    length = wire.BEGIN
    rest = value
    while True:
        # towards zero, whatever the sign: the smallest i64 has no positive twin
        digit = rest % 10
        rest = rest // 10
        if value < 0 and digit > 0:
            digit = 10 - digit
            rest += 1
        put(scratch, _plan.DIGITS_AT + length, wire.DIGIT_0 + digit)
        length += 1
        if rest == 0:
            break
    if value < 0:
        put(scratch, _plan.DIGITS_AT + length, wire.MINUS)
        length += 1
    for index in range(length // 2):
        first = get(scratch, _plan.DIGITS_AT + index)
        put(scratch, _plan.DIGITS_AT + index, get(scratch, _plan.DIGITS_AT + length - 1 - index))
        put(scratch, _plan.DIGITS_AT + length - 1 - index, first)
    return length


@inner
def byte_of(payload: bytes, scratch: Any, text: int, index: int) -> int:
    """Return a byte of a category: of the payload from ``text`` on, or of the digits where there is none."""
    if text < 0:
        return get(scratch, _plan.DIGITS_AT + index)
    return read_u8(payload, text + index)


@inner
def find_category(
    payload: bytes,
    scratch: Any,
    text: int,
    length: int,
    feature_id: int,
    plan: Any,
    displacements: Any,
    at: int,
) -> int:
    """Return the place of a category of a feature; -1 when it has none."""
    if length > get(plan, at + _plan.LONGEST):
        return wire.ABSENT
    key = wrapping_multiply(feature_id, wire.CATEGORY_SEED)
    for index in range(length):
        key = wrapping_multiply(key ^ byte_of(payload, scratch, text, index), wire.CATEGORY_PRIME)
    slot = find(plan, displacements, get(plan, at + _plan.CATEGORIES), key)
    category = get(plan, slot + 1)
    if (
        category == 0
        or get(plan, category + _plan.CATEGORY_FEATURE) != feature_id
        or get(plan, category + _plan.CATEGORY_LENGTH) != length
    ):
        return wire.ABSENT
    for index in range(length):
        expected = get(plan, category + _plan.CATEGORY_BYTES + index)
        if byte_of(payload, scratch, text, index) != expected:
            return wire.ABSENT
    return get(plan, category + _plan.CATEGORY_PLACE)


@inner
def scatter_values(
    payload: bytes,
    offset: int,
    count: int,
    key_type: int,
    value_type: int,
    feature_id: int,
    is_written: int,
    plan: Any,
    displacements: Any,
    at: int,
    row: Any,
    scratch: Any,
) -> int:
    """Write the values of one sparse feature, or only pass over them; returns the byte after it."""
    dtype = get(plan, at + _plan.DTYPE)
    one = get(plan, at + _plan.ONE)
    for _ in range(count):
        text = wire.ABSENT
        if key_type == wire.STRING:
            length = read_i32(payload, offset)
            text = offset + 4
            offset = text + length
        else:
            value = wire.BEGIN
            if key_type == wire.I16:
                value = read_i16(payload, offset)
            elif key_type == wire.I32:
                value = read_i32(payload, offset)
            else:
                value = read_i64(payload, offset)
            length = write_digits(scratch, value) if is_written else wire.BEGIN
            offset += fixed_size(key_type)
        if is_written:
            place = find_category(payload, scratch, text, length, feature_id, plan, displacements, at)
            if place >= 0:
                if value_type == wire.DOUBLE:
                    write_number(row, place, dtype, read_f64(payload, offset))
                elif value_type == wire.I32:
                    write_number(row, place, dtype, float(read_f32(payload, offset)))
                else:
                    write_bits(row, place, dtype, one)
        offset += fixed_size(value_type)
    return offset


@inner
def scatter_sparse(
    payload: bytes,
    kind: int,
    field: int,
    offset: int,
    count: int,
    plan: Any,
    displacements: Any,
    index: int,
    row: Any,
    scratch: Any,
) -> None:
    """Write a field's sparse features into a row.

    A feature takes the place of what came for its id before, in common features or in this field, as a whole:
    the columns of categories that it lacks get their default. So only the last one of an id is written, however
    often a field repeats it; which one that is is known when all were passed over.
    """
    at = _plan.PASSES_AT + _plan.PASS_FIELDS * index
    dtype = get(plan, at + _plan.DTYPE)
    default = get(plan, at + _plan.DEFAULT)
    first = offset
    for is_second_time in range(2):
        offset = first
        for _ in range(count):
            key = read_i64(payload, offset)
            slot = find(plan, displacements, at, key)
            is_written = wire.BEGIN
            if get(plan, slot) == key:
                feature = get(plan, slot + 1)
                state = get(plan, feature + _plan.FEATURE_STATE)
                if not is_second_time:
                    put(scratch, state, offset)
                elif get(scratch, state) == offset:
                    is_written = wire.ONE
                    columns = feature + _plan.COLUMNS
                    for column in range(columns, columns + get(plan, feature + _plan.NUM_COLUMNS)):
                        write_bits(row, get(plan, column), dtype, default)
            if kind == wire.ID_SETS:
                key_type = set_type(field)
                value_type = wire.STOP
                length = read_i32(payload, offset + 9)
                offset += 13
            else:
                key_type, value_type = map_types(field)
                length = read_i32(payload, offset + 10)
                offset += 14
            offset = scatter_values(
                payload,
                offset,
                length,
                key_type,
                value_type,
                key,
                is_written,
                plan,
                displacements,
                at,
                row,
                scratch,
            )
