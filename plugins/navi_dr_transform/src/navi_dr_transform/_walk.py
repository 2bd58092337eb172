"""Kernels that go through one DataRecord or CompactDataRecord and keep where its fields' elements lie.

Every length is checked. Fields of fixed-size elements are passed in one step: a record of 500 continuous features costs no more than one
of five. A CompactDataRecord is told by its fields' types on the wire (continuous features are i32, sparse ones
have integer keys); each field is read as what its types say, so that nothing can be misread. Fields from 10 on
are a CompactDataRecord's where they have its types, else unknown ones.

The rules are those of ``_protocol``.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import inner
from navi_dr_transform._memory import get, put, read_i32, read_i64, read_u8
from navi_dr_transform._protocol import (
    fixed_size,
    min_size,
    open_field,
    open_list,
    open_map,
    open_string,
    skip,
)
from navi_dr_transform._tensors import check_length, check_sparse, open_sparse, open_tensor

__all__ = ["map_types", "set_type", "walk_record"]


@inner
def map_kind(field: int, value_type: int) -> int:
    """Return what a map of a record holds; ``wire.NO_KIND`` where its values have another type than they may."""
    if field == wire.RECORD_CONTINUOUS:
        if value_type == wire.DOUBLE:
            return wire.ID_DOUBLES
        return wire.ID_FLOATS if value_type == wire.I32 else wire.NO_KIND
    if field == wire.RECORD_DISCRETE:
        return wire.ID_LONGS if value_type == wire.I64 else wire.NO_KIND
    if value_type == wire.STRING:
        if field in (wire.RECORD_STRINGS, wire.RECORD_BLOBS, wire.COMPACT_BLOBS):
            return wire.ID_STRINGS
    elif value_type == wire.SET:
        if wire.RECORD_SPARSE_BINARY <= field <= wire.RECORD_TENSORS:
            return wire.ID_SETS
    elif value_type == wire.MAP:
        if field == wire.RECORD_SPARSE_CONTINUOUS or (
            wire.RECORD_SPARSE_TENSORS <= field <= wire.COMPACT_SPARSE_64
        ):
            return wire.ID_MAPS
    elif value_type == wire.STRUCT:
        if field in (wire.RECORD_TENSORS, wire.COMPACT_TENSORS):
            return wire.ID_TENSORS
        if field in (wire.RECORD_SPARSE_TENSORS, wire.COMPACT_SPARSE_TENSORS):
            return wire.ID_SPARSE_TENSORS
    return wire.NO_KIND


@inner
def set_type(field: int) -> int:
    """Return the wire type of the elements of the sets in a record's field."""
    if field == wire.RECORD_SPARSE_BINARY:
        return wire.STRING
    if field == wire.COMPACT_SETS_16:
        return wire.I16
    return wire.I32 if field == wire.COMPACT_SETS_32 else wire.I64


@inner
def map_types(field: int) -> tuple[int, int]:
    """Return the wire types of the keys and values of the maps in a record's field."""
    if field == wire.RECORD_SPARSE_CONTINUOUS:
        return wire.STRING, wire.DOUBLE
    if field == wire.COMPACT_MAPS:
        return wire.STRING, wire.I32
    if field == wire.COMPACT_SPARSE_16:
        return wire.I16, wire.I32
    return wire.I32 if field == wire.COMPACT_SPARSE_32 else wire.I64, wire.I32


@inner
def walk_keys(payload: bytes, offset: int, count: int, key_type: int, value_size: int) -> tuple[int, int]:
    """Pass over the keys of a sparse feature, and the value of fixed size that follows each."""
    if key_type != wire.STRING:
        return wire.OK, offset + count * (fixed_size(key_type) + value_size)
    for _ in range(count):
        status, offset, length = open_string(payload, offset)
        if status != wire.OK:
            return status, offset
        offset += length
        if value_size > len(payload) - offset:
            return wire.TRUNCATED, offset
        offset += value_size
    return wire.OK, offset


@inner
def walk_tensor(payload: bytes, offset: int, feature_id: int, plan: Any, scratch: Any) -> tuple[int, int]:
    """Pass over a GeneralTensor and compare it with the tensors that it is for."""
    status, offset, form, values, length = open_tensor(payload, offset, scratch)
    if status != wire.OK:
        return status, offset
    for index in range(get(plan, _plan.NUM_EMBEDDINGS)):
        at = get(plan, _plan.EMBEDDINGS_AT) + index * _plan.EMBEDDING_FIELDS
        if get(plan, at + _plan.FEATURE_ID) == feature_id:
            status = check_length(form, length, get(plan, at + _plan.EMBEDDING_WIDTH), get(plan, _plan.EXACT))
            if status != wire.OK:
                return status, values
    return wire.OK, offset


@inner
def walk_sparse_tensor(
    payload: bytes, offset: int, feature_id: int, plan: Any, scratch: Any
) -> tuple[int, int]:
    """Pass over a SparseTensor and compare it with the tensors that it is for."""
    status, offset, coo = open_sparse(payload, offset, scratch)
    if status != wire.OK:
        return status, offset
    for index in range(get(plan, _plan.NUM_EMBEDDINGS)):
        at = get(plan, _plan.EMBEDDINGS_AT) + index * _plan.EMBEDDING_FIELDS
        if get(plan, at + _plan.FEATURE_ID) == feature_id:
            status, wrong = check_sparse(
                payload, coo, get(plan, at + _plan.EMBEDDING_WIDTH), get(plan, _plan.EXACT)
            )
            if status != wire.OK:
                return status, wrong
    return wire.OK, offset


