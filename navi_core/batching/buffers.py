"""Reused memory for batches: allocating and faulting in fresh pages for every batch costs more than filling them.

A *lease* takes buffers from the pool for one batch. Whoever uses its arrays holds a share of it; when the
last share is given back, the buffers return to the pool. A share that is never given back costs the pool its
buffers and nothing else: they are freed with the arrays.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from navi_core.types import Array

__all__ = ["BufferPool", "Lease"]

_ALIGNMENT: Final = 64
_MIN_POOLED_BYTES: Final = 1 << 16
"""Smaller arrays are cheap to allocate."""


class BufferPool:
    """Buffers in size classes of powers of two. Thread-safe.

    Parameters
    ----------
    max_kept_bytes
        Buffers beyond this are freed instead of kept.
    poison
        Fill released memory with 0xFF bytes (NaN for every float type), so that whoever still reads it
        is found out. None: as the environment variable ``NAVI_DEBUG_BUFFERS`` says.
    """

    def __init__(self, max_kept_bytes: int = 256 << 20, *, poison: bool | None = None) -> None:
        self._max_kept_bytes = max_kept_bytes
        self._poison = os.environ.get("NAVI_DEBUG_BUFFERS") == "1" if poison is None else poison
        self._lock = threading.Lock()
        self._free: dict[int, list[Array]] = {}
        self._kept_bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes that wait in the pool."""
        return self._kept_bytes

    def lease(self, shares: int = 1) -> Lease:
        """Return an empty lease that ``shares`` users will each give back once."""
        return Lease(self, shares)

    def _take(self, size_bytes: int) -> Array:
        size_class = 1 << (size_bytes - 1).bit_length()
        with self._lock:
            stack = self._free.get(size_class)
            if stack:
                self._kept_bytes -= size_class
                return stack.pop()
        block = np.empty(size_class + _ALIGNMENT, dtype=np.uint8)
        start = -block.ctypes.data % _ALIGNMENT
        return block[start : start + size_class]

    def _give_back(self, blocks: list[Array], others: list[Array]) -> None:
        if self._poison:
            for array in (*blocks, *others):
                array.view(np.uint8).fill(0xFF)
        with self._lock:
            for block in blocks:
                if self._kept_bytes + block.size <= self._max_kept_bytes:
                    self._free.setdefault(block.size, []).append(block)
                    self._kept_bytes += block.size


class Lease:
    """The buffers of one batch. ``allocate`` is for one thread at a time; ``release`` for any.

    Parameters
    ----------
    pool
        Where they come from.
    shares
        How many users give it back.
    """

    __slots__ = ("_blocks", "_lock", "_others", "_pool", "_shares")

    def __init__(self, pool: BufferPool, shares: int = 1) -> None:
        self._pool = pool
        self._shares = shares
        self._blocks: list[Array] = []
        self._others: list[Array] = []
        self._lock = threading.Lock()

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an uninitialised C-contiguous array, aligned to 64 bytes when it is large.

        Parameters
        ----------
        shape
            Its shape.
        dtype
            Its NumPy dtype. Object arrays (strings) are never pooled.
        """
        kind = np.dtype(dtype)
        if kind.hasobject:
            return np.empty(tuple(shape), dtype=kind)
        size_bytes = kind.itemsize
        for dim in shape:
            size_bytes *= int(dim)
        if size_bytes < _MIN_POOLED_BYTES:
            array: Array = np.empty(tuple(shape), dtype=kind)
            if self._pool._poison and array.ndim and array.size:  # noqa: SLF001 - pool and lease are one unit
                self._others.append(array.reshape(-1))
            return array
        block = self._pool._take(size_bytes)  # noqa: SLF001 - pool and lease are one unit
        self._blocks.append(block)
        pooled: Array = block[:size_bytes].view(kind).reshape(tuple(shape))
        return pooled

    @property
    def is_empty(self) -> bool:
        """Nothing was allocated: arrays made elsewhere are nobody's to take back."""
        return not self._blocks and not self._others

    def release(self) -> None:
        """Give one share back; with the last one the buffers return to the pool."""
        with self._lock:
            self._shares -= 1
            if self._shares != 0:
                return
            blocks, self._blocks = self._blocks, []
            others, self._others = self._others, []
        if blocks or others:
            self._pool._give_back(blocks, others)  # noqa: SLF001 - pool and lease are one unit
