"""Kernel: passes over thrift values that arrive in pieces, and goes on where it stopped.

It is what finds the end of a message without a frame, and the argument of a call, without making objects of either.
Open containers are kept on a stack of bounded height. Every byte is looked at once, whatever the pieces are, and
containers of values of a fixed size are passed over as one, so the time is bounded by the bytes and mostly far below.

The state of a scan is an array: where it is, how many containers are open, the type of the value that comes next, the
byte up to which it wants to see more, then a triple for each open container (values left, -1 for a struct; type of the
first and of the second value of a pair).

Source: TBinaryProtocol as Apache Thrift writes it. An empty container's types are not looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from navi_dr_transform import wire
from navi_dr_transform._accelerate import INT, inner, kernel, types
from navi_dr_transform._protocol import fixed_size, min_size

__all__ = ["DEPTH", "MORE", "NEXT", "OFFSET", "STATE_SIZE", "WANTED", "scan"]

MORE = -1
"""The status of a scan that has seen all bytes that are there, and needs others."""

OFFSET, DEPTH, NEXT, WANTED, _STACK = range(5)
STATE_SIZE = _STACK + 3 * wire.MAX_DEPTH

_NO_TYPE = -1
_STRUCT_MARK = -1
_FIELD_BYTES = 3

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_STATE = types.Array(types.int64, 1, "C")


@inner
def int32(data: Any, offset: int) -> int:
    """Read a big-endian signed integer of 32 bits; the caller has checked the bounds."""
    value: Any = (
        (np.int64(data[offset]) << 24)
        | (np.int64(data[offset + 1]) << 16)
        | (np.int64(data[offset + 2]) << 8)
        | np.int64(data[offset + 3])
    )
    signed: int = value - ((value >> 31) << 32)
    return signed


@inner
def open_container(data: Any, offset: int, stop: int, limit: int, state: Any) -> tuple[int, int]:
    """Push a map, set or list, or pass over one of values of a fixed size.

    Returns
    -------
    status, wanted
        ``wire.OK`` where it was opened or passed over and the offset moved on; ``MORE`` and the byte up to which it
        has to be seen, ``wire.COUNT_TOO_LARGE`` and the byte that it reaches at least; or what is wrong.
    """
    is_map = state[NEXT] == wire.MAP
    header = wire.MAP_HEADER_BYTES if is_map else wire.LIST_HEADER_BYTES
    if stop - offset < header:
        return MORE, offset + header
    count = int32(data, offset + header - wire.LENGTH_BYTES)
    if count < 0:
        return wire.NEGATIVE_COUNT, offset
    if count == 0:
        state[OFFSET] = offset + header
        state[NEXT] = _NO_TYPE
        return wire.OK, 0
    first: Any = np.int64(data[offset])
    second: Any = np.int64(data[offset + 1]) if is_map else first
    if min_size(first) == 0 or min_size(second) == 0:
        return wire.UNKNOWN_TYPE, offset
    fewest = count * (min_size(first) + min_size(second) if is_map else min_size(first))
    if fewest > limit - offset - header:
        return wire.COUNT_TOO_LARGE, offset + header + fewest
    if fixed_size(first) > 0 and fixed_size(second) > 0:
        if stop - offset - header < fewest:
            return MORE, offset + header + fewest
        state[OFFSET] = offset + header + fewest
        state[NEXT] = _NO_TYPE
        return wire.OK, 0
    depth = state[DEPTH]
    if depth == wire.MAX_DEPTH:
        return wire.TOO_DEEP, offset
    state[_STACK + 3 * depth] = 2 * count if is_map else count
    state[_STACK + 3 * depth + 1] = first
    state[_STACK + 3 * depth + 2] = second
    state[DEPTH] = depth + 1
    state[OFFSET] = offset + header
    state[NEXT] = _NO_TYPE
    return wire.OK, 0


@inner
def take_value(data: Any, stop: int, limit: int, state: Any) -> tuple[int, int]:
    """Pass over the value that comes next, or open it; answers as ``open_container``."""
    offset = state[OFFSET]
    wire_type = state[NEXT]
    size = fixed_size(wire_type)
    if wire_type == wire.STRING:
        if stop - offset < wire.LENGTH_BYTES:
            return MORE, offset + wire.LENGTH_BYTES
        length = int32(data, offset)
        if length < 0:
            return wire.NEGATIVE_COUNT, offset
        size = wire.LENGTH_BYTES + length
    if size > 0:
        if size > stop - offset:
            return MORE, offset + size
        state[OFFSET] = offset + size
        state[NEXT] = _NO_TYPE
        return wire.OK, 0
    if wire_type == wire.STRUCT:
        depth = state[DEPTH]
        if depth == wire.MAX_DEPTH:
            return wire.TOO_DEEP, offset
        state[_STACK + 3 * depth] = _STRUCT_MARK
        state[DEPTH] = depth + 1
        state[NEXT] = _NO_TYPE
        return wire.OK, 0
    if wire.MAP <= wire_type <= wire.LIST:
        return open_container(data, offset, stop, limit, state)
    return wire.UNKNOWN_TYPE, offset


@kernel(INT(_BYTES, INT, INT, _STATE))
def scan(data: Any, stop: int, limit: int, state: Any) -> int:
    """Go on with a scan until its value ends, the bytes do, or something is wrong.

    Parameters
    ----------
    data
        (bytes,) uint8. The first ``stop`` of them are there.
    stop
        At most ``len(data)``.
    limit
        What reaches beyond this byte cannot come: containers that do are refused.
    state
        (STATE_SIZE,) int64, **changed**. ``state[OFFSET]`` is the byte after what was passed over.

    Returns
    -------
    status
        ``wire.OK``: the value has ended. ``MORE``: see it again when there are ``state[WANTED]`` bytes. Else what is
        wrong at ``state[OFFSET]``.
    """
    stop = min(stop, len(data))
    while True:
        if state[NEXT] != _NO_TYPE:
            status, wanted = take_value(data, stop, limit, state)
            if status != wire.OK:
                state[WANTED] = wanted
                return status
        depth = state[DEPTH]
        if depth == 0:
            return wire.OK
        top = _STACK + 3 * (depth - 1)
        left = state[top]
        if left > 0:
            # pairs count two values: the key's turn comes while an even number is left
            state[NEXT] = state[top + 1] if left % 2 == 0 else state[top + 2]
            state[top] = left - 1
        elif left == 0:
            state[DEPTH] = depth - 1
        else:
            offset = state[OFFSET]
            if offset >= stop:
                state[WANTED] = offset + 1
                return MORE
            wire_type = np.int64(data[offset])
            if wire_type == wire.STOP:
                state[OFFSET] = offset + 1
                state[DEPTH] = depth - 1
            else:
                if stop - offset < _FIELD_BYTES:
                    state[WANTED] = offset + _FIELD_BYTES
                    return MORE
                state[OFFSET] = offset + _FIELD_BYTES
                state[NEXT] = wire_type
