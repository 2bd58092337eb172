"""FlatArray: an array as GraphServer writes it, with its shape information and either byte order.

A shape information is ``[rank, dims..., strides..., extra, elementWiseStride, order]`` in int64, order 99 for C and
102 for Fortran. Java writes elements big-endian (``byteOrder`` 1), C++ little-endian. Elements lie in the order that
``order`` says, without gaps.
"""

from __future__ import annotations

import math
from typing import Any, Final

import flatbuffers
import numpy as np

from navi_core import Array
from navi_graphserver.flat.enums import DTYPE_FLAGS, EMPTY_FLAG, NUMPY_DTYPES, DType
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.verified import Table

__all__ = ["MAX_RANK", "flat_dtype", "read_array", "read_shape_information", "text_bytes", "write_array"]

MAX_RANK: Final = 32
"""nd4j's own limit (``MAX_RANK``), and one that NumPy takes."""

_ORDERS: Final = {99: "C", 102: "F"}
_BIG_ENDIAN: Final = 1
_FLAT_DTYPES: Final = {dtype: kind for kind, dtype in NUMPY_DTYPES.items()}


def read_shape_information(table: Table, slot: int, name: str) -> tuple[tuple[int, ...], int, str] | None:
    """Return the dimensions, the ``extra`` number and the order (``C`` or ``F``); None: there is none.

    A dimension that nobody knows is negative.

    Raises
    ------
    FlatBufferError
        It contradicts itself.
    """
    numbers = table.numbers(slot, "<i8", name)
    if not numbers:
        return None
    rank, place = numbers[0], f"{table.place}.{name}"
    if not 0 <= rank <= MAX_RANK:
        raise FlatBufferError(f"has a rank of {rank}; expected 0 to {MAX_RANK}", place)
    if len(numbers) != 2 * rank + 4:
        raise FlatBufferError(f"has {len(numbers)} numbers; expected {2 * rank + 4} for rank {rank}", place)
    shape, extra, order = numbers[1 : 1 + rank], numbers[-3], numbers[-1]
    if order not in _ORDERS:
        raise FlatBufferError(f"has the order {order}; expected 99 (C) or 102 (Fortran)", place)
    return shape, extra, _ORDERS[order]


def read_array(table: Table) -> Array:
    """Return the array of a FlatArray table; bytes objects for text.

    Returns
    -------
    array
        Little-endian, read-only, a view of the buffer where that is possible; the layout is the stored one.

    Raises
    ------
    FlatBufferError
        The shape, the element type and the number of bytes contradict one another.
    """
    number = table.scalar(2, "b", "dtype")
    dtype = _known_dtype(number, table)
    information = read_shape_information(table, 0, "shape")
    if information is None:
        raise FlatBufferError("has no shape", table.place)
    shape, extra, order = information
    if any(size < 0 for size in shape):
        raise FlatBufferError(f"has a negative dimension: {list(shape)}", f"{table.place}.shape")
    size = math.prod(shape)
    buffer = table.vector(1, "u1", "buffer")
    if extra & EMPTY_FLAG and (buffer is None or not buffer.size):
        return _empty(shape, dtype)
    if buffer is None:
        buffer = np.empty(0, np.uint8)
    if dtype is DType.UTF8:
        return _texts(buffer, size, table).reshape(shape, order="F" if order == "F" else "C")
    element = NUMPY_DTYPES[dtype]
    if buffer.size != size * element.itemsize:
        problem = f"has {buffer.size} bytes; expected {size * element.itemsize} for {dtype.name} of shape {list(shape)}"
        raise FlatBufferError(problem, f"{table.place}.buffer")
    array = _elements(buffer, element, big_endian=table.scalar(3, "b", "byteOrder") == _BIG_ENDIAN)
    array.flags.writeable = False
    return array.reshape(shape, order="F" if order == "F" else "C")


def _known_dtype(number: int, table: Table) -> DType:
    try:
        dtype = DType(number)
    except ValueError:
        raise FlatBufferError(f"{number} is no element type", f"{table.place}.dtype") from None
    if dtype not in NUMPY_DTYPES:
        raise FlatBufferError(f"arrays of {dtype.name} are not served", f"{table.place}.dtype")
    return dtype


