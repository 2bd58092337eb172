"""CRC-32C (Castagnoli), the checksum of TFRecord files, without a compiled extension.

A checksum is the remainder of a division, and remainders can be taken in any order: long data is folded
into :data:`_FOLD_BYTES` bytes that have the same remainder, with NumPy and hundreds of words at a time, and
only those go through the loop byte by byte. That gives 100 to 200 MB/s where the loop alone gives 10.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from navi_core.types import Bytes

__all__ = ["crc32c", "masked_crc32c"]

_POLYNOMIAL: Final = 0x82F63B78  # reflected
_ALL_ONES: Final = 0xFFFFFFFF
_MASK_DELTA: Final = 0xA282EAD8

_FOLD_BYTES: Final = 1024
"""What long data is folded into; a power of two."""


def crc32c(data: Bytes) -> int:
    """Return the checksum of ``data``; that of ``b"123456789"`` is 0xE3069283."""
    if len(data) <= 2 * _FOLD_BYTES:
        return _advance(_ALL_ONES, data) ^ _ALL_ONES
    return _advance(0, _folded(data)) ^ _ALL_ONES


def masked_crc32c(data: Bytes) -> int:
    """Return the checksum as TFRecord files store it: rotated and shifted, since they may hold checksums."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _ALL_ONES


def _advance(state: int, data: Bytes) -> int:
    """Return the state of the division after ``data``."""
    table = _byte_table()
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ state >> 8
    return state


@cache
def _byte_table() -> tuple[int, ...]:
    """Return for every byte the state that it leads to from zero."""
    table = []
    for byte in range(256):
        state = byte
        for _ in range(8):
            state = state >> 1 ^ (_POLYNOMIAL if state & 1 else 0)
        table.append(state)
    return tuple(table)


def _folded(data: Bytes) -> bytes:
    """Return :data:`_FOLD_BYTES` bytes that lead from state zero to where ``data`` leads from all ones.

    The data is seen as rows of that size. A word and the word that stands in its place one row later lead to
    one state if the later one is what the earlier one leads to over a row of zeros; so a row is carried over
    into the next one with two table look-ups a word.
    """
    num_rows = -(-len(data) // _FOLD_BYTES)
    padded = np.zeros(num_rows * _FOLD_BYTES, np.uint8)  # zeros in front change nothing
    body = padded[-len(data) :]
    body[:] = np.frombuffer(data, np.uint8)
    body[:4] ^= 0xFF  # as good as beginning with all ones
    rows = padded.view("<u4").reshape(num_rows, -1)
    low, high = _fold_tables()
    carried: NDArray[np.uint32] = rows[0]
    for row in rows[1:]:
        carried = low[carried & 0xFFFF] ^ high[carried >> 16] ^ row
    return carried.astype("<u4").tobytes()


@cache
def _fold_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return what the low and the high half of a word lead to over a row of zeros."""
    columns = [_advance(1 << bit, b"\0") for bit in range(32)]  # of one bit each; the rest are their sums
    num_bytes = 1
    while num_bytes < _FOLD_BYTES:
        columns = [_sum(columns, column) for column in columns]
        num_bytes *= 2
    low, high = np.zeros((2, 1 << 16), np.uint32)
    for bit in range(16):
        low[1 << bit : 2 << bit] = low[: 1 << bit] ^ np.uint32(columns[bit])
        high[1 << bit : 2 << bit] = high[: 1 << bit] ^ np.uint32(columns[16 + bit])
    return low, high


def _sum(columns: list[int], bits: int) -> int:
    """Return the sum, without carries, of the columns whose bit is set."""
    total = 0
    for bit, column in enumerate(columns):
        if bits >> bit & 1:
            total ^= column
    return total
