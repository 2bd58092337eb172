# Copied from navi_core/wire/oip_contents.py by tools/build_wire_copies.py; not edited by hand.
"""Tensors in the typed fields of ``InferTensorContents``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from navi_client.errors import DecodeError, TensorMismatchError
from navi_client._generated.tensors import DType, string_items
from navi_client.types import Array, Bytes
from navi_client._generated import oip
from navi_client._generated.descriptors import parse_message
from navi_client._generated.oip_dtypes import OIP_TYPES, OipType
from navi_client.oip_head import InputHead
from navi_client._generated.oip_tensors import object_array, raw_bytes
from navi_client._generated.tensor_proto import makes_arrays, varint
from navi_client._generated.varints import count_varints, decode_varints, encode_varints

if TYPE_CHECKING:
    from navi_client._generated.oip import InferTensorContents

__all__ = ["decode_contents", "encode_contents", "find_packed", "view_contents"]

_LANES: Final[dict[str, np.dtype]] = {
    "int_contents": np.dtype(np.int32),
    "int64_contents": np.dtype(np.int64),
    "uint_contents": np.dtype(np.uint32),
    "uint64_contents": np.dtype(np.uint64),
}
"""What a field's integers are."""

_MANY_BYTES: Final = 2048
"""Runs of integers of so many bytes and more are decoded faster by NumPy than by a protobuf that makes no arrays."""

_FEW: Final = 512
"""Up to so many integers, protobuf encodes them faster than NumPy does."""

_FIELDS: Final = tuple(dict.fromkeys(kind.field for kind in OIP_TYPES.values() if kind.field))


def view_contents(body: Bytes, start: int, end: int, head: InputHead, kind: OipType, count: int) -> Array:
    """Decode serialized contents; a packed run of floats or bools becomes a view of ``body``.

    Raises
    ------
    DecodeError, TensorMismatchError
        See `decode_contents`.
    """
    place = find_packed(body, start, end, kind, count)
    if place is None and end - start >= _MANY_BYTES and not makes_arrays():
        numbers = _integers(body, start, end, kind, count)
        if numbers is not None:
            return _numbers(numbers, head, kind).reshape(head.shape)
    if place is not None:
        array: Array = np.ndarray(head.shape, kind.numpy, body, place)
        if array.dtype.kind != "b" or array.view(np.uint8).max() <= 1:
            array.flags.writeable = False
            return array
    message = parse_message(oip.InferTensorContents, memoryview(body)[start:end], tensor=head.name)
    return decode_contents(message, head, kind, count)


def find_packed(body: Bytes, start: int, end: int, kind: OipType, count: int) -> int | None:
    """Return where the values begin in serialized contents that are one packed run of ``count`` of them."""
    if not kind.fixed:
        return None
    place = _find_run(body, start, end, kind)
    return place if place is not None and end - place == count * kind.numpy.itemsize else None


def _integers(body: Bytes, start: int, end: int, kind: OipType, count: int) -> Array | None:
    """Decode contents that are one packed run of ``count`` integers; None: they are not, or something is wrong."""
    lane = _LANES.get(kind.field)
    place = None if lane is None else _find_run(body, start, end, kind)
    if place is None or end - place < count:
        return None
    data = bytes(body[place:end])
    try:
        if count_varints(data) != count:
            return None
        values: Array = decode_varints(data, exact=True)
    except DecodeError:
        return None
    return values.astype(lane, copy=False)


def _find_run(body: Bytes, start: int, end: int, kind: OipType) -> int | None:
    """Return where the run begins in contents that are one packed run of the type's own field."""
    if end - start <= 2 or body[start] != kind.field_number << 3 | 2:
        return None
    size_bytes = shift = 0
    pos = start + 1
    while (byte := body[pos]) >= 0x80 and shift <= 28 and pos + 1 < end:
        size_bytes |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
    size_bytes |= byte << shift
    return pos + 1 if pos + 1 + size_bytes == end else None


def decode_contents(contents: InferTensorContents, head: InputHead, kind: OipType, count: int) -> Array:
    """Return the array that typed contents hold.

    Raises
    ------
    DecodeError
        The type has no typed field, another field than its own is filled, or a value does not fit it.
    TensorMismatchError
        There are more or fewer values than the shape has elements.
    """
    filled = [field for field in _FIELDS if len(getattr(contents, field))]
    if not kind.field:
        raise DecodeError(
            f"output '{head.name}': {kind.name} has no typed contents, use raw_input_contents",
            tensor=head.name,
        )
    if any(field != kind.field for field in filled):
        raise DecodeError(
            f"output '{head.name}': expected {kind.name} values in {kind.field} alone, got {', '.join(filled)}",
            tensor=head.name,
        )
    values = getattr(contents, kind.field)
    if len(values) != count:
        raise TensorMismatchError(tensor=head.name, what="values", expected=str(count), got=str(len(values)))
    if kind.dtype is DType.STRING:
        return object_array(list(values)).reshape(head.shape)
    return _numbers(values, head, kind).reshape(head.shape)


def _numbers(values: Any, head: InputHead, kind: OipType) -> Array:
    dtype = kind.numpy
    if dtype.kind not in "iu" or dtype.itemsize >= 4:
        return np.array(values, dtype=dtype)
    wide = np.array(values, dtype=np.int64)
    limits = np.iinfo(dtype)
    if wide.size and (wide.min() < limits.min or wide.max() > limits.max):
        raise DecodeError(
            f"output '{head.name}': expected {kind.name} values from {limits.min} to {limits.max}, "
            f"got {int(wide.min())} to {int(wide.max())}",
            tensor=head.name,
        )
    return wide.astype(dtype)


def encode_contents(array: Array, kind: OipType) -> list[Bytes]:
    """Encode an array as serialized typed contents.

    Parameters
    ----------
    array
        Any shape.
    kind
        Its element type; one that has a typed field.

    Returns
    -------
    pieces
        To be written one after the other; may be views of ``array``.
    """
    if not array.size:
        return []
    if kind.fixed:
        data = raw_bytes(array)
        return [varint(kind.field_number << 3 | 2) + varint(len(data)), data]
    if kind.field in _LANES and array.size > _FEW:
        run = encode_varints(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(-1))
        return [varint(kind.field_number << 3 | 2) + varint(len(run)), run]
    contents = oip.InferTensorContents()
    items = string_items(array) if kind.dtype is DType.STRING else array.ravel().tolist()
    getattr(contents, kind.field).extend(items)
    return [contents.SerializeToString()]