def _empty(shape: tuple[int, ...], dtype: DType) -> Array:
    """Return an array without elements; a flag says so, whatever the dimensions say."""
    return np.empty(shape if 0 in shape else (0,), NUMPY_DTYPES[dtype])


def _elements(buffer: Array, element: np.dtype[Any], *, big_endian: bool) -> Array:
    if element == np.bool_:
        return np.asarray(buffer != 0)  # any other byte would be an invalid bool
    if big_endian and element.itemsize > 1:
        unsigned = np.dtype(f">u{element.itemsize}")
        return buffer.view(unsigned).astype(unsigned.newbyteorder("<")).view(element)
    return buffer.view(element)


def _texts(buffer: Array, count: int, table: Table) -> Array:
    """Read ``count + 1`` offsets and the text behind them.

    The offsets are little-endian whatever ``byteOrder`` says: Java copies them as its native code has them.
    """
    place = f"{table.place}.buffer"
    head = 8 * (count + 1)
    if buffer.size < head:
        raise FlatBufferError(f"has {buffer.size} bytes; {count} texts take at least {head}", place)
    offsets = buffer[:head].view("<i8")
    if offsets[0] < 0 or np.any(np.diff(offsets) < 0) or offsets[-1] > buffer.size - head:
        raise FlatBufferError("has offsets of texts that lie outside of it", place)
    data, ends = buffer[head:].tobytes(), offsets.tolist()
    texts = np.empty(count, object)
    for index in range(count):
        texts[index] = data[ends[index] : ends[index + 1]]
    return texts


def write_array(builder: flatbuffers.Builder, array: Array, *, big_endian: bool = False) -> int:
    """Write a FlatArray in C order and return its place.

    Parameters
    ----------
    builder
        Where it is written to; no table is open.
    array
        Any shape; of a dtype that is served, text as objects (bytes or str).
    big_endian
        Write as Java does instead of as C++ does.

    Raises
    ------
    ValueError
        No element type stands for the dtype.
    """
    dtype = flat_dtype(array)
    if dtype is DType.UTF8:
        data = text_bytes(array)
    elif big_endian and array.dtype.itemsize > 1:
        unsigned = np.dtype(f"<u{array.dtype.itemsize}")
        data = np.ascontiguousarray(array).view(unsigned).astype(unsigned.newbyteorder(">")).tobytes()
    else:
        data = np.ascontiguousarray(array).tobytes()
    extra = DTYPE_FLAGS[dtype] | (EMPTY_FLAG if array.size == 0 else 0)
    strides = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
    information = np.array([array.ndim, *array.shape, *strides, extra, 1, 99], np.int64)
    shape_at = builder.CreateNumpyVector(information)
    buffer_at = builder.CreateNumpyVector(np.frombuffer(data, np.uint8)) if data else 0
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, shape_at, 0)
    if buffer_at:
        builder.PrependUOffsetTRelativeSlot(1, buffer_at, 0)
    builder.PrependInt8Slot(2, int(dtype), 0)
    builder.PrependInt8Slot(3, int(big_endian), 0)
    place: int = builder.EndObject()
    return place


def flat_dtype(array: Array) -> DType:
    """Return the element type that stands for an array's dtype.

    Raises
    ------
    ValueError
        There is none.
    """
    known = _FLAT_DTYPES.get(array.dtype)
    if known is not None:
        return known
    if array.dtype.kind in "OSU":
        return DType.UTF8
    known = _FLAT_DTYPES.get(array.dtype.newbyteorder("="))
    if known is None:
        msg = f"no element type of GraphServer's stands for {array.dtype}"
        raise ValueError(msg)
    return known


def text_bytes(array: Array) -> bytes:
    """Return texts as a FlatArray's buffer has them: offsets, and the text behind them."""
    texts = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel().tolist()]
    offsets = np.zeros(len(texts) + 1, "<i8")
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return offsets.tobytes() + b"".join(texts)
