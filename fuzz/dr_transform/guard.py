"""Memory that ends where the process may not read on: one byte too far is a crash, not luck."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any

PAGE = mmap.PAGESIZE
_NONE, _READ_WRITE = 0, mmap.PROT_READ | mmap.PROT_WRITE
_FIXED = 0x10
_FAILED = ctypes.c_void_p(-1).value


def _map(address: int | None, size: int, protection: int, flags: int, file: int, offset: int) -> int:
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    found = function(address, size, protection, flags, file, offset)
    if found is None or found == _FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


class Guarded:
    """Pages between two that can be neither read nor written. Never given back: views of it may live on.

    Parameters
    ----------
    size_bytes
        At least so many; whole pages are taken.
    file, offset
        A descriptor of a file whose pages they are, from a page on, for others to see what was there when the
        process died; -1: nobody's.
    """

    def __init__(self, size_bytes: int, file: int = -1, offset: int = 0) -> None:
        self.size = max(1, -(-size_bytes // PAGE)) * PAGE
        reserve = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = _map(None, self.size + 2 * PAGE, _NONE, reserve, -1, 0) + PAGE
        shared = mmap.MAP_SHARED if file >= 0 else reserve
        _map(start, self.size, _READ_WRITE, shared | _FIXED, file, offset)
        self.address = start
        self._view = memoryview((ctypes.c_ubyte * self.size).from_address(start)).cast("B")

    def last(self, size: int) -> memoryview:
        """Return the last bytes: what follows them cannot be read."""
        return self._view[self.size - size :]

    def first(self, size: int) -> memoryview:
        """Return the first bytes: what precedes them cannot be read."""
        return self._view[:size]


def array_at_end(region: Guarded, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array whose last element is the last before the guard."""
    import numpy as np

    count = int(np.prod(shape))
    return np.frombuffer(region.last(count * np.dtype(dtype).itemsize), dtype).reshape(shape)
