"""Numba's decorators, types and reads: the only module that imports Numba, and so the only policy.

Kernels have explicit signatures, so they are compiled, or loaded from the cache, when ``_kernels`` is
imported: while a model loads, never on the request path. They release the GIL. ``NUMBA_DISABLE_JIT=1``
leaves every kernel a plain Python function with the same results.

The cache lies in ``$NAVI_CACHE_DIR``, else where ``$NUMBA_CACHE_DIR`` says, else under the user's cache
directory (``$XDG_CACHE_HOME`` or ``~/.cache``); never beside the installed source, and never in a place
that other users can write to, because Numba unpickles what it finds. Where none can be written, kernels
are compiled anew in every process. Numba notices changes of the file that holds a kernel, not of the
constants and reads it was compiled with, so the directory's name carries a digest of all of them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

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
    "cache_directory",
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

_KEYED_BY: Final = (
    "_accelerate.py",
    "_kernels.py",
    "_protocol.py",
    "_tensors.py",
    "wire.py",
)


def answers(count: int) -> Any:
    """Return the type of a tuple of ``count`` integers."""
    return types.UniTuple(types.int64, count)


def cache_directory() -> Path | None:
    """Return the directory of compiled kernels, made if need be; None where none can be written."""
    root = os.environ.get("NAVI_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    if root:
        base = Path(root)
    else:
        home = os.environ.get("XDG_CACHE_HOME", "")
        try:
            base = (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "navi"
        except RuntimeError:  # no home directory is known
            return None
    digest = hashlib.sha256()
    for name in _KEYED_BY:
        digest.update((Path(__file__).parent / name).read_bytes())
    directory = base / "kernels" / f"navi_dr_transform-{digest.hexdigest()[:16]}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return None if directory.stat().st_mode & stat.S_IWOTH else directory
    except OSError:
        return None


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
        # where the cache lies is a setting of the process, read when a function is decorated
        before = _config.CACHE_DIR
        if _DIRECTORY is not None:
            _config.CACHE_DIR = str(_DIRECTORY)
        try:
            compiled: _F = numba.njit(signature, nogil=True, cache=_DIRECTORY is not None)(function)
        finally:
            _config.CACHE_DIR = before
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
