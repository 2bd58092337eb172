"""A kernel's status and where it stopped -> the words for it, with what stands there."""

from __future__ import annotations

import struct
from typing import Final

from navi_dr_transform import wire

__all__ = ["refusal_text"]

_COUNT: Final = struct.Struct(">i")

_TYPE_NAMES: Final = {
    wire.STOP: "the struct's end",
    wire.BOOL: "bool",
    wire.BYTE: "byte",
    wire.DOUBLE: "double",
    wire.I16: "i16",
    wire.I32: "i32",
    wire.I64: "i64",
    wire.STRING: "string",
    wire.STRUCT: "struct",
    wire.MAP: "map",
    wire.SET: "set",
    wire.LIST: "list",
}


def refusal_text(status: int, payload: bytes, offset: int) -> str:
    """Return what was expected and what came.

    Parameters
    ----------
    status
        A kernel's, other than ``wire.OK``.
    payload
        What it read.
    offset
        Where it stopped: at a type, for a wrong one; at the number itself, for a wrong count or length.
    """
    text = wire.STATUS_TEXTS[status]
    if status == wire.WRONG_TYPE and offset < len(payload):
        number = payload[offset]
        return f"{text}: {_TYPE_NAMES.get(number, f'type {number}')}"
    if status in (wire.NEGATIVE_COUNT, wire.COUNT_TOO_LARGE) and offset + _COUNT.size <= len(payload):
        return f"{text}: {_COUNT.unpack_from(payload, offset)[0]}"
    return text
