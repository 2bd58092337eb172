"""Proton's InferenceRequest -> array, array -> InferenceResponse.

Requests that are written the plain way (each field once, numbers packed), as every protobuf library writes
them, are walked, and the tensor is a view of the body; all others are left to protobuf's parser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from navi_core.errors import DecodeError
from navi_core.types import Array, Bytes
from navi_core.wire import proton
from navi_core.wire.descriptors import parse_message
from navi_core.wire.tensor_proto import VIEW_FROM_BYTES, varint
from navi_core.wire.tensor_view import MAX_RANK

__all__ = ["ParsedInferenceRequest", "encode_inference_response", "parse_inference_request", "shaped"]

_TAG_MODEL_NAME: Final = 0x0A
_TAG_DATA: Final = 0x12
_TAG_SHAPE: Final = 0x1A

_FLOAT: Final = np.dtype("<f4")
_MAX_SHAPE_BYTES: Final = 10 * MAX_RANK
_MAX_ELEMENTS: Final = 2**40
"""More than any message holds: what a shape with a zero in it may span, which NumPy limits, too."""


class _NotPlainError(Exception):
    """The message is not written the plain way: protobuf has to parse it."""


@dataclass(frozen=True, slots=True)
class ParsedInferenceRequest:
    """An InferenceRequest.

    Parameters
    ----------
    model_name
        As sent.
    array
        float32; read-only, where it is a view perhaps unaligned.
    """

    model_name: str
    array: Array


def parse_inference_request(body: Bytes) -> ParsedInferenceRequest:
    """Parse a serialized InferenceRequest; its array may be a view of ``body``.

    Raises
    ------
    DecodeError
        It is none, or its shape and its number of values do not match.
    """
    try:
        name, data, shape = _split(body)
    except (_NotPlainError, IndexError, UnicodeDecodeError):
        message = parse_message(proton.InferenceRequest, body)
        name, data, shape = message.model_name, np.array(message.data, _FLOAT), message.shape
    return ParsedInferenceRequest(name, shaped(data, shape))


def shaped(data: Array, shape: Sequence[int]) -> Array:
    """Return flat values in their shape.

    Parameters
    ----------
    data
        (N,), any dtype.
    shape
        Whatever a client sent.

    Raises
    ------
    DecodeError
        The shape is no tensor's, or not that of N values.
    """
    if len(shape) > MAX_RANK:
        raise DecodeError(f"shape: expected at most {MAX_RANK} dimensions, got {len(shape)}")
    if any(size < 0 for size in shape):
        raise DecodeError(f"shape: expected sizes >= 0, got {list(shape)}")
    # Python's integers do not overflow. Zeros are left out: NumPy refuses (0, 2**62) like (2**62,).
    if math.prod(shape) != len(data) or math.prod(size for size in shape if size) > _MAX_ELEMENTS:
        raise DecodeError(
            f"data and dimension must match in size: expected {math.prod(shape)} values for shape {list(shape)}, "
            f"got {len(data)}"
        )
    return data.reshape(tuple(shape))


def _split(body: Bytes) -> tuple[str, Array, Sequence[int]]:
    """Find the parts of a plainly written request.

    Raises
    ------
    _NotPlainError, IndexError, UnicodeDecodeError
        Something is unusual, or wrong.
    """
    name, data, shape = "", np.empty(0, _FLOAT), []
    last_tag = 0
    pos, end = 0, len(body)
    while pos < end:
        tag = body[pos]
        if tag <= last_tag:  # repeated, or in another order
            raise _NotPlainError
        last_tag = tag
        length, start = _varint(body, pos + 1)
        pos = start + length
        if pos > end:
            raise _NotPlainError
        if tag == _TAG_MODEL_NAME:
            name = bytes(body[start:pos]).decode()
        elif tag == _TAG_DATA and not length % _FLOAT.itemsize:
            data = np.frombuffer(body, _FLOAT, length // _FLOAT.itemsize, start)
            data.flags.writeable = False
        elif tag == _TAG_SHAPE and length <= _MAX_SHAPE_BYTES:
            shape = _sizes(body, start, pos)
        else:
            raise _NotPlainError
    return name, data, shape


def _sizes(body: Bytes, pos: int, end: int) -> list[int]:
    sizes = []
    while pos < end:
        size, pos = _varint(body, pos)
        sizes.append(size)
    if pos != end:
        raise _NotPlainError
    return sizes


def _varint(body: Bytes, pos: int) -> tuple[int, int]:
    """Read a number below 2**31 at ``pos``; return it and where it ends."""
    number = shift = 0
    while (byte := body[pos]) >= 0x80:
        number |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
        if shift > 28:
            raise _NotPlainError
    number |= byte << shift
    if number >= 1 << 31:  # int32 would wrap
        raise _NotPlainError
    return number, pos + 1


def encode_inference_response(
    array: Array, *, prediction_id: str, model_name: str
) -> tuple[list[Bytes], bool]:
    """Encode an InferenceResponse.

    Parameters
    ----------
    array
        Any shape, float32.
    prediction_id, model_name
        As they are to be read.

    Returns
    -------
    pieces
        The message, in pieces to be written one after the other.
    has_views
        Some pieces are views of ``array``, which must not change until they are written.
    """
    values = np.ascontiguousarray(array, _FLOAT).reshape(-1)
    head = b"\x0a" + _text(prediction_id) + b"\x12" + _text(model_name)
    sizes = b"".join(map(varint, array.shape))
    tail = b"\x22" + varint(len(sizes)) + sizes if sizes else b""
    if not values.size:
        return [head + tail], False
    head += b"\x1a" + varint(values.nbytes)
    if values.nbytes < VIEW_FROM_BYTES:
        return [head + values.tobytes() + tail], False
    return [head, values.data.cast("B"), tail], True


def _text(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data
