"""Kernels that write a number as the element type of its tensor.

Integers wrap; floats lose their fraction where the tensor holds integers, and what is not finite or does not fit
becomes 0 there.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import inner
from navi_dr_transform._memory import write_f32, write_f64, write_i32, write_i64, write_u8

__all__ = ["element_size", "write_bits", "write_number", "write_whole"]


@inner
def element_size(dtype: int) -> int:
    """Return the bytes of an element type."""
    if dtype == _plan.U8:
        return 1
    return 4 if dtype in (_plan.F32, _plan.I32) else 8


@inner
def write_bits(row: Any, place: int, dtype: int, bits: int) -> None:
    """Write an element that is given by its bits."""
    size = element_size(dtype)
    if size == 8:
        write_i64(row, place, bits)
    elif size == 4:
        write_i32(row, place, bits)
    else:
        write_u8(row, place, bits)


@inner
def write_whole(row: Any, place: int, dtype: int, value: int) -> None:
    """Write an integer as the row's element type."""
    if dtype == _plan.I64:
        write_i64(row, place, value)
    elif dtype == _plan.I32:
        write_i32(row, place, value)
    elif dtype == _plan.F32:
        write_f32(row, place, float(value))
    else:
        write_f64(row, place, float(value))


@inner
def write_number(row: Any, place: int, dtype: int, value: float) -> None:
    """Write a double as the row's element type."""
    if dtype == _plan.F32:
        write_f32(row, place, value)
    elif dtype == _plan.F64:
        write_f64(row, place, value)
    else:
        whole = wire.BEGIN
        if dtype == _plan.I64:
            if -9223372036854775808.0 <= value < 9223372036854775808.0:
                whole = int(value)
        elif -2147483649.0 < value < 2147483648.0:
            whole = int(value)
        write_whole(row, place, dtype, whole)
