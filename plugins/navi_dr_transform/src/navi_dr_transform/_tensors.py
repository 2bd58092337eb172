"""Kernels for tensor.thrift: a GeneralTensor or SparseTensor is opened where it lies and checked.

The rules are those of ``_protocol``.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import wire
from navi_dr_transform._accelerate import inner
from navi_dr_transform._memory import read_i32, read_i64
from navi_dr_transform._protocol import fixed_size, open_field, open_list, open_string, skip

__all__ = ["check_length", "check_sparse", "open_sparse", "open_tensor"]


@inner
def element_type(member: int) -> int:
    """Return the wire type of a typed tensor's elements."""
    if member in (wire.TENSOR_FLOAT, wire.TENSOR_DOUBLE):
        return wire.DOUBLE
    if member == wire.TENSOR_INT32:
        return wire.I32
    if member == wire.TENSOR_INT64:
        return wire.I64
    if member == wire.TENSOR_BOOL:
        return wire.BOOL
    return wire.STRING


@inner
def element_form(member: int) -> int:
    """Return how a typed tensor's elements lie in the payload."""
    if member in (wire.TENSOR_FLOAT, wire.TENSOR_DOUBLE):
        return wire.DOUBLES
    if member == wire.TENSOR_INT32:
        return wire.INTS
    if member == wire.TENSOR_INT64:
        return wire.LONGS
    return wire.NOT_NUMBERS


@inner
def raw_form(data_type: int) -> tuple[int, int]:
    """Return how a raw tensor's elements lie in the payload, and the bytes of each."""
    if data_type == wire.RAW_FLOAT:
        return wire.RAW_FLOATS, 4
    if data_type == wire.RAW_DOUBLE:
        return wire.RAW_DOUBLES, 8
    if data_type == wire.RAW_INT32:
        return wire.RAW_INTS, 4
    if data_type == wire.RAW_INT64:
        return wire.RAW_LONGS, 8
    if data_type == wire.RAW_UINT8:
        return wire.RAW_BYTES, 1
    return wire.NOT_NUMBERS, 1


@inner
def skip_rest(
    payload: bytes, start: int, offset: int, wire_type: int, is_shape: int, scratch: Any
) -> tuple[int, int]:
    """Pass over a field that has no values: the shape, which must be one, or an unknown field.

    ``start`` is the field's first byte, ``offset`` its value's.
    """
    if not is_shape:
        return skip(payload, offset, wire_type, scratch)
    if wire_type != wire.LIST:
        return wire.WRONG_TYPE, start
    status, offset, count = open_list(payload, offset, wire.I64)
    return status, offset + 8 * count


@inner
def open_raw(payload: bytes, offset: int, scratch: Any) -> tuple[int, int, int, int, int]:
    """Open a RawTypedTensor; answers as ``open_tensor``."""
    data_type = wire.ABSENT
    has_type = False
    values = wire.ABSENT
    size = 0
    while True:
        start = offset
        status, offset, wire_type, field = open_field(payload, offset)
        if status != wire.OK:
            return status, offset, 0, 0, 0
        if wire_type == wire.STOP:
            if not has_type or values < 0:
                return wire.MISSING_FIELD, start, 0, 0, 0
            form, width = raw_form(data_type)
            if size % width != 0:
                return wire.RAW_SIZE, values, 0, 0, 0
            return wire.OK, offset, form, values, size // width
        if field == wire.RAW_DATA_TYPE:
            if wire_type != wire.I32:
                return wire.WRONG_TYPE, start, 0, 0, 0
            if len(payload) - offset < 4:
                return wire.TRUNCATED, offset, 0, 0, 0
            data_type = read_i32(payload, offset)
            has_type = True
            offset += 4
        elif field == wire.RAW_CONTENT:
            if wire_type != wire.STRING:
                return wire.WRONG_TYPE, start, 0, 0, 0
            status, values, size = open_string(payload, offset)
            if status != wire.OK:
                return status, values, 0, 0, 0
            offset = values + size
        else:
            status, offset = skip_rest(payload, start, offset, wire_type, field == wire.RAW_SHAPE, scratch)
            if status != wire.OK:
                return status, offset, 0, 0, 0


@inner
def open_typed(payload: bytes, offset: int, member: int, scratch: Any) -> tuple[int, int, int, int, int]:
    """Open a typed tensor (the union's ``member``); answers as ``open_tensor``."""
    values = wire.ABSENT
    count = 0
    while True:
        start = offset
        status, offset, wire_type, field = open_field(payload, offset)
        if status != wire.OK:
            return status, offset, 0, 0, 0
        if wire_type == wire.STOP:
            if values < 0:
                return wire.MISSING_FIELD, start, 0, 0, 0
            return wire.OK, offset, element_form(member), values, count
        if field == wire.VALUES:
            if wire_type != wire.LIST:
                return wire.WRONG_TYPE, start, 0, 0, 0
            element = element_type(member)
            status, values, count = open_list(payload, offset, element)
            if status != wire.OK:
                return status, values, 0, 0, 0
            if element == wire.STRING:
                status, offset = skip(payload, offset, wire_type, scratch)
                if status != wire.OK:
                    return status, offset, 0, 0, 0
            else:
                offset = values + count * fixed_size(element)
        else:
            status, offset = skip_rest(payload, start, offset, wire_type, field == wire.SHAPE, scratch)
            if status != wire.OK:
                return status, offset, 0, 0, 0


