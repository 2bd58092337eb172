"""Runs of varints, many at a time.

A varint is an integer in groups of seven bits, the lowest first; the last byte of one is below 0x80. Signed
integers are written as their 64-bit two's complement.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from navi_core.errors import DecodeError

__all__ = ["count_varints", "decode_varints"]

_LAST: Final = 0
_MORE: Final = 0x80
_MARKS: Final = bytes(_MORE if byte >= 0x80 else _LAST for byte in range(256))
_TOO_LONG: Final = bytes([_MORE]) * 10  # 64 bits take ten bytes at most

_FEW_BYTES: Final = 48
"""Up to so many, a loop is faster than NumPy."""


def count_varints(data: bytes) -> int:
    """Return how many varints ``data`` is.

    Raises
    ------
    DecodeError
        The last one has no end, or one is longer than 64 bits can be.
    """
    if data.isascii():
        return len(data)
    marks = data.translate(_MARKS)
    if marks[-1] == _MORE:
        raise DecodeError("expected a run of integers, got one that ends inside a varint")
    if _TOO_LONG in marks:
        raise DecodeError("expected a run of integers, got a varint of more than ten bytes")
    return marks.count(_LAST)


def decode_varints(data: bytes) -> NDArray[np.int64]:
    """Return the integers of a run that :func:`count_varints` has accepted.

    Returns
    -------
    values
        (count,) int64. Bits beyond the 64th are dropped.
    """
    if len(data) <= _FEW_BYTES:
        return _decode_few(data)
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if ends.size == raw.size:
        return raw.astype(np.int64)
    lengths = np.diff(ends, prepend=-1)
    starts = ends - lengths + 1
    bits = (raw[starts] & 0x7F).astype(np.uint64)
    for group in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > group)
        bits[longer] |= (raw[starts[longer] + group] & 0x7F).astype(np.uint64) << np.uint64(7 * group)
    return bits.view(np.int64)


def _decode_few(data: bytes) -> NDArray[np.int64]:
    values = []
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            values.append(value & 0xFFFFFFFFFFFFFFFF)
            value = shift = 0
    return np.array(values, dtype=np.uint64).view(np.int64)