@inner
def walk_varying(
    payload: bytes, offset: int, count: int, kind: int, field: int, plan: Any, scratch: Any
) -> tuple[int, int]:
    """Pass over the pairs of a map whose values vary in size."""
    for _ in range(count):
        if len(payload) - offset < 8:
            return wire.TRUNCATED, offset
        value = offset + 8
        if kind == wire.ID_STRINGS:
            status, offset, length = open_string(payload, value)
            offset += length
        elif kind == wire.ID_TENSORS:
            status, offset = walk_tensor(payload, value, read_i64(payload, offset), plan, scratch)
        elif kind == wire.ID_SPARSE_TENSORS:
            status, offset = walk_sparse_tensor(payload, value, read_i64(payload, offset), plan, scratch)
        elif kind == wire.ID_SETS:
            key_type = set_type(field)
            status, offset, length = open_list(payload, value, key_type)
            if status == wire.OK:
                status, offset = walk_keys(payload, offset, length, key_type, 0)
        else:
            key_type, value_type = map_types(field)
            status, offset, length = open_map(payload, value, key_type, value_type)
            if status == wire.OK:
                status, offset = walk_keys(payload, offset, length, key_type, fixed_size(value_type))
        if status != wire.OK:
            return status, offset
    return wire.OK, offset


@inner
def open_known(payload: bytes, offset: int, field: int) -> tuple[int, int, int, int]:
    """Read the header of a known field's map: answers its kind and its number of pairs.

    The payload holds at least the fewest bytes that so many pairs take.
    """
    left = len(payload) - offset - wire.MAP_HEADER_BYTES
    if left < 0:
        return wire.TRUNCATED, offset, wire.NO_KIND, 0
    count = read_i32(payload, offset + 2)
    if count < 0:
        return wire.NEGATIVE_COUNT, offset + 2, wire.NO_KIND, 0
    if count == 0:
        return wire.OK, offset + wire.MAP_HEADER_BYTES, wire.NO_KIND, 0
    if read_u8(payload, offset) != wire.I64:
        return wire.WRONG_TYPE, offset, wire.NO_KIND, 0
    value_type = read_u8(payload, offset + 1)
    kind = map_kind(field, value_type)
    if kind == wire.NO_KIND:
        return wire.WRONG_TYPE, offset + 1, wire.NO_KIND, 0
    if count * (8 + min_size(value_type)) > left:
        return wire.COUNT_TOO_LARGE, offset + 2, wire.NO_KIND, 0
    return wire.OK, offset + wire.MAP_HEADER_BYTES, kind, count


@inner
def is_compact_field(payload: bytes, offset: int, field: int, wire_type: int) -> bool:
    """Tell whether a field from 10 on is one of a CompactDataRecord: its value has that one's types."""
    if wire_type != wire.MAP or field < wire.COMPACT_SPARSE_16 or field > wire.COMPACT_SPARSE_TENSORS:
        return False
    if len(payload) - offset < wire.MAP_HEADER_BYTES:
        return False
    return (
        read_u8(payload, offset) == wire.I64 and map_kind(field, read_u8(payload, offset + 1)) != wire.NO_KIND
    )


@inner
def walk_record(payload: bytes, offset: int, plan: Any, scratch: Any) -> tuple[int, int]:
    """Go through a record and refuse what is wrong with it.

    Parameters
    ----------
    payload, offset
        The record's first byte.
    plan
        The frozen layout: which tensors the record's tensors are for.
    scratch
        Gets what each field holds, the number of its elements and the first one's offset. Of a repeated
        field that is the last one: it counts.

    Returns
    -------
    status, offset
        ``wire.OK`` and the byte after the record; else what is wrong and where.
    """
    for field in range(_plan.NUM_FIELDS):
        put(scratch, _plan.FIELDS_AT + _plan.FIELD_SPAN * field + 1, 0)
    while True:
        start = offset
        status, offset, wire_type, field = open_field(payload, offset)
        if status != wire.OK:
            return status, offset
        if wire_type == wire.STOP:
            return wire.OK, offset
        kind = wire.NO_KIND
        count = 0
        at = offset
        if field == wire.RECORD_BINARY:
            if wire_type != wire.SET:
                return wire.WRONG_TYPE, start
            kind = wire.IDS
            status, at, count = open_list(payload, offset, wire.I64)
            offset = at + 8 * count
        elif wire.RECORD_CONTINUOUS <= field <= wire.RECORD_SPARSE_TENSORS or is_compact_field(
            payload, offset, field, wire_type
        ):
            if wire_type != wire.MAP:
                return wire.WRONG_TYPE, start
            status, at, kind, count = open_known(payload, offset, field)
            if status != wire.OK:
                return status, at
            if kind in (wire.ID_DOUBLES, wire.ID_LONGS):
                offset = at + 16 * count
            elif kind == wire.ID_FLOATS:
                offset = at + 12 * count
            else:
                status, offset = walk_varying(payload, at, count, kind, field, plan, scratch)
        else:
            status, offset = skip(payload, offset, wire_type, scratch)
            if status != wire.OK:
                return status, offset
            continue
        if status != wire.OK:
            return status, offset
        span = _plan.FIELDS_AT + _plan.FIELD_SPAN * field
        put(scratch, span, kind)
        put(scratch, span + 1, count)
        put(scratch, span + 2, at)
