"""Tensors inside DataRecords, for many records at once. Source: TBinaryProtocol, and ``specs/thrift/tensor.thrift``."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from navi_core import Array, InvalidRequestError
from navi_dr_transform import wire
from navi_dr_transform.encode_columns import FeatureKey, is_missing
from navi_dr_transform.encode_fields import Objects, RecordForm, Rows, field_header, packed_string

__all__ = ["TensorForm", "add_tensors", "number_frame"]

TensorForm: TypeAlias = Literal["float", "double", "raw"]
"""Which member of GeneralTensor floats become: FloatTensor (all that Navi reads), DoubleTensor, or RawTypedTensor
(what Twitter's own writers make, of integers too)."""

_LIST: Final = struct.Struct(">BhBi")
_STRUCT: Final = struct.Struct(">Bh")
_I32: Final = struct.Struct(">Bhi")
_STRING: Final = struct.Struct(">Bhi")
_LONG: Final = struct.Struct(">q")
_STOPS: Final = bytes(2)  # of the member, and of the union


@dataclass(frozen=True, slots=True)
class _Member:
    """How one kind of elements is written.

    Parameters
    ----------
    field
        The member's field in GeneralTensor.
    element
        NumPy's name for an element's bytes on the wire.
    code
        The elements' wire type; of a RawTypedTensor, their DataType.
    """

    field: int
    element: str
    code: int


_RAW: Final = {
    np.dtype(np.float32): _Member(wire.TENSOR_RAW, "<f4", wire.RAW_FLOAT),
    np.dtype(np.float64): _Member(wire.TENSOR_RAW, "<f8", wire.RAW_DOUBLE),
    np.dtype(np.int32): _Member(wire.TENSOR_RAW, "<i4", wire.RAW_INT32),
    np.dtype(np.int64): _Member(wire.TENSOR_RAW, "<i8", wire.RAW_INT64),
    np.dtype(np.uint8): _Member(wire.TENSOR_RAW, "u1", wire.RAW_UINT8),
}
_INT32: Final = _Member(wire.TENSOR_INT32, ">i4", wire.I32)
_INT64: Final = _Member(wire.TENSOR_INT64, ">i8", wire.I64)
_FLOAT: Final = _Member(wire.TENSOR_FLOAT, ">f8", wire.DOUBLE)
_DOUBLE: Final = _Member(wire.TENSOR_DOUBLE, ">f8", wire.DOUBLE)
_BOOL: Final = _Member(wire.TENSOR_BOOL, "u1", wire.BOOL)


def add_tensors(
    rows: Rows, features: Objects, family: str, form: RecordForm, tensor_form: TensorForm
) -> None:
    """Add ``tensors``: of each feature one tensor a record.

    Parameters
    ----------
    rows
        The records' pieces, **appended to**.
    features
        Their columns: a (rows, ...) array, or a sequence of arrays and None. A masked array leaves out the
        records of which everything is hidden.
    family
        What they are called, for error texts.
    form, tensor_form
        The struct, and what floats become.

    Raises
    ------
    InvalidRequestError
        A value is no tensor that the format has.
    """
    parts: list[list[bytes | memoryview]] = [[] for _ in rows]
    for key_id, key, column in features:
        start = _LONG.pack(key_id)
        for part, block in zip(parts, _blocks(column, len(rows), family, key, tensor_form), strict=True):
            if block is not None:
                part.extend((start, block))
    for row, part in zip(rows, parts, strict=True):
        if part:
            row.extend((field_header(form.tensors, wire.STRUCT, len(part) // 2), *part))


def _blocks(
    column: Any, num_rows: int, family: str, key: FeatureKey, tensor_form: TensorForm
) -> Sequence[bytes | memoryview | None]:
    """Return each record's GeneralTensor; None where it has none."""
    array = column if isinstance(column, np.ndarray) else _as_matrix(column)
    if array is None or array.dtype.kind not in "biuf":
        values = column if array is None else array
        return [None if _is_nothing(value) else _block(value, family, key, tensor_form) for value in values]
    rows = array.reshape(num_rows, 1) if array.ndim == 1 else array
    blocks: list[memoryview | None] = list(_number_blocks(np.asarray(rows), family, key, tensor_form))
    if isinstance(rows, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(rows).reshape(num_rows, -1)
        for index in np.flatnonzero(hidden.all(axis=1)).tolist():
            blocks[index] = None
    return blocks


def _as_matrix(column: Any) -> Array | None:
    """Return a sequence of equally long numbers as an array; None where it is none."""
    if any(_is_nothing(value) for value in column):
        return None
    try:
        array = np.asarray(column)
    except ValueError:  # the rows differ in shape
        return None
    return array if array.dtype.kind in "biuf" else None


def _is_nothing(value: Any) -> bool:
    return not isinstance(value, np.ndarray) and is_missing(value)


def _block(value: Any, family: str, key: FeatureKey, tensor_form: TensorForm) -> bytes | memoryview:
    try:
        array = np.asarray(value)
    except ValueError:
        raise _refused(family, key, "tensors, got rows of different lengths") from None
    if array.dtype.kind in "biuf":
        return _number_blocks(
            (array if array.ndim else array.reshape(1))[np.newaxis], family, key, tensor_form
        )[0]
    return _text_block(array, family, key)


def number_frame(
    dtype: Any, shape: Sequence[int], family: str, key: FeatureKey, tensor_form: TensorForm
) -> tuple[bytes, str, bytes]:
    """Return what stands before and behind the numbers of a GeneralTensor, whatever they are.

    Returns
    -------
    head, element, tail
        ``element`` is NumPy's name for a number's bytes, which lie between the two.

    Raises
    ------
    InvalidRequestError
        The format has no such numbers, or not so many.
    """
    member = _member(dtype, family, key, tensor_form)
    count = int(np.prod(shape, dtype=np.int64))
    size_bytes = count * np.dtype(member.element).itemsize
    if size_bytes > 2**31 - 1:
        raise _refused(family, key, f"tensors of less than 2 GiB, got shape {shape}")
    if member.field == wire.TENSOR_RAW:
        head = _I32.pack(wire.I32, wire.RAW_DATA_TYPE, member.code)
        head += _STRING.pack(wire.STRING, wire.RAW_CONTENT, size_bytes)
        tail = _shape_field(wire.RAW_SHAPE, shape)
    else:
        head = _LIST.pack(wire.LIST, wire.VALUES, member.code, count)
        tail = b"" if len(shape) == 1 else _shape_field(wire.SHAPE, shape)
    return _STRUCT.pack(wire.STRUCT, member.field) + head, member.element, tail + _STOPS


def _number_blocks(rows: Array, family: str, key: FeatureKey, tensor_form: TensorForm) -> list[memoryview]:
    """Write (rows, ...) numbers as so many GeneralTensors of one size, each a view of one array."""
    num_rows, shape = rows.shape[0], rows.shape[1:]
    head, element, tail = number_frame(rows.dtype, shape, family, key, tensor_form)
    count = int(np.prod(shape, dtype=np.int64))
    layout = [
        ("head", "u1", (len(head),)),
        ("values", element, (count,)),
        ("tail", "u1", (len(tail),)),
    ]
    out = np.empty(num_rows, np.dtype(layout))
    out["head"] = np.frombuffer(head, np.uint8)
    out["values"] = rows.reshape(num_rows, count)
    out["tail"] = np.frombuffer(tail, np.uint8)
    size = out.dtype.itemsize
    data = out.view(np.uint8).data
    return [data[start : start + size] for start in range(0, num_rows * size, size)]


def _member(dtype: Any, family: str, key: FeatureKey, tensor_form: TensorForm) -> _Member:
    if dtype.kind == "b":
        return _BOOL
    if dtype.kind == "f":
        if tensor_form == "raw":
            return _RAW[np.dtype(np.float64 if dtype.itemsize > 4 else np.float32)]
        return _FLOAT if tensor_form == "float" else _DOUBLE
    if dtype == np.uint64:
        raise _refused(family, key, "integers of at most 64 signed bits, got dtype uint64")
    if tensor_form == "raw" and dtype in _RAW:
        return _RAW[np.dtype(dtype)]
    fits = np.can_cast(dtype, np.int32)
    if tensor_form == "raw":
        return _RAW[np.dtype(np.int32 if fits else np.int64)]
    return _INT32 if fits else _INT64


def _text_block(array: Array, family: str, key: FeatureKey) -> bytes:
    """Write texts as a StringTensor; bytes that are no text as a BinaryTensor."""
    items: list[bytes] = []
    member = wire.TENSOR_STRING
    for item in array.flat:
        if isinstance(item, str):
            items.append(item.encode())
        elif isinstance(item, bytes):
            items.append(item)
            try:
                item.decode()
            except UnicodeDecodeError:
                member = wire.TENSOR_BINARY
        else:
            raise _refused(family, key, f"tensors of numbers or texts, got {type(item).__name__}")
    head = _STRUCT.pack(wire.STRUCT, member) + _LIST.pack(wire.LIST, wire.VALUES, wire.STRING, len(items))
    shape = b"" if array.ndim < 2 else _shape_field(wire.SHAPE, array.shape)
    return b"".join((head, *map(packed_string, items), shape, _STOPS))


def _shape_field(field: int, shape: Sequence[int]) -> bytes:
    return _LIST.pack(wire.LIST, field, wire.I64, len(shape)) + np.array(shape, ">i8").tobytes()


def _refused(family: str, key: FeatureKey, expected: str) -> InvalidRequestError:
    return InvalidRequestError(f"{family} feature '{key}': expected {expected}", tensor=str(key))
