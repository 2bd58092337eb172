"""Bytes of TBinaryProtocol by hand: what no library writes, and a plain reader of what stands there twice."""

from __future__ import annotations

import struct

from navi_dr_transform import wire
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer


def field(wire_type, field_id, content=b""):
    return struct.pack(">bh", wire_type, field_id) + content


def list_of(element_type, *elements):
    return struct.pack(">bi", element_type, len(elements)) + b"".join(elements)


def map_of(key_type, value_type, *pairs):
    return struct.pack(">bbi", key_type, value_type, len(pairs)) + b"".join(pairs)


def string(content):
    return struct.pack(">i", len(content)) + content


def continuous(*pairs, field_id=2):
    body = (struct.pack(">qd", *pair) for pair in pairs)
    return field(wire.MAP, field_id, map_of(wire.I64, wire.DOUBLE, *body))


def binary(*ids):
    return field(wire.SET, 1, list_of(wire.I64, *(struct.pack(">q", each) for each in ids)))


def discrete(*pairs):
    body = (struct.pack(">qq", *pair) for pair in pairs)
    return field(wire.MAP, 3, map_of(wire.I64, wire.I64, *body))


def float_member(*values):
    doubles = (struct.pack(">d", value) for value in values)
    return field(wire.STRUCT, 5, field(wire.LIST, 1, list_of(wire.DOUBLE, *doubles)) + b"\0")


def tensor_map(*pairs):
    body = (struct.pack(">q", feature_id) + tensor + b"\0" for feature_id, tensor in pairs)
    return field(wire.MAP, 8, map_of(wire.I64, wire.STRUCT, *body))


def records(*contents):
    return field(wire.LIST, 1, list_of(wire.STRUCT, *(content + b"\0" for content in contents)))


def common(content):
    return field(wire.STRUCT, 2, content + b"\0")


def nested_lists(depth, *innermost):
    """Return lists in lists; the innermost one holds these integers."""
    values = (struct.pack(">q", each) for each in innermost)
    return struct.pack(">bi", wire.LIST, 1) * (depth - 1) + list_of(wire.I64, *values)


def has_repeats(payload):
    """Tell whether a field stands twice in a struct, or a key in a map; of bytes that Apache Thrift accepts."""
    protocol = TBinaryProtocol(TMemoryBuffer(payload))
    found = False

    def read(wire_type):
        nonlocal found
        match wire_type:
            case wire.STRUCT:
                seen = []
                while (header := protocol.readFieldBegin())[1] != wire.STOP:
                    seen.append(header[2])
                    read(header[1])
                found = found or len(set(seen)) < len(seen)
            case wire.MAP:
                key_type, value_type, count = protocol.readMapBegin()
                keys = []
                for _ in range(count):
                    keys.append(repr(read(key_type)))
                    read(value_type)
                found = found or len(set(keys)) < len(keys)
            case wire.SET | wire.LIST:
                element_type, count = protocol.readListBegin()
                for _ in range(count):
                    read(element_type)
            case wire.STRING:
                return protocol.readBinary()
            case wire.I64:
                return protocol.readI64()
            case _:
                sizes = {wire.BOOL: 1, wire.BYTE: 1, wire.I16: 2, wire.I32: 4, wire.DOUBLE: 8, 16: 16}
                return protocol.trans.readAll(sizes[wire_type])
        return None

    read(wire.STRUCT)
    return found
