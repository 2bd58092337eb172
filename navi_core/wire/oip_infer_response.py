"""Named arrays -> ModelInferResponse."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from navi_core.errors import UnsupportedError
from navi_core.tensors import DType, dtype_of
from navi_core.types import Array, Bytes, NamedArrays, Parameters
from navi_core.wire import oip
from navi_core.wire.oip_contents import encode_contents
from navi_core.wire.oip_dtypes import BY_NUMPY, OIP_TYPES, OipType
from navi_core.wire.oip_parameters import set_parameters
from navi_core.wire.oip_tensors import VIEW_FROM_BYTES, raw_bytes
from navi_core.wire.tensor_proto import varint

__all__ = ["encode_infer_response", "encode_stream_error", "encode_stream_response", "output_type"]


def output_type(name: str, array: Array) -> OipType:
    """Return the protocol's element type of an output.

    Raises
    ------
    UnsupportedError
        It has none.
    """
    known = BY_NUMPY.get(array.dtype)
    if known is not None:
        return known
    dtype = dtype_of(array)
    kind = OIP_TYPES.get(dtype)
    if kind is None:
        raise UnsupportedError(
            f"output '{name}': the protocol has no datatype for elements of {dtype}", tensor=name
        )
    return kind


def encode_infer_response(
    outputs: NamedArrays,
    *,
    model: str,
    version: int,
    request_id: str = "",
    parameters: Parameters | None = None,
    typed: bool = False,
) -> tuple[list[Bytes], bool]:
    """Encode a ModelInferResponse.

    Parameters
    ----------
    outputs
        Name -> array.
    model, version
        What answered.
    request_id
        The request's id.
    parameters
        The response's parameters.
    typed
        Write tensors into typed fields; where one of them has none, all are raw.

    Returns
    -------
    pieces
        The message, in pieces to be written one after the other.
    has_views
        Some pieces are views of ``outputs``, which must not change until they are written.

    Raises
    ------
    UnsupportedError
        The protocol cannot carry an output's elements.
    """
    small: list[Bytes] = [_encoded_target(model, version)]
    if request_id:
        encoded_id = request_id.encode()
        small.append(b"\x1a" + varint(len(encoded_id)) + encoded_id)
    if parameters:
        message = oip.ModelInferResponse()
        set_parameters(message.parameters, parameters)
        small.append(message.SerializeToString())
    plain = _plain_outputs(outputs, typed)
    if plain is not None:
        return [b"".join([*small, *plain])], False
    kinds = {name: output_type(name, array) for name, array in outputs.items()}
    pieces: list[Bytes] = []
    if typed and all(kind.field for kind in kinds.values()):
        _append_typed(outputs, kinds, small, pieces)
    else:
        _append_raw(outputs, kinds, small, pieces)
    has_views = bool(pieces)
    if small:
        pieces.append(b"".join(small))
    return pieces, has_views


def _plain_outputs(outputs: NamedArrays, typed: bool) -> list[bytes] | None:
    """Encode small outputs whose values are their own bytes; None: some are not that."""
    heads: list[bytes] = []
    raw: list[bytes] = []
    for name, array in outputs.items():
        heads_of = None if array.nbytes >= VIEW_FROM_BYTES else _plain_heads(name, array.dtype, array.shape)
        if heads_of is None:
            return None
        if typed:
            if not heads_of.typed:
                return None
            heads += (heads_of.typed, array.tobytes())
        else:
            heads.append(heads_of.output)
            raw += (heads_of.raw, array.tobytes())
    return heads + raw


class _PlainHeads(NamedTuple):
    """What goes before the values of an output.

    Parameters
    ----------
    typed
        The output up to the values in it; empty: they are written otherwise.
    output, raw
        The output without values, and what goes before them in ``raw_output_contents``.
    """

    typed: bytes
    output: bytes
    raw: bytes


@lru_cache(maxsize=1024)
def _plain_heads(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> _PlainHeads | None:
    """Return what goes before an output's values; None: they are not their own bytes."""
    kind = BY_NUMPY.get(dtype)
    if kind is None or kind.dtype is DType.STRING or sys.byteorder != "little":
        return None
    size_bytes = math.prod(shape) * dtype.itemsize
    typed = b""
    if kind.fixed and size_bytes:
        contents = varint(kind.field_number << 3 | 2) + varint(size_bytes)
        head = _encoded_head(name, kind.name, shape)
        head += b"\x2a" + varint(len(contents) + size_bytes) + contents
        typed = b"\x2a" + varint(len(head) + size_bytes) + head
    return _PlainHeads(typed, _encoded_raw_head(name, kind.name, shape), b"\x32" + varint(size_bytes))


def _append_raw(
    outputs: NamedArrays, kinds: Mapping[str, OipType], small: list[Bytes], pieces: list[Bytes]
) -> None:
    tails: list[Bytes] = []
    for name, array in outputs.items():
        small.append(_encoded_raw_head(name, kinds[name].name, array.shape))
        data = raw_bytes(array)
        tails += (b"\x32" + varint(len(data)), data)
    _append(tails, small, pieces)


def _append_typed(
    outputs: NamedArrays, kinds: Mapping[str, OipType], small: list[Bytes], pieces: list[Bytes]
) -> None:
    for name, array in outputs.items():
        head = _encoded_head(name, kinds[name].name, array.shape)
        contents = encode_contents(array, kinds[name])
        size_bytes = sum(map(len, contents))
        tag = b"\x2a" + varint(size_bytes)
        small.append(b"\x2a" + varint(len(head) + len(tag) + size_bytes) + head + tag)
        _append(contents, small, pieces)


def _append(data: list[Bytes], small: list[Bytes], pieces: list[Bytes]) -> None:
    """Add data to the message: views as pieces of their own, everything else joined."""
    for piece in data:
        if isinstance(piece, memoryview):
            pieces += (b"".join(small), piece)
            small.clear()
        else:
            small.append(piece)


def encode_stream_response(pieces: list[Bytes]) -> bytes:
    """Wrap an encoded ModelInferResponse in a ModelStreamInferResponse."""
    return b"".join([b"\x12", varint(sum(map(len, pieces))), *pieces])


def encode_stream_error(text: str, request_id: str, *, parameters: Parameters) -> bytes:
    """Encode the ModelStreamInferResponse of a request that failed; with the response's parameters."""
    message = oip.ModelStreamInferResponse(error_message=text)
    set_parameters(message.infer_response.parameters, parameters)
    if request_id:
        message.infer_response.id = request_id
    return message.SerializeToString()


@lru_cache(maxsize=256)
def _encoded_target(model: str, version: int) -> bytes:
    """Return fields 1 and 2 of a ModelInferResponse."""
    return oip.ModelInferResponse(model_name=model, model_version=str(version)).SerializeToString()


@lru_cache(maxsize=1024)
def _encoded_head(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Return an output's name, type and shape."""
    message = oip.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=shape)
    return message.SerializeToString()


@lru_cache(maxsize=1024)
def _encoded_raw_head(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Return an output whose data is elsewhere, as a field of the response."""
    head = _encoded_head(name, datatype, shape)
    return b"\x2a" + varint(len(head)) + head
