# Copied from navi_core/wire/oip_contents.py by tools/build_wire_copies.py; not edited by hand.
"""Tensors in the typed fields of ``InferTensorContents``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from navi_client.errors import DecodeError, TensorMismatchError
from navi_client._generated.tensors import DType, string_array
from navi_client.types import Array, Bytes
from navi_client._generated import oip
from navi_client._generated.descriptors import parse_message
from navi_client._generated.oip_dtypes import OIP_TYPES, OipType
from navi_client.oip_head import InputHead
from navi_client._generated.oip_tensors import object_array, raw_bytes
from navi_client._generated.tensor_proto import varint

if TYPE_CHECKING:
    from navi_client._generated.oip import InferTensorContents

__all__ = ["decode_contents", "encode_contents", "find_packed", "view_contents"]

_FIELDS: Final = tuple(dict.fromkeys(kind.field for kind in OIP_TYPES.values() if kind.field))


def view_contents(body: Bytes, start: int, end: int, head: InputHead, kind: OipType, count: int) -> Array:
    """Decode serialized contents; a packed run of floats or bools becomes a view of ``body``.

    Raises
    ------
    DecodeError, TensorMismatchError
        See `decode_contents`.
    """
    place = find_packed(body, start, end, kind, count)
    if place is not None:
        array: Array = np.ndarray(head.shape, kind.numpy, body, place)
        if array.dtype.kind != "b" or array.view(np.uint8).max() <= 1:
            array.flags.writeable = False
            return array
    message = parse_message(oip.InferTensorContents, memoryview(body)[start:end], tensor=head.name)
    return decode_contents(message, head, kind, count)


def find_packed(body: Bytes, start: int, end: int, kind: OipType, count: int) -> int | None:
    """Return where the values begin in serialized contents that are one packed run of ``count`` of them."""
    if not kind.fixed or end - start <= 2 or body[start] != kind.field_number << 3 | 2:
        return None
    size_bytes = shift = 0
    pos = start + 1
    while (byte := body[pos]) >= 0x80 and shift <= 28 and pos + 1 < end:
        size_bytes |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
    size_bytes |= byte << shift
    is_all = pos + 1 + size_bytes == end and size_bytes == count * kind.numpy.itemsize
    return pos + 1 if is_all else None


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
    contents = oip.InferTensorContents()
    values = string_array(array) if kind.dtype is DType.STRING else array
    getattr(contents, kind.field).extend(values.reshape(-1).tolist())
    return [contents.SerializeToString()]
