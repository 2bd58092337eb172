"""Kernels for TBinaryProtocol itself: containers are opened, values are skipped, nothing is kept.

Rules of the kernel files:

* A function gets an offset and answers a status (``wire.OK`` or what is wrong) and an offset: the byte
  after what it read, or the byte where it stopped. Nothing is raised, nothing is worded.
* Every read is preceded by a check against the end of the payload. A container's count is checked once,
  against the bytes that are left, before anything is done per element.
* All integers are int64: counts and lengths are sign-extended as they are read.

An empty container's element types are not looked at: some writers leave them at zero.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import inner
from navi_dr_transform._memory import get, put, read_i16, read_i32, read_u8

__all__ = ["fixed_size", "min_size", "open_field", "open_list", "open_map", "open_string", "skip"]


@inner
def fixed_size(wire_type: int) -> int:
    """Return the bytes of every value of a type; 0 for those that vary."""
    if wire_type in (wire.I64, wire.DOUBLE):
        return 8
    if wire_type == wire.I32:
        return 4
    if wire_type in (wire.BOOL, wire.BYTE):
        return 1
    if wire_type == wire.I16:
        return 2
    return 0


@inner
def min_size(wire_type: int) -> int:
    """Return the fewest bytes that a value of a type takes; 0 when there is no such type."""
    size = fixed_size(wire_type)
    if size > 0:
        return size
    if wire_type == wire.STRING:
        return wire.LENGTH_BYTES
    if wire_type == wire.STRUCT:
        return 1
    if wire_type == wire.MAP:
        return wire.MAP_HEADER_BYTES
    if wire_type in (wire.SET, wire.LIST):
        return wire.LIST_HEADER_BYTES
    return 0


@inner
def open_field(payload: bytes, offset: int) -> tuple[int, int, int, int]:
    """Read a field's header: answers its wire type (``wire.STOP`` at the struct's end) and its id.

    The offset is that of the field's value, or of the byte after the struct.
    """
    left = len(payload) - offset
    if left < 1:
        return wire.TRUNCATED, offset, wire.STOP, 0
    wire_type = read_u8(payload, offset)
    if wire_type == wire.STOP:
        return wire.OK, offset + 1, wire.STOP, 0
    if left < wire.FIELD_HEADER_BYTES:
        return wire.TRUNCATED, offset, wire.STOP, 0
    return wire.OK, offset + wire.FIELD_HEADER_BYTES, wire_type, read_i16(payload, offset + 1)


@inner
def open_string(payload: bytes, offset: int) -> tuple[int, int, int]:
    """Read a string's length; its bytes are there. The offset is that of the first."""
    left = len(payload) - offset - wire.LENGTH_BYTES
    if left < 0:
        return wire.TRUNCATED, offset, 0
    length = read_i32(payload, offset)
    if length < 0:
        return wire.NEGATIVE_COUNT, offset, 0
    if length > left:
        return wire.TRUNCATED, offset, 0
    return wire.OK, offset + wire.LENGTH_BYTES, length


@inner
def open_list(payload: bytes, offset: int, element_type: int) -> tuple[int, int, int]:
    """Read the header of a list or set whose elements have a known type: answers their number.

    The payload holds at least the fewest bytes that so many elements take.
    """
    left = len(payload) - offset - wire.LIST_HEADER_BYTES
    if left < 0:
        return wire.TRUNCATED, offset, 0
    count = read_i32(payload, offset + 1)
    if count < 0:
        return wire.NEGATIVE_COUNT, offset + 1, 0
    if count > 0 and read_u8(payload, offset) != element_type:
        return wire.WRONG_TYPE, offset, 0
    if count * min_size(element_type) > left:
        return wire.COUNT_TOO_LARGE, offset + 1, 0
    return wire.OK, offset + wire.LIST_HEADER_BYTES, count


@inner
def open_map(payload: bytes, offset: int, key_type: int, value_type: int) -> tuple[int, int, int]:
    """Read the header of a map of known types: answers the number of its pairs.

    The payload holds at least the fewest bytes that so many pairs take.
    """
    left = len(payload) - offset - wire.MAP_HEADER_BYTES
    if left < 0:
        return wire.TRUNCATED, offset, 0
    count = read_i32(payload, offset + 2)
    if count < 0:
        return wire.NEGATIVE_COUNT, offset + 2, 0
    if count > 0:
        if read_u8(payload, offset) != key_type:
            return wire.WRONG_TYPE, offset, 0
        if read_u8(payload, offset + 1) != value_type:
            return wire.WRONG_TYPE, offset + 1, 0
    if count * (min_size(key_type) + min_size(value_type)) > left:
        return wire.COUNT_TOO_LARGE, offset + 2, 0
    return wire.OK, offset + wire.MAP_HEADER_BYTES, count


