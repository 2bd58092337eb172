"""FlatVariable in both generations: a named array, or the shape of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import flatbuffers
import numpy as np

from navi_graphserver.flat.arrays import MAX_RANK, read_array, read_shape_information, write_array
from navi_graphserver.flat.enums import DType, Generation, VariableKind
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.records import Address, FlatVariable
from navi_graphserver.flat.verified import Table

__all__ = ["read_address", "read_variable", "write_address", "write_variable"]

_GEN1_SLOTS: Final = 5
_GEN2_SLOTS: Final = 7


def read_address(table: Table) -> Address:
    """Read an IntPair: a node's id, and which of its outputs."""
    return Address(table.scalar(0, "i", "first"), table.scalar(1, "i", "second"))


def read_variable(table: Table, generation: Generation) -> FlatVariable:
    """Read one variable.

    Raises
    ------
    FlatBufferError
        It is malformed.
    """
    pair = table.table(0, "id")
    address = Address(0) if pair is None else read_address(pair)
    name = table.text(1, "name")
    if generation is Generation.GEN1:
        information = read_shape_information(table, 2, "shape")
        array = table.table(3, "ndarray")
        return FlatVariable(
            address=address,
            name=name,
            shape=None if information is None else _open(information[0]),
            array=None if array is None else read_array(array),
        )
    array = table.table(4, "ndarray")
    return FlatVariable(
        address=address,
        name=name,
        kind=_kind(table),
        dtype=_dtype(table),
        shape=_plain_shape(table) if table.has(3) else None,
        array=None if array is None else read_array(array),
    )


def _kind(table: Table) -> VariableKind:
    number = table.scalar(6, "b", "variabletype")
    try:
        return VariableKind(number)
    except ValueError:
        raise FlatBufferError(f"{number} is no kind of variable", f"{table.place}.variabletype") from None


def _dtype(table: Table) -> DType:
    number = table.scalar(2, "b", "dtype")
    try:
        return DType(number)
    except ValueError:
        raise FlatBufferError(f"{number} is no element type", f"{table.place}.dtype") from None


def _plain_shape(table: Table) -> tuple[int | None, ...]:
    """Read dimensions as they are, negative ones for what is unknown: no shape information in this generation."""
    numbers = table.numbers(3, "<i8", "shape")
    if len(numbers) > MAX_RANK:
        raise FlatBufferError(
            f"has {len(numbers)} dimensions; expected at most {MAX_RANK}", f"{table.place}.shape"
        )
    return _open(numbers)


def _open(sizes: Iterable[int]) -> tuple[int | None, ...]:
    return tuple(None if size < 0 else size for size in sizes)


def write_variable(
    builder: flatbuffers.Builder, variable: FlatVariable, generation: Generation, *, big_endian: bool = False
) -> int:
    """Write one variable and return its place; the array in C order."""
    array_at = None if variable.array is None else write_array(builder, variable.array, big_endian=big_endian)
    shape_at = _write_shape(builder, variable, generation)
    name_at = builder.CreateString(variable.name) if variable.name else None
    pair_at = write_address(builder, variable.address)
    gen1 = generation is Generation.GEN1
    builder.StartObject(_GEN1_SLOTS if gen1 else _GEN2_SLOTS)
    builder.PrependUOffsetTRelativeSlot(0, pair_at, 0)
    if name_at is not None:
        builder.PrependUOffsetTRelativeSlot(1, name_at, 0)
    if shape_at is not None:
        builder.PrependUOffsetTRelativeSlot(2 if gen1 else 3, shape_at, 0)
    if array_at is not None:
        builder.PrependUOffsetTRelativeSlot(3 if gen1 else 4, array_at, 0)
    if not gen1:
        builder.PrependInt8Slot(2, int(variable.dtype or 0), 0)
        builder.PrependInt8Slot(6, int(variable.kind or 0), 0)
    place: int = builder.EndObject()
    return place


def _write_shape(builder: flatbuffers.Builder, variable: FlatVariable, generation: Generation) -> int | None:
    if variable.shape is None:
        return None
    dims = [-1 if size is None else size for size in variable.shape]
    if generation is Generation.GEN1:
        dims = [len(dims), *dims, *([1] * len(dims)), 0, 1, 99]
    place: int = builder.CreateNumpyVector(np.array(dims, np.int64))
    return place


def write_address(builder: flatbuffers.Builder, address: Address) -> int:
    """Write an IntPair and return its place."""
    builder.StartObject(2)
    builder.PrependInt32Slot(0, address.node, 0)
    builder.PrependInt32Slot(1, address.output, 0)
    place: int = builder.EndObject()
    return place