@inner
def open_tensor(payload: bytes, offset: int, scratch: Any) -> tuple[int, int, int, int, int]:
    """Open a GeneralTensor; its elements stay where they are.

    Returns
    -------
    status, offset, form, values, count
        ``form`` is how the elements lie (``wire.DOUBLES``...), ``values`` where the first one begins,
        ``count`` their number. All ``count`` elements are inside the payload.
    """
    form = values = count = members = 0
    while True:
        start = offset
        status, offset, wire_type, member = open_field(payload, offset)
        if status != wire.OK:
            return status, offset, 0, 0, 0
        if wire_type == wire.STOP:
            if members != 1:
                return wire.NOT_ONE_MEMBER, start, 0, 0, 0
            return wire.OK, offset, form, values, count
        members += 1
        if members > 1 or member < wire.TENSOR_RAW or member > wire.TENSOR_BINARY:
            return wire.NOT_ONE_MEMBER, start, 0, 0, 0
        if wire_type != wire.STRUCT:
            return wire.WRONG_TYPE, start, 0, 0, 0
        if member == wire.TENSOR_RAW:
            status, offset, form, values, count = open_raw(payload, offset, scratch)
        else:
            status, offset, form, values, count = open_typed(payload, offset, member, scratch)
        if status != wire.OK:
            return status, offset, 0, 0, 0


@inner
def check_length(form: int, count: int, width: int, exact: int) -> int:
    """Compare a tensor's length with the width of the embedding that it is for.

    What holds no numbers has no length: it becomes zeros.
    """
    if form == wire.NOT_NUMBERS:
        return wire.OK
    if count < width:
        return wire.EMBEDDING_SHORT
    if exact and count > width:
        return wire.EMBEDDING_LONG
    return wire.OK


@inner
def open_coo(
    payload: bytes, offset: int, scratch: Any
) -> tuple[int, int, tuple[int, int, int, int, int, int, int]]:
    """Open a COOSparseTensor; answers as ``open_sparse``."""
    shape = indices = has_values = wire.ABSENT
    rank = num_indices = form = values = count = 0
    while True:
        start = offset
        status, offset, wire_type, field = open_field(payload, offset)
        if status != wire.OK:
            return status, offset, (0, 0, 0, 0, 0, 0, 0)
        if wire_type == wire.STOP:
            if shape < 0 or indices < 0 or has_values < 0:
                return wire.MISSING_FIELD, start, (0, 0, 0, 0, 0, 0, 0)
            return wire.OK, offset, (shape, rank, indices, num_indices, form, values, count)
        if field == wire.COO_SHAPE:
            if wire_type != wire.LIST:
                return wire.WRONG_TYPE, start, (0, 0, 0, 0, 0, 0, 0)
            status, shape, rank = open_list(payload, offset, wire.I64)
            offset = shape + 8 * rank
        elif field in (wire.COO_INDICES, wire.COO_VALUES):
            if wire_type != wire.STRUCT:
                return wire.WRONG_TYPE, start, (0, 0, 0, 0, 0, 0, 0)
            if field == wire.COO_INDICES:
                status, offset, _, indices, num_indices = open_typed(
                    payload, offset, wire.TENSOR_INT64, scratch
                )
            else:
                status, offset, form, values, count = open_tensor(payload, offset, scratch)
                has_values = field
        else:
            status, offset = skip(payload, offset, wire_type, scratch)
        if status != wire.OK:
            return status, offset, (0, 0, 0, 0, 0, 0, 0)


@inner
def open_sparse(
    payload: bytes, offset: int, scratch: Any
) -> tuple[int, int, tuple[int, int, int, int, int, int, int]]:
    """Open a SparseTensor; its elements stay where they are.

    Returns
    -------
    status, offset, coo
        ``coo``: where the lengths of the dense dimensions begin and their number, where the indices begin and
        their number, and the values' form, place and number as ``open_tensor`` answers.
    """
    coo = (0, 0, 0, 0, 0, 0, 0)
    members = 0
    while True:
        start = offset
        status, offset, wire_type, member = open_field(payload, offset)
        if status != wire.OK:
            return status, offset, coo
        if wire_type == wire.STOP:
            if members != 1:
                return wire.NOT_ONE_MEMBER, start, coo
            return wire.OK, offset, coo
        members += 1
        if members > 1 or member != wire.SPARSE_COO:
            return wire.NOT_ONE_MEMBER, start, coo
        if wire_type != wire.STRUCT:
            return wire.WRONG_TYPE, start, coo
        status, offset, coo = open_coo(payload, offset, scratch)
        if status != wire.OK:
            return status, offset, coo


@inner
def check_sparse(
    payload: bytes, coo: tuple[int, int, int, int, int, int, int], width: int, exact: int
) -> tuple[int, int]:
    """Compare a sparse tensor with the width of the row that it is for, and its indices with its shape.

    Answers the status, and where what is wrong begins. What holds no numbers becomes zeros, whatever its
    indices say.
    """
    shape, rank, indices, num_indices, form, _, count = coo
    if form == wire.NOT_NUMBERS:
        return wire.OK, shape
    length = wire.ONE
    for dimension in range(rank):
        extent = read_i64(payload, shape + 8 * dimension)
        if extent < 0 or extent > wire.MAX_DENSE:
            return wire.SPARSE_SHAPE, shape + 8 * dimension
        length *= extent
        if length > wire.MAX_DENSE:
            return wire.SPARSE_SHAPE, shape + 8 * dimension
    status = check_length(form, length, width, exact)
    if status != wire.OK:
        return status, shape
    if num_indices != rank * count:
        return wire.SPARSE_INDICES, indices
    for index in range(num_indices):
        value = read_i64(payload, indices + 8 * index)
        if value < 0 or value >= read_i64(payload, shape + 8 * (index % rank)):
            return wire.SPARSE_INDICES, indices + 8 * index
    return wire.OK, shape
