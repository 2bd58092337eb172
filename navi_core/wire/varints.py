"""Runs of varints, many at a time.

A varint is an integer in groups of seven bits, the lowest first; the last byte of one is below 0x80. Signed
integers are written as their 64-bit two's complement.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from navi_core.errors import DecodeError

__all__ = ["count_varints", "decode_varints", "encode_varints"]

_LAST: Final = 0
_MORE: Final = 0x80
_MARKS: Final = bytes(_MORE if byte >= 0x80 else _LAST for byte in range(256))
_TOO_LONG: Final = bytes([_MORE]) * 10  # 64 bits take ten bytes at most

_FEW_BYTES: Final = 48
"""Up to so many, a loop is faster than NumPy."""

_CHUNK_BYTES: Final = 1 << 16
_CHUNK_VALUES: Final = 1 << 14
"""What is decoded and encoded at once: what is made on the way stays in the cache."""

_STEPS: Final = (
    (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
)
"""How eight groups of seven bits, a byte each, are pushed together: what stays, what moves, how far."""

_GROUPS_OF: Final = np.array([(1 << 8 * min(more + 1, 8)) // 255 * 0x7F for more in range(10)], np.uint64)
"""Of eight bytes, the groups of an integer that has so many bytes after its first one."""

_MARKS_OF: Final = np.array([(1 << 8 * min(more, 8)) // 255 * 0x80 for more in range(10)], np.uint64)
"""Of eight bytes, the marks that another one follows."""


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


def decode_varints(data: bytes, *, exact: bool = False) -> NDArray[np.int64]:
    """Return the integers of a run that :func:`count_varints` has accepted.

    Parameters
    ----------
    data
        The run.
    exact
        Refuse bits beyond the 64th, which are dropped else.

    Returns
    -------
    values
        (count,) int64.

    Raises
    ------
    DecodeError
        There are bits beyond the 64th, and ``exact`` is asked for.
    """
    if len(data) <= _FEW_BYTES and not exact:
        return _decode_few(data)
    chunks = []
    pos = 0
    while pos < len(data):
        stop = min(pos + _CHUNK_BYTES, len(data))
        while data[stop - 1] >= _MORE:
            stop -= 1
        chunks.append(_decode_chunk(data[pos:stop], exact=exact))
        pos = stop
    return np.concatenate(chunks) if len(chunks) > 1 else chunks[0]


def _decode_chunk(data: bytes, *, exact: bool) -> NDArray[np.int64]:
    """Read eight bytes from where each integer begins, and push their groups of seven bits together."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < _MORE)
    if ends.size == raw.size:
        return raw.astype(np.int64)
    starts = np.empty_like(ends)
    starts[0] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    more = ends - starts
    padded = np.zeros(raw.size + 7, np.uint8)
    padded[: raw.size] = raw
    bits: NDArray[np.uint64] = np.ndarray((raw.size,), "<u8", padded, strides=(1,))[starts].astype(np.uint64)
    bits &= _GROUPS_OF[more]
    for lower, upper, shift in _STEPS:
        moved = bits & upper
        moved >>= shift
        bits &= lower
        bits |= moved
    if more.max() > 7:
        long = np.flatnonzero(more > 7)
        bits[long] |= (raw[starts[long] + 8] & 0x7F).astype(np.uint64) << np.uint64(56)
        longest = long[more[long] > 8]
        tenth = raw[starts[longest] + 9]
        if exact and tenth.max(initial=0) > 1:
            raise DecodeError("expected a run of integers, got one of more than 64 bits")
        bits[longest] |= tenth.astype(np.uint64) << np.uint64(63)
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


def encode_varints(numbers: NDArray[Any]) -> bytes:
    """Encode integers as a run; negative ones as their 64-bit two's complement, in ten bytes.

    Parameters
    ----------
    numbers
        (N,) of any integer type, in the machine's byte order.
    """
    chunks = [numbers[pos : pos + _CHUNK_VALUES] for pos in range(0, len(numbers), _CHUNK_VALUES)]
    return b"".join(map(_encode_chunk, chunks))


def _encode_chunk(numbers: NDArray[Any]) -> bytes:
    bits = numbers.astype(np.int64 if numbers.dtype.kind == "i" else np.uint64).view(np.uint64)
    largest = int(bits.max())
    if largest < _MORE:
        return bits.astype(np.uint8).tobytes()
    more = np.zeros(bits.size, np.uint8)
    for shift in range(7, largest.bit_length(), 7):
        more += bits >= np.uint64(1 << shift)
    words = bits & np.uint64((1 << 56) - 1)
    for lower, upper, distance in reversed(_STEPS):
        words = (words & lower) | ((words << distance) & upper)
    words |= _MARKS_OF[more]
    starts: NDArray[np.int64] = np.cumsum(more, dtype=np.int64)
    starts += np.arange(1, bits.size + 1)
    size = int(starts[-1])
    starts -= more
    starts -= 1
    out = np.empty(size + 7, np.uint8)
    # Eight bytes for each: what is too much is written over by the next ones.
    np.ndarray((size,), "<u8", out, strides=(1,))[starts] = words
    if largest >= 1 << 56:
        long = np.flatnonzero(more > 7)
        upper_bits = bits[long] >> np.uint64(56)
        has_tenth = more[long] > 8
        out[starts[long] + 8] = upper_bits.astype(np.uint8) & 0x7F | has_tenth.astype(np.uint8) << 7
        out[starts[long[has_tenth]] + 9] = 1
    return out[:size].tobytes()
