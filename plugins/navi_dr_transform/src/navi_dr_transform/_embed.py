"""Kernels that write the elements of a tensor into a row, whatever their form, as the row's element type.

What holds no numbers becomes zeros, as in Navi.

The rules are those of ``_protocol``; ``_tensors`` has checked every length.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import inner
from navi_dr_transform._memory import (
    read_f64,
    read_i32,
    read_i64,
    read_raw_f32,
    read_raw_f64,
    read_raw_i32,
    read_raw_i64,
    read_u8,
    write_f32,
)
from navi_dr_transform._numbers import element_size, write_number, write_whole

__all__ = ["write_sparse", "write_values"]


@inner
def is_whole(form: int) -> bool:
    """Tell whether a tensor's elements are integers."""
    return form in (wire.INTS, wire.LONGS, wire.RAW_INTS, wire.RAW_LONGS, wire.RAW_BYTES)


@inner
def read_whole(payload: bytes, form: int, values: int, index: int) -> int:
    """Read an element that is an integer."""
    if form == wire.INTS:
        return read_i32(payload, values + 4 * index)
    if form == wire.LONGS:
        return read_i64(payload, values + 8 * index)
    if form == wire.RAW_INTS:
        return read_raw_i32(payload, values + 4 * index)
    if form == wire.RAW_LONGS:
        return read_raw_i64(payload, values + 8 * index)
    return read_u8(payload, values + index)


@inner
def read_number(payload: bytes, form: int, values: int, index: int) -> float:
    """Read any element as a double."""
    if form == wire.DOUBLES:
        return read_f64(payload, values + 8 * index)
    if form == wire.RAW_FLOATS:
        return float(read_raw_f32(payload, values + 4 * index))
    if form == wire.RAW_DOUBLES:
        return read_raw_f64(payload, values + 8 * index)
    return float(read_whole(payload, form, values, index))


@inner
def write_element(
    payload: bytes, form: int, values: int, index: int, row: Any, column: int, dtype: int
) -> None:
    """Write one element of a tensor into a column."""
    place = column * element_size(dtype)
    if is_whole(form) and dtype in (_plan.I64, _plan.I32):
        write_whole(row, place, dtype, read_whole(payload, form, values, index))
    else:
        write_number(row, place, dtype, read_number(payload, form, values, index))


@inner
def write_zeros(row: Any, width: int, dtype: int) -> None:
    """Fill a row with zeros."""
    size = element_size(dtype)
    for column in range(width):
        write_whole(row, size * column, dtype, wire.BEGIN)


@inner
def write_values(payload: bytes, form: int, values: int, row: Any, width: int, dtype: int) -> None:
    """Write a tensor's first elements into a row.

    Parameters
    ----------
    payload
        The request.
    form
        How the elements lie.
    values
        Where the first one begins; there are at least as many as the row is wide.
    row
        **Written**.
    width, dtype
        The row's columns and their type.
    """
    if form == wire.NOT_NUMBERS:
        write_zeros(row, width, dtype)
    elif dtype == _plan.F32 and form == wire.DOUBLES:  # what producers write: a loop that is vectorised
        for column in range(width):
            write_f32(row, 4 * column, read_f64(payload, values + 8 * column))
    elif dtype == _plan.F32 and form == wire.RAW_FLOATS:
        for column in range(width):
            write_f32(row, 4 * column, float(read_raw_f32(payload, values + 4 * column)))
    else:
        for column in range(width):
            write_element(payload, form, values, column, row, column, dtype)


@inner
def write_sparse(
    payload: bytes, coo: tuple[int, int, int, int, int, int, int], row: Any, width: int, dtype: int
) -> None:
    """Write a sparse tensor into a row: its values at their places, zeros elsewhere.

    Its dimensions are laid out as C does. Of two values for one place the last one counts; places beyond the
    row are ignored.
    """
    shape, rank, indices, _, form, values, count = coo
    write_zeros(row, width, dtype)
    if form == wire.NOT_NUMBERS:
        return
    for index in range(count):
        column = wire.BEGIN
        for dimension in range(rank):
            extent = read_i64(payload, shape + 8 * dimension)
            column = column * extent + read_i64(payload, indices + 8 * (index * rank + dimension))
        if column < width:
            write_element(payload, form, values, index, row, column, dtype)
