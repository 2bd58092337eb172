"""Reads, writes and lookups of the kernels: machine instructions (``_intrinsics``) or their twins (``_plain_memory``).

Nothing else touches memory. Compiled, nothing here checks a bound: the kernels have checked a container once,
and what is written goes to offsets that were proved to lie in their rows when the layout was frozen
(``tables``). The twins, which stand here with ``NUMBA_DISABLE_JIT=1``, check every access, so that running the
kernels as plain Python proves that the checks are there.

*Rows*: ``rows_of`` makes of NumPy arrays what kernels write to: (address, bytes of a row, number of rows) of
each; the twin holds views of their bytes. ``set_row`` makes a tensor's those of another, writeable array;
``row_of`` gives one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from navi_dr_transform._accelerate import JIT

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

if TYPE_CHECKING:

    def read_u8(payload: bytes, offset: int) -> int: ...
    def read_i16(payload: bytes, offset: int) -> int: ...
    def read_i32(payload: bytes, offset: int) -> int: ...
    def read_i64(payload: bytes, offset: int) -> int: ...
    def read_raw_i32(payload: bytes, offset: int) -> int: ...
    def read_raw_i64(payload: bytes, offset: int) -> int: ...
    def read_f32(payload: bytes, offset: int) -> float: ...
    def read_f64(payload: bytes, offset: int) -> float: ...
    def read_raw_f32(payload: bytes, offset: int) -> float: ...
    def read_raw_f64(payload: bytes, offset: int) -> float: ...
    def write_f32(row: Any, offset: int, value: float) -> None: ...
    def write_f64(row: Any, offset: int, value: float) -> None: ...
    def write_i64(row: Any, offset: int, value: int) -> None: ...
    def write_i32(row: Any, offset: int, value: int) -> None: ...
    def write_u8(row: Any, offset: int, value: int) -> None: ...
    def write_f32_if(wanted: bool, row: Any, offset: int, value: float, scratch: Any) -> None: ...
    def write_i64_if(wanted: bool, row: Any, offset: int, value: int, scratch: Any) -> None: ...
    def get(array: Any, index: int) -> int: ...
    def put(array: Any, index: int, value: int) -> None: ...
    def wrapping_multiply(left: int, right: int) -> int: ...
    def shift_right(value: int, bits: int) -> int: ...
    def copy_row(target: Any, source: Any, size: int) -> None: ...
    def prefetch(row: Any, offset: int) -> None: ...
    def row_of(rows: Any, tensor: int, row: int) -> Any: ...
    def row_bytes_of(rows: Any, tensor: int) -> int: ...
    def num_rows_of(rows: Any, tensor: int) -> int: ...
    def rows_of(arrays: Sequence[Any]) -> Any: ...
    def set_row(rows: Any, tensor: int, arrays: Sequence[Any], row_bytes: int, num_rows: int) -> None: ...

elif JIT:
    from navi_dr_transform._intrinsics import (
        copy_row,
        get,
        num_rows_of,
        prefetch,
        put,
        read_f32,
        read_f64,
        read_i16,
        read_i32,
        read_i64,
        read_raw_f32,
        read_raw_f64,
        read_raw_i32,
        read_raw_i64,
        read_u8,
        row_bytes_of,
        row_of,
        rows_of,
        set_row,
        shift_right,
        wrapping_multiply,
        write_f32,
        write_f32_if,
        write_f64,
        write_i32,
        write_i64,
        write_i64_if,
        write_u8,
    )
else:
    from navi_dr_transform._plain_memory import (
        copy_row,
        get,
        num_rows_of,
        prefetch,
        put,
        read_f32,
        read_f64,
        read_i16,
        read_i32,
        read_i64,
        read_raw_f32,
        read_raw_f64,
        read_raw_i32,
        read_raw_i64,
        read_u8,
        row_bytes_of,
        row_of,
        rows_of,
        set_row,
        shift_right,
        wrapping_multiply,
        write_f32,
        write_f32_if,
        write_f64,
        write_i32,
        write_i64,
        write_i64_if,
        write_u8,
    )
