# Copied from navi_core/wire/oip_tensors.py by tools/build_wire_copies.py; not edited by hand.
"""Tensors of the Open Inference Protocol as bytes: ``raw_input_contents``, and binary tensor data over HTTP.

Little-endian, row-major, no padding. A BOOL is one byte, 0 or 1; each element of BYTES is its length in four
bytes, then so many bytes. Numeric tensors become views of the bytes. A tensor's size is
checked before memory is taken for it.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from navi_client.errors import DecodeError, TensorMismatchError
from navi_client._generated.tensors import DType, string_items
from navi_client.types import Array, Bytes
from navi_client._generated.oip_dtypes import BY_NAME, OipType
from navi_client.oip_head import InputHead
from navi_client._generated.tensor_view import MAX_RANK

__all__ = ["checked_type", "decode_raw", "num_elements", "object_array", "raw_bytes"]

VIEW_FROM_BYTES: Final = 1 << 16
"""Tensors of at least so many bytes are encoded as a view of the array; smaller ones are faster copied."""

_POINTER_BYTES: Final = 8
_LENGTH: Final = struct.Struct("<I")
_LENGTH_BYTES: Final = 4
_IS_LITTLE: Final = sys.byteorder == "little"


def checked_type(head: InputHead) -> OipType:
    """Return an input's element type.

    Raises
    ------
    DecodeError
        The protocol has none of that name.
    """
    kind = BY_NAME.get(head.datatype)
    if kind is None:
        raise DecodeError(
            f"invalid datatype for output '{head.name}': expected one of {', '.join(BY_NAME)}, "
            f"got '{head.datatype[:32]}'",
            tensor=head.name,
        )
    return kind


def num_elements(head: InputHead, kind: OipType, max_tensor_bytes: int) -> int:
    """Return the number of elements that a shape has, before memory is taken for them.

    Raises
    ------
    DecodeError
        It is no tensor's shape, or it is too large.
    """
    shape = head.shape
    if len(shape) > MAX_RANK:
        raise DecodeError(
            f"output '{head.name}': expected at most {MAX_RANK} dimensions, got {len(shape)}", tensor=head.name
        )
    if shape and min(shape) < 0:
        raise DecodeError(
            f"output '{head.name}': all dimensions must be specified, got {list(shape)}", tensor=head.name
        )
    element_bytes = _POINTER_BYTES if kind.dtype is DType.STRING else kind.numpy.itemsize
    count = math.prod(shape)
    # Python's integers do not overflow. Zeros are left out: NumPy refuses (0, 2**62) like (2**62,).
    spanned = count or math.prod(size for size in shape if size)
    if spanned * element_bytes > max_tensor_bytes:
        raise DecodeError(
            f"output '{head.name}': expected at most {max_tensor_bytes} bytes of tensors in a request, "
            f"got shape {list(shape)} of {kind.name}",
            tensor=head.name,
        )
    return count


def decode_raw(data: Bytes, head: InputHead, kind: OipType, count: int) -> Array:
    """Decode one tensor's bytes.

    Parameters
    ----------
    data
        The bytes; numeric arrays are views of them, read-only and perhaps unaligned.
    head
        Name and shape.
    kind
        Its element type.
    count
        The number of elements of ``shape``, already found to be acceptable.

    Raises
    ------
    TensorMismatchError
        There are more or fewer bytes than the tensor has.
    DecodeError
        BYTES are not in the format, or a BOOL is neither 0 nor 1.
    """
    if kind.dtype is DType.STRING:
        return object_array(_strings(data, head.name, count)).reshape(head.shape)
    dtype = kind.numpy
    size_bytes = count * dtype.itemsize
    if len(data) != size_bytes:
        raise TensorMismatchError(tensor=head.name, what="size", expected=str(size_bytes), got=str(len(data)))
    if not count:
        return np.empty(head.shape, dtype)
    array = np.frombuffer(data, dtype if _IS_LITTLE else dtype.newbyteorder("<"), count)
    if dtype.kind == "b" and array.view(np.uint8).max() > 1:
        raise DecodeError(
            f"output '{head.name}': expected BOOL bytes of 0 and 1, got {array.view(np.uint8).max()}",
            tensor=head.name,
        )
    array = array.reshape(head.shape)
    array.flags.writeable = False
    return array


def object_array(items: Sequence[Any]) -> Array:
    """Return items as a flat object array."""
    out = np.empty(len(items), dtype=object)
    out[:] = items
    return out


def _strings(data: Bytes, name: str, count: int) -> list[bytes]:
    """Decode length-prefixed strings."""
    if len(data) < count * _LENGTH.size:  # before a list of that many is thought of
        raise DecodeError(
            f"unexpected number of string elements for inference output '{name}', expecting {count}, "
            f"got {len(data)} bytes, which hold at most {len(data) // _LENGTH.size}",
            tensor=name,
        )
    plain = bytes(data)
    strings: list[bytes] = []
    append, length_at = strings.append, _LENGTH.unpack_from
    pos, end = 0, len(plain)
    try:
        for _ in range(count):
            start = pos + _LENGTH_BYTES
            pos = start + length_at(plain, pos)[0]
            append(plain[start:pos])
    except struct.error:
        pos = -1
    return strings if pos == end else _checked_strings(plain, name, count)


def _checked_strings(plain: bytes, name: str, count: int) -> list[bytes]:
    """Decode strings one by one, to say what is wrong with them."""
    strings: list[bytes] = []
    pos, end = 0, len(plain)
    while pos < end:
        if end - pos < _LENGTH.size:
            raise DecodeError(
                f"incomplete string length indicator for inference output '{name}', expecting "
                f"{_LENGTH.size} bytes but only {end - pos} bytes available",
                tensor=name,
                offset=pos,
            )
        (length,) = _LENGTH.unpack_from(plain, pos)
        pos += _LENGTH.size
        if length > end - pos:
            raise DecodeError(
                f"incomplete string data for inference output '{name}', expecting string of length {length} "
                f"but only {end - pos} bytes available",
                tensor=name,
                offset=pos,
            )
        strings.append(plain[pos : pos + length])
        pos += length
        if len(strings) > count:
            break
    if len(strings) != count:
        got = f"more than {count}" if len(strings) > count else str(len(strings))
        raise DecodeError(
            f"unexpected number of string elements {got} for inference output '{name}', expecting {count}",
            tensor=name,
        )
    return strings


def raw_bytes(array: Array) -> Bytes:
    """Return a tensor's bytes as the protocol has them; a large one's as a view, where it lies so.

    Parameters
    ----------
    array
        Any shape; strings as object, ``S`` or ``U``.
    """
    if array.dtype.kind in "OSU":
        pieces: list[bytes] = []
        for item in string_items(array):
            pieces += (_LENGTH.pack(len(item)), item)
        return b"".join(pieces)
    little = array if _IS_LITTLE and array.dtype.isnative else array.astype(array.dtype.newbyteorder("<"))
    if array.nbytes < VIEW_FROM_BYTES:
        return little.tobytes()
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data