@inner
def skip(payload: bytes, offset: int, wire_type: int, scratch: Any) -> tuple[int, int]:
    """Pass over one value of a type that came from the wire; the scratch memory keeps what is open."""
    size = fixed_size(wire_type)
    if size > 0:
        if size > len(payload) - offset:
            return wire.TRUNCATED, offset
        return wire.OK, offset + size
    if wire_type == wire.STRING:
        status, offset, length = open_string(payload, offset)
        return status, offset + length
    return skip_nested(payload, offset, wire_type, scratch)


@inner
def open_any(payload: bytes, offset: int, wire_type: int) -> tuple[int, int, int, int, int]:
    """Read the header of a map, set or list whose types come from the wire too.

    Returns
    -------
    status, offset, count, first_type, second_type
        ``count`` is the number of values that are left to pass over: none when all have a fixed size, for
        then the offset is already behind them; keys and values of a map count apart. The second type is
        that of a map's values, else the first again.
    """
    is_map = wire_type == wire.MAP
    header = wire.MAP_HEADER_BYTES if is_map else wire.LIST_HEADER_BYTES
    left = len(payload) - offset - header
    if left < 0:
        return wire.TRUNCATED, offset, 0, 0, 0
    count_offset = offset + header - wire.LENGTH_BYTES
    count = read_i32(payload, count_offset)
    if count < 0:
        return wire.NEGATIVE_COUNT, count_offset, 0, 0, 0
    if count == 0:
        return wire.OK, offset + header, 0, 0, 0
    first_type = read_u8(payload, offset)
    second_type = read_u8(payload, offset + 1) if is_map else first_type
    first_smallest, second_smallest = min_size(first_type), min_size(second_type)
    if first_smallest == 0:
        return wire.UNKNOWN_TYPE, offset, 0, 0, 0
    if second_smallest == 0:
        return wire.UNKNOWN_TYPE, offset + 1, 0, 0, 0
    smallest = first_smallest + second_smallest if is_map else first_smallest
    if count * smallest > left:
        return wire.COUNT_TOO_LARGE, count_offset, 0, 0, 0
    offset += header
    if fixed_size(first_type) > 0 and fixed_size(second_type) > 0:
        return wire.OK, offset + count * smallest, 0, first_type, second_type
    return wire.OK, offset, 2 * count if is_map else count, first_type, second_type


@inner
def skip_nested(payload: bytes, offset: int, wire_type: int, scratch: Any) -> tuple[int, int]:
    """Pass over one value that may hold others.

    Open containers are kept on a stack of bounded height, not by recursion: a payload must not choose
    how deep the thread's own stack grows. Every value takes at least one byte, so the time is bounded by
    the payload's length.
    """
    # a level is (values left, first type, second type); a struct has -1 values left
    depth = 0
    level = _plan.STACK_AT
    while True:
        if wire_type == wire.STRUCT or wire_type >= wire.MAP:
            if wire_type > wire.LIST:
                return wire.UNKNOWN_TYPE, offset
            if depth == wire.MAX_DEPTH:
                return wire.TOO_DEEP, offset
            if wire_type == wire.STRUCT:
                put(scratch, level, wire.ABSENT)
            else:
                status, offset, count, first_type, second_type = open_any(payload, offset, wire_type)
                if status != wire.OK:
                    return status, offset
                put(scratch, level, count)
                put(scratch, level + 1, first_type)
                put(scratch, level + 2, second_type)
            depth += 1
            level += _plan.STACK_LEVEL
        elif wire_type == wire.STRING:
            status, offset, length = open_string(payload, offset)
            if status != wire.OK:
                return status, offset
            offset += length
        else:
            size = fixed_size(wire_type)
            if size == 0:
                return wire.UNKNOWN_TYPE, offset
            if size > len(payload) - offset:
                return wire.TRUNCATED, offset
            offset += size

        while depth > 0:
            top = level - _plan.STACK_LEVEL
            left = get(scratch, top)
            if left > 0:
                # pairs count two values: the key's turn comes while an even number is left
                wire_type = get(scratch, top + 1 + (left & 1))
                put(scratch, top, left - 1)
                break
            if left < 0:
                status, offset, wire_type, _ = open_field(payload, offset)
                if status != wire.OK:
                    return status, offset
                if wire_type != wire.STOP:
                    break
            depth -= 1
            level = top
        if depth == 0:
            return wire.OK, offset
