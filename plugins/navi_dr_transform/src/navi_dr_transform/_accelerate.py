"""Numba's decorators, types and reads: with ``_disk_cache`` all that imports Numba, and so the only policy.

Kernels have explicit signatures, so they are compiled, or loaded from the cache (``kernel_cache``), when
``_kernels`` is imported: while a model loads, never on the request path. They release the GIL.
``NUMBA_DISABLE_JIT=1`` leaves every kernel a plain Python function with the same results.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from navi_dr_transform._disk_cache import compile_or_load
from navi_dr_transform.kernel_cache import cache_directory

__all__ = [
    "FLOAT_ROWS",
    "INT",
    "INTS",
    "INT_ROWS",
    "JIT",
    "NONE",
    "PAYLOAD",
    "TENSORS",
    "answers",
    "inner",
    "kernel",
    "read_f64",
    "read_i16",
    "read_i32",
    "read_i64",
    "read_raw_f32",
    "read_raw_f64",
    "read_raw_i32",
    "read_raw_i64",
    "read_u8",
]

# Numba's declared types cover a part of it only
types: Any = numba.types
_config: Any = numba.config

_F = TypeVar("_F", bound=Callable[..., Any])

JIT: Final = not _config.DISABLE_JIT
"""False under NUMBA_DISABLE_JIT."""

PAYLOAD: Final = types.Bytes(types.uint8, 1, "C")
"""A ``bytes`` object: passed as it is, read in place."""
INT: Final = types.int64
NONE: Final = types.void
INTS: Final = types.Array(types.int64, 1, "C", readonly=True)
FLOAT_ROWS: Final = types.Array(types.float32, 2, "C")
INT_ROWS: Final = types.Array(types.int64, 2, "C")
TENSORS: Final = types.Tuple((FLOAT_ROWS, INT_ROWS, INT_ROWS, FLOAT_ROWS, FLOAT_ROWS, FLOAT_ROWS))
"""A layout's tensors in the order of their kinds."""


def answers(count: int) -> Any:
    """Return the type of a tuple of ``count`` integers."""
    return types.UniTuple(types.int64, count)


_DIRECTORY: Final = cache_directory() if JIT else None


def kernel(signature: Any) -> Callable[[_F], _F]:
    """Compile a function for one signature, or load it from the cache.

    Parameters
    ----------
    signature
        ``result(arguments...)`` of this module's types.
    """

    def decorate(function: _F) -> _F:
        if not JIT:
            # compiled code casts and wraps silently
            plain: _F = np.errstate(all="ignore")(function)
            return plain
        compiled: _F = compile_or_load(function, signature, _DIRECTORY)
        return compiled

    return decorate


def inner(function: _F) -> _F:
    """Compile a function as part of the kernels that call it; it has no entry of its own."""
    if not JIT:
        return function
    # the last two are options of Numba's CPU target, which its declared types leave out
    options: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiled: _F = numba.njit(**options)(function)
    return compiled


# --- reads: one unaligned load each; the caller has checked the bounds ------------------------------------


def _load(bits: int, byteorder: str, result: Any) -> Any:
    """Make an intrinsic that reads one number of ``bits`` from a payload at an offset."""

    def read(_context: Any, _payload: Any, _offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            make: Any = cgutils.create_struct_proxy
            buffer = make(signature.args[0])(context, builder, arguments[0])
            pointer = builder.gep(buffer.data, [arguments[1]])
            raw = builder.load(builder.bitcast(pointer, ir.IntType(bits).as_pointer()))
            raw.align = 1
            value = builder.bswap(raw) if bits > 8 and byteorder != sys.byteorder else raw
            if isinstance(result, types.Float):
                return builder.bitcast(value, ir.DoubleType() if bits == 64 else ir.FloatType())
            if bits == 64:
                return value
            widen = builder.sext if bits > 8 else builder.zext
            return widen(value, ir.IntType(64))

        return result(PAYLOAD, INT), generate

    return intrinsic(read)


def _unpack(code: str, size: int) -> Callable[[bytes, int], Any]:
    """Make the plain twin of an intrinsic."""
    unpack = struct.Struct(code).unpack_from

    def read(payload: bytes, offset: int) -> Any:
        if offset < 0 or offset + size > len(payload):
            msg = f"read of {size} bytes at offset {offset} of a payload of {len(payload)} bytes"
            raise IndexError(msg)
        return unpack(payload, offset)[0]

    return read


if JIT:
    read_u8 = _load(8, "big", types.int64)
    read_i16 = _load(16, "big", types.int64)
    read_i32 = _load(32, "big", types.int64)
    read_i64 = _load(64, "big", types.int64)
    read_f64 = _load(64, "big", types.float64)
    read_raw_i32 = _load(32, "little", types.int64)
    read_raw_i64 = _load(64, "little", types.int64)
    read_raw_f32 = _load(32, "little", types.float32)
    read_raw_f64 = _load(64, "little", types.float64)
else:
    read_u8 = _unpack(">B", 1)
    read_i16 = _unpack(">h", 2)
    read_i32 = _unpack(">i", 4)
    read_i64 = _unpack(">q", 8)
    read_f64 = _unpack(">d", 8)
    read_raw_i32 = _unpack("<i", 4)
    read_raw_i64 = _unpack("<q", 8)
    read_raw_f32 = _unpack("<f", 4)
    read_raw_f64 = _unpack("<d", 8)
