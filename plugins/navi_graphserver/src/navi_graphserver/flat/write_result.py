"""Writing a FlatResult: every answer is one, so it is laid out by hand, several times as fast as by a builder.

Front to back: the offset of the root; the vtables, one of each kind for the whole message; the root; the offsets of
the variables; the variables. A variable is a block of its table, its address, its array, the array's shape and
elements, and its name. Blocks, shapes and elements begin at multiples of eight bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

from navi_core import Array
from navi_graphserver.flat.arrays import flat_dtype, text_bytes
from navi_graphserver.flat.enums import DTYPE_FLAGS, EMPTY_FLAG, DType, Generation
from navi_graphserver.flat.records import FlatVariable

__all__ = ["write_result"]

_PAIR_VTABLE: Final = struct.pack("<4H", 8, 12, 4, 8)
_ARRAY_VTABLE: Final = struct.pack(
    "<5H", 10, 16, 4, 8, 12
)  # shape, buffer, dtype; no byteOrder: little-endian
_RESULT_VTABLE: Final = struct.pack("<4H", 8, 8, 0, 4)  # no id, as in C++; variables
_VARIABLE_VTABLES: Final = {
    # id, name, shape, ndarray
    Generation.GEN1: (struct.pack("<6H", 12, 20, 4, 0, 0, 12), struct.pack("<6H", 12, 20, 4, 8, 0, 12)),
    # id, name, dtype, shape, ndarray
    Generation.GEN2: (
        struct.pack("<7H", 14, 20, 4, 0, 16, 0, 12),
        struct.pack("<7H", 14, 20, 4, 8, 16, 0, 12),
    ),
}
"""Without a name, and with one: its field holds 0, to which no offset may point, where there is none."""

_PAIR_AT: Final = 4
_ARRAY_AT: Final = _PAIR_AT + len(_PAIR_VTABLE)
_RESULT_AT: Final = _ARRAY_AT + len(_ARRAY_VTABLE)
_NAMELESS_AT: Final = _RESULT_AT + len(_RESULT_VTABLE)

_ROOT: Final = struct.Struct("<2iI")
_BLOCK: Final = struct.Struct("<iIIIb3x i2i iIIb3x 4xI")
"""The tables of a variable, its address and its array, and how many numbers its shape information has."""

_SHAPE_AT: Final = _BLOCK.size
_U32: Final = struct.Struct("<I")


def write_result(variables: Sequence[FlatVariable], generation: Generation) -> bytes:
    """Write a FlatResult as the server in C++ does: its id is 0, arrays are little-endian, there is no timing.

    Parameters
    ----------
    variables
        Each with an array; its address, name and array are written.
    generation
        The graph's.

    Raises
    ------
    ValueError
        No element type stands for an array's dtype.
    """
    nameless, named = _VARIABLE_VTABLES[generation]
    named_at = _NAMELESS_AT + len(nameless)
    root_at = _aligned(named_at + len(named), 4)
    start = position = _aligned(root_at + 12 + 4 * len(variables), 8)
    offsets: list[int] = []
    blocks: list[bytes] = []
    for variable in variables:
        array = variable.array
        if array is None:
            msg = f"variable {variable.address} has no array"
            raise ValueError(msg)
        offsets.append(position - (root_at + 12 + 4 * len(offsets)))
        vtable_at = named_at if variable.name else _NAMELESS_AT
        block = _block(variable, array, position, vtable_at)
        blocks.append(block)
        position += len(block)
    head = b"".join(
        (
            _U32.pack(root_at),
            _PAIR_VTABLE,
            _ARRAY_VTABLE,
            _RESULT_VTABLE,
            nameless,
            named,
            bytes(root_at - named_at - len(named)),
            _ROOT.pack(root_at - _RESULT_AT, 4, len(offsets)),
            struct.pack(f"<{len(offsets)}I", *offsets),
        )
    )
    return b"".join((head, bytes(start - len(head)), *blocks))


def _block(variable: FlatVariable, array: Array, position: int, vtable_at: int) -> bytes:
    """Write one variable, for a place in the message."""
    dtype = flat_dtype(array)
    shape, rank = array.shape, array.ndim
    elements = (
        text_bytes(array) if dtype is DType.UTF8 else array.tobytes()  # in C order, whatever the array's own
    )
    extra = DTYPE_FLAGS[dtype] | (EMPTY_FLAG if array.size == 0 else 0)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(rank)]
    count = 2 * rank + 4
    buffer_at = _SHAPE_AT + 8 * count + 4
    padding = -len(elements) % 4
    name = variable.name.encode()
    name_at = buffer_at + 4 + len(elements) + padding
    first = _BLOCK.pack(
        *(position - vtable_at, 16, name_at - 8 if name else 0, 20, int(dtype)),
        *(position + 20 - _PAIR_AT, variable.address.node, variable.address.output),
        *(position + 32 - _ARRAY_AT, _SHAPE_AT - 4 - 36, buffer_at - 40, int(dtype)),
        count,
    )
    information = struct.pack(f"<{count}q4xI", rank, *shape, *strides, extra, 1, 99, len(elements))
    text = _U32.pack(len(name)) + name + b"\0" if name else b""
    end = name_at + len(text)
    return b"".join((first, information, elements, bytes(padding), text, bytes(-end % 8)))


def _aligned(position: int, size: int) -> int:
    return position + -position % size
