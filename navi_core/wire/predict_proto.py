"""PredictRequest -> named arrays, named arrays -> PredictResponse.

Like `navi_core.wire.tensor_proto`, the request's decoder walks messages that are written the plain
way, so that tensors become views of the body, and leaves all others to protobuf's parser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from navi_core.types import Array, Bytes, NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message
from navi_core.wire.tensor_proto import (
    array_of_message,
    decode_tensor,
    encode_tensor,
    varint,
)

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelSpec, PredictRequest

__all__ = ["ParsedPredictRequest", "encode_predict_response", "parse_predict_request"]

_TAG_MODEL_SPEC: Final = 0x0A
_TAG_INPUT: Final = 0x12
_TAG_OUTPUT_FILTER: Final = 0x1A
_TAG_ENTRY_KEY: Final = 0x0A
_TAG_ENTRY_VALUE: Final = 0x12

_TAG_CONTENT: Final = 0x22
_LENGTH_DELIMITED: Final = 2

_SMALL_SPEC_BYTES: Final = 256


class _NotPlainError(Exception):
    """The message is not written the plain way: protobuf has to parse it."""


@dataclass(frozen=True, slots=True)
class ParsedPredictRequest:
    """A PredictRequest whose tensors are found but not decoded.

    Parameters
    ----------
    model_spec
        As sent, to be read only; None: the request has none.
    output_filter
        As sent.
    decode_inputs
        Decodes the tensors: takes the most bytes that all of them together may become, returns
        name -> array (see `navi_core.wire.tensor_proto.decode_tensor`), raises DecodeError with ``tensor`` set.
    has_content
        Tells whether a tensor is written as ``tensor_content``.
    """

    model_spec: ModelSpec | None
    output_filter: tuple[str, ...]
    decode_inputs: Callable[[int], dict[str, Array]]
    has_content: Callable[[], bool]


def parse_predict_request(body: Bytes) -> ParsedPredictRequest:
    """Parse a serialized PredictRequest; tensors decoded from it may be views of ``body``.

    Raises
    ------
    DecodeError
        It is no PredictRequest.
    """
    try:
        spec, entries, output_filter = _split(body)
    except (_NotPlainError, IndexError, UnicodeDecodeError):
        message = parse_message(tf_serving.PredictRequest, body)
        return ParsedPredictRequest(
            message.model_spec if message.HasField("model_spec") else None,
            tuple(message.output_filter),
            partial(_decode_messages, message),
            partial(_any_content, message),
        )
    model_spec = None
    if spec is not None:
        parse = _parse_small_spec if len(spec) <= _SMALL_SPEC_BYTES else _parse_spec
        model_spec = parse(spec)
    return ParsedPredictRequest(
        model_spec,
        output_filter,
        partial(_decode_entries, body, entries),
        partial(_any_content_entry, body, entries),
    )


def _parse_spec(spec: bytes) -> ModelSpec:
    return parse_message(tf_serving.ModelSpec, spec)


_parse_small_spec: Final = lru_cache(maxsize=256)(_parse_spec)
"""Clients send the same few ModelSpecs over and over."""


def _decode_entries(
    body: Bytes, entries: dict[str, tuple[int, int]], max_tensor_bytes: int
) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    for name, (start, end) in entries.items():
        array = decode_tensor(body, start, end, name=name, max_tensor_bytes=max_tensor_bytes)
        max_tensor_bytes -= array.nbytes
        inputs[name] = array
    return inputs


def _decode_messages(message: PredictRequest, max_tensor_bytes: int) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    for name, tensor in message.inputs.items():
        array = array_of_message(tensor, name=name, max_tensor_bytes=max_tensor_bytes)
        max_tensor_bytes -= array.nbytes
        inputs[name] = array
    return inputs


def _any_content(message: PredictRequest) -> bool:
    return any(tensor.tensor_content for tensor in message.inputs.values())


def _any_content_entry(body: Bytes, entries: dict[str, tuple[int, int]]) -> bool:
    """Look for the field in each TensorProto, which has been decoded without an error."""
    for start, end in entries.values():
        pos = start
        while pos < end:
            tag, pos = _varint(body, pos)
            if tag == _TAG_CONTENT and body[pos]:
                return True
            number_or_length, pos = _varint(body, pos)
            if tag & 7 == _LENGTH_DELIMITED:
                pos += number_or_length
            elif tag & 7:  # no field of a TensorProto is fixed
                break
    return False


def _varint(body: Bytes, pos: int) -> tuple[int, int]:
    """Read a varint at ``pos``; return it and where the next thing starts."""
    value = shift = 0
    while (byte := body[pos]) >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
    return value | byte << shift, pos + 1


def _split(body: Bytes) -> tuple[bytes | None, dict[str, tuple[int, int]], tuple[str, ...]]:
    """Find the parts of a plainly written request.

    Returns
    -------
    model_spec, inputs, output_filter
        The serialized ModelSpec (None: absent); name -> (start, end) of its TensorProto; names.

    Raises
    ------
    _NotPlainError, IndexError, UnicodeDecodeError
        Something is unusual, or wrong.
    """
    spec: bytes | None = None
    entries: dict[str, tuple[int, int]] = {}
    output_filter: list[str] = []
    pos, end = 0, len(body)
    while pos < end:
        tag = body[pos]
        start, stop = _run(body, pos + 1, end)
        if tag == _TAG_INPUT:
            if body[start] != _TAG_ENTRY_KEY:
                raise _NotPlainError
            key_start, key_stop = _run(body, start + 1, stop)
            if key_stop >= stop or body[key_stop] != _TAG_ENTRY_VALUE:
                raise _NotPlainError
            value_start, value_stop = _run(body, key_stop + 1, stop)
            name = bytes(body[key_start:key_stop]).decode()
            if value_stop != stop or name in entries:
                raise _NotPlainError
            entries[name] = (value_start, value_stop)
        elif tag == _TAG_MODEL_SPEC and spec is None:
            spec = bytes(body[start:stop])
        elif tag == _TAG_OUTPUT_FILTER:
            output_filter.append(bytes(body[start:stop]).decode())
        else:
            raise _NotPlainError
        pos = stop
    return spec, entries, tuple(output_filter)


def _run(body: Bytes, pos: int, limit: int) -> tuple[int, int]:
    """Read a length at ``pos``; return where its bytes start and stop."""
    length = shift = 0
    while (byte := body[pos]) >= 0x80:
        length |= (byte & 0x7F) << shift
        shift += 7
        pos += 1
        if shift > 28:
            raise _NotPlainError
    pos += 1
    stop = pos + (length | byte << shift)
    if stop > limit:
        raise _NotPlainError
    return pos, stop


def encode_predict_response(
    outputs: NamedArrays, *, model: str, version: int, signature: str, as_content: bool = False
) -> tuple[list[Bytes], bool]:
    """Encode a PredictResponse.

    Parameters
    ----------
    outputs
        Name -> array.
    model, version, signature
        What answered: the response's ``model_spec``.
    as_content
        Write tensors as ``tensor_content``.

    Returns
    -------
    pieces
        The message, in pieces to be written one after the other.
    has_views
        Some pieces are views of ``outputs``, which must not change until they are written.
    """
    pieces: list[Bytes] = []
    small: list[Bytes] = []
    for name, array in outputs.items():
        tensor = encode_tensor(array, as_content=as_content)
        size_bytes = sum(map(len, tensor))
        key = name.encode()
        entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(size_bytes)
        small.append(b"\x0a" + varint(len(entry) + size_bytes) + entry)
        small += tensor
        if isinstance(small[-1], memoryview):
            view = small.pop()
            pieces += (b"".join(small), view)
            small.clear()
    has_views = bool(pieces)
    small.append(_encoded_model_spec(model, version, signature))
    pieces.append(b"".join(small))
    return pieces, has_views


@lru_cache(maxsize=256)
def _encoded_model_spec(model: str, version: int, signature: str) -> bytes:
    """Return field 2 of a PredictResponse."""
    spec = tf_serving.ModelSpec(name=model, signature_name=signature)
    spec.version.value = version
    data = spec.SerializeToString()
    return b"\x12" + varint(len(data)) + data
