# Copied from navi_core/wire/tensor_view.py by tools/build_wire_copies.py; not edited by hand.
"""TensorProtos that are written the plain way, as views of the bytes that hold them.

The plain way: the type, then the shape, then one run of fixed-width values up to the end. That is how clients
write floats and every numeric ``tensor_content``. Everything else is left to protobuf's parser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from navi_client._generated.tensors import DType
from navi_client.types import Array, Bytes
from navi_client._generated.tf_dtypes import BY_NUMBER, TfType

__all__ = ["MAX_RANK", "Run", "ValuesAt", "find_run", "find_values", "view_tensor"]

MAX_RANK: Final = 32
"""The most dimensions of a tensor: what every supported NumPy can hold."""

_TAG_DTYPE: Final = 0x08
_TAG_SHAPE: Final = 0x12
_TAG_DIM: Final = 0x12
_TAG_SIZE: Final = 0x08
_TAG_CONTENT: Final = 0x22


@dataclass(frozen=True, slots=True)
class ValuesAt:
    """Where the values of a tensor lie in a body that ends with them.

    Parameters
    ----------
    dtype, shape
        The array's.
    start
        The first byte; the last one is the message's.
    size_bytes
        Above 0.
    is_content
        They are ``tensor_content``.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    size_bytes: int
    is_content: bool


def view_tensor(body: Bytes, start: int, end: int, max_tensor_bytes: int) -> Array | None:
    """Make a view of the body; None where the message is not written the plain way, or is wrong."""
    found = find_values(body, start, end)
    if found is None or found.size_bytes > max_tensor_bytes:
        return None
    array: Array = np.ndarray(found.shape, found.dtype, body, found.start)
    if found.dtype.kind == "b" and array.view(np.uint8).max() > 1:
        return None
    array.flags.writeable = False
    return array


def find_values(body: Bytes, start: int, end: int) -> ValuesAt | None:
    """Find the values of a TensorProto without looking at them; None: see `view_tensor`."""
    run = find_run(body, start, end)
    if run is None or not (run.is_content or run.kind.fixed):
        return None
    dtype = run.kind.numpy
    if run.size_bytes != math.prod(run.shape) * dtype.itemsize:
        return None
    return ValuesAt(dtype, run.shape, run.start, run.size_bytes, run.is_content)


class Run(NamedTuple):
    """A run of values in the field of its type, or ``tensor_content``, at the end of a TensorProto.

    Parameters
    ----------
    kind
        The type; never strings.
    shape
        The tensor's, whether that many values are there or not.
    start, size_bytes
        Where the run lies in the body; it is not empty.
    is_content
        It is ``tensor_content``.
    """

    kind: TfType
    shape: tuple[int, ...]
    start: int
    size_bytes: int
    is_content: bool


def find_run(body: Bytes, start: int, end: int) -> Run | None:
    """Walk a TensorProto up to the run of its values; None: it is not written the plain way, or wrong."""
    try:
        if body[start] != _TAG_DTYPE:
            return None
        kind = BY_NUMBER.get(body[start + 1])
        pos = start + 2
        if kind is None or kind.dtype is DType.STRING:
            return None
        dims: list[int] = []
        if body[pos] == _TAG_SHAPE:
            shape_end = pos + 2 + body[pos + 1]
            if body[pos + 1] >= 0x80:
                return None
            pos += 2
            while pos < shape_end:
                if body[pos] != _TAG_DIM:
                    return None
                dim_end = pos + 2 + body[pos + 1]
                pos += 2
                size = 0
                if pos < dim_end:
                    if body[pos] != _TAG_SIZE or dim_end - pos > 6:
                        return None  # a name, or a size of 2**35 and more
                    pos += 1
                    shift = 0
                    while (byte := body[pos]) >= 0x80:
                        size |= (byte & 0x7F) << shift
                        shift += 7
                        pos += 1
                        if pos >= dim_end:
                            return None
                    size |= byte << shift
                    pos += 1
                if pos != dim_end:
                    return None
                dims.append(size)
            if pos != shape_end or len(dims) > MAX_RANK:
                return None
        tag = body[pos]
        pos += 1
        if tag >= 0x80:
            tag = tag & 0x7F | body[pos] << 7
            pos += 1
        if tag not in (_TAG_CONTENT, kind.field_number << 3 | 2):
            return None
        size_bytes = shift = 0
        while (byte := body[pos]) >= 0x80:
            size_bytes |= (byte & 0x7F) << shift
            shift += 7
            pos += 1
            if shift > 28:  # more than any message has, and no endless varint is read
                return None
        size_bytes |= byte << shift
        pos += 1
    except IndexError:
        return None
    if pos + size_bytes != end or not size_bytes:
        return None
    return Run(kind, tuple(dims), pos, size_bytes, tag == _TAG_CONTENT)
