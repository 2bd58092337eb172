"""What ``_memory`` is with ``NUMBA_DISABLE_JIT=1``: plain Python that checks every access."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

__all__ = [
    "copy_row",
    "get",
    "num_rows_of",
    "prefetch",
    "put",
    "read_f32",
    "read_f64",
    "read_i16",
    "read_i32",
    "read_i64",
    "read_raw_f32",
    "read_raw_f64",
    "read_raw_i32",
    "read_raw_i64",
    "read_u8",
    "row_bytes_of",
    "row_of",
    "rows_of",
    "set_row",
    "shift_right",
    "wrapping_multiply",
    "write_f32",
    "write_f32_if",
    "write_f64",
    "write_i32",
    "write_i64",
    "write_i64_if",
    "write_u8",
]

_UNSIGNED: Final = 2**64 - 1


def _checked(memory: Any, offset: int, size: int) -> None:
    if offset < 0 or offset + size > len(memory):
        msg = f"access of {size} bytes at offset {offset} of {len(memory)} bytes"
        raise IndexError(msg)


def _unpack(code: str) -> Callable[[bytes, int], Any]:
    """Make the plain twin of a read."""
    layout = struct.Struct(code)

    def read(payload: bytes, offset: int) -> Any:
        _checked(payload, offset, layout.size)
        return layout.unpack_from(payload, offset)[0]

    return read


def _pack(dtype: str) -> tuple[Any, Any]:
    """Make the plain twins of a write."""
    element: Any = np.dtype(dtype)

    def write(row: Any, offset: int, value: Any) -> None:
        _checked(row, offset, element.itemsize)
        if element.kind in "iu":  # as machine integers: what does not fit wraps
            data = (int(value) & (2 ** (8 * element.itemsize) - 1)).to_bytes(element.itemsize, sys.byteorder)
        else:
            data = np.asarray(value, np.float64).astype(element).tobytes()
        row[offset : offset + element.itemsize] = data

    def write_if(wanted: bool, row: Any, offset: int, value: Any, _scratch: Any) -> None:
        if wanted:
            write(row, offset, value)

    return write, write_if


def get(array: Any, index: int) -> int:
    _checked(array, index, 1)
    return int(array[index])


def put(array: Any, index: int, value: int) -> None:
    _checked(array, index, 1)
    array[index] = value


def wrapping_multiply(left: int, right: int) -> int:
    return left * right & _UNSIGNED


def shift_right(value: int, bits: int) -> int:
    return (value & _UNSIGNED) >> bits


def copy_row(target: Any, source: Any, size: int) -> None:
    _checked(target, 0, size)
    _checked(source, 0, size)
    target[:size] = source[:size]


def prefetch(row: Any, offset: int) -> None:
    """Do nothing: it is a hint, which may be about memory that is not there."""


def row_of(rows: Any, tensor: int, row: int) -> Any:
    _, views = rows[tensor]
    _checked(views, row, 1)
    return views[row]


def row_bytes_of(rows: Any, tensor: int) -> int:
    return int(rows[tensor][0])


def num_rows_of(rows: Any, tensor: int) -> int:
    return len(rows[tensor][1])


def rows_of(arrays: Sequence[Any]) -> Any:
    # each row is memory of its own: what is written cannot reach another
    return [
        (array.shape[1] * array.itemsize, [memoryview(row).cast("B") for row in array]) for array in arrays
    ]


def set_row(rows: Any, tensor: int, arrays: Sequence[Any], row_bytes: int, num_rows: int) -> None:
    (rows[tensor],) = rows_of([arrays[tensor]])
    if (row_bytes_of(rows, tensor), num_rows_of(rows, tensor)) != (row_bytes, num_rows):
        msg = f"expected {num_rows} rows of {row_bytes} bytes, got {arrays[tensor].shape}"
        raise IndexError(msg)


read_u8 = _unpack(">B")
read_i16 = _unpack(">h")
read_i32 = _unpack(">i")
read_i64 = _unpack(">q")
read_f32 = _unpack(">f")
read_f64 = _unpack(">d")
read_raw_i32 = _unpack("<i")
read_raw_i64 = _unpack("<q")
read_raw_f32 = _unpack("<f")
read_raw_f64 = _unpack("<d")
write_f32, write_f32_if = _pack("f4")
write_f64, _ = _pack("f8")
write_i64, write_i64_if = _pack("i8")
write_i32, _ = _pack("i4")
write_u8, _ = _pack("u1")
