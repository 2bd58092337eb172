"""Bytes that hypothesis draws: any thrift values, and damage to good ones."""

from __future__ import annotations

import struct

from hypothesis import strategies as st
from navi_dr_transform import wire
from thrift_bytes import field, list_of, map_of, string

NUMBERS = [0, 1, 2, 3, 5, 64, 2**31 - 1, -1, -(2**31), 2**28, 2**24]
TYPES = [0, *range(2, 17)]
DAMAGE = st.one_of(
    st.tuples(st.just("byte"), st.integers(0, 255)),
    st.tuples(st.just("type"), st.sampled_from(TYPES)),
    st.tuples(st.just("count"), st.sampled_from(NUMBERS)),
    st.tuples(st.just("number"), st.sampled_from(NUMBERS)),
    st.tuples(st.just("cut"), st.just(0)),
    st.tuples(st.just("repeat"), st.integers(1, 40)),
    st.tuples(st.just("drop"), st.integers(1, 20)),
)


def count_places(content):
    """Return where counts and lengths seem to stand: small numbers of 32 bits behind something like a type."""
    return [
        at
        for at in range(1, len(content) - 3)
        if content[at : at + 3] == b"\0\0\0" and content[at - 1] in TYPES[1:]
    ]


def headers_changed(payload):
    """Yield a payload with every count and every type of its containers' headers changed, one at a time."""
    for at in count_places(payload):
        for number in NUMBERS:
            yield payload[:at] + struct.pack(">i", number) + payload[at + 4 :]
        for place in (at - 2, at - 1):
            for wire_type in TYPES:
                yield payload[:place] + bytes([wire_type]) + payload[place + 1 :]


def damaged(payload, damage):
    """Return a payload with changes, each at a place of its own."""
    content = bytearray(payload)
    for (how, value), place in damage:
        at = place % (len(content) + 1)
        if how in ("type", "count"):
            places = count_places(content)
            at = places[place % len(places)] if places else at
        match how:
            case "byte":
                content[at : at + 1] = bytes([value])
            case "type":  # of elements or values, or of keys
                at = max(at - 1 - place // 16 % 2, 0)
                content[at : at + 1] = bytes([value])
            case "count" | "number":
                content[at : at + 4] = struct.pack(">i", value)
            case "cut":
                del content[at:]
            case "repeat":
                content[at:at] = content[max(at - value, 0) : at]
            case "drop":
                del content[at : at + value]
    return bytes(content)


@st.composite
def values(draw, depth=2):
    """Draw a wire type and bytes of it."""
    kinds = [wire.BOOL, wire.BYTE, wire.DOUBLE, wire.I16, wire.I32, wire.I64, wire.STRING]
    wire_type = draw(st.sampled_from(kinds + ([wire.STRUCT, wire.MAP, wire.SET, wire.LIST] if depth else [])))
    return wire_type, draw(contents(wire_type, depth))


def contents(wire_type, depth):
    sizes = {wire.BOOL: 1, wire.BYTE: 1, wire.DOUBLE: 8, wire.I16: 2, wire.I32: 4, wire.I64: 8}
    if wire_type in sizes:
        return st.binary(min_size=sizes[wire_type], max_size=sizes[wire_type])
    if wire_type == wire.STRING:
        return st.binary(max_size=3).map(string)
    if wire_type == wire.STRUCT:
        fields = st.tuples(st.integers(0, 16), values(depth - 1))
        return st.lists(fields, max_size=2).map(
            lambda held: b"".join(field(kind, number, content) for number, (kind, content) in held) + b"\0"
        )
    if wire_type == wire.MAP:
        return st.tuples(values(depth - 1), values(depth - 1), st.integers(0, 2)).map(
            lambda held: map_of(held[0][0], held[1][0], *[held[0][1] + held[1][1]] * held[2])
        )
    return st.tuples(values(depth - 1), st.integers(0, 2)).map(
        lambda held: list_of(held[0][0], *[held[0][1]] * held[1])
    )
