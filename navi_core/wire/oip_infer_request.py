"""ModelInferRequest -> named arrays.

The decoder walks messages that are written the plain way, so that tensors become views of the body, and leaves
all others to protobuf's parser. What clients send over and over (an input's name, type and shape) is parsed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from navi_core.errors import DecodeError
from navi_core.signature import Signature
from navi_core.types import Array, Bytes, Parameters
from navi_core.wire import oip
from navi_core.wire.descriptors import parse_message
from navi_core.wire.oip_contents import decode_contents, view_contents
from navi_core.wire.oip_parameters import parameters_of
from navi_core.wire.oip_request import NO_PARAMETERS, InputHead, ParsedInferRequest, RequestedOutput
from navi_core.wire.oip_tensors import checked_type, decode_raw, num_elements

if TYPE_CHECKING:
    from navi_core.wire.oip import InferTensorContents, ModelInferRequest

__all__ = ["parse_infer_request"]

_MODEL_NAME: Final = 0x0A
_MODEL_VERSION: Final = 0x12
_ID: Final = 0x1A
_PARAMETER: Final = 0x22
_INPUT: Final = 0x2A
_OUTPUT: Final = 0x32
_RAW: Final = 0x3A
_CONTENTS: Final = 0x2A
_PLAIN_IN_INPUT: Final = frozenset({0x0A, 0x12, 0x1A, 0x22})

_SMALL_BYTES: Final = 256


class _NotPlainError(Exception):
    """The message is not written the plain way: protobuf has to parse it."""


@dataclass(frozen=True, slots=True)
class _Tensors:
    """The inputs of one request, where they lie.

    Parameters
    ----------
    heads
        What is said of each.
    contents
        Of each: where its typed contents lie in ``body``, the parsed contents, or None: it has none.
    raw
        The entries of ``raw_input_contents``.
    body
        What ``contents`` points into.
    """

    heads: tuple[InputHead, ...]
    contents: Sequence[tuple[int, int] | InferTensorContents | None]
    raw: Sequence[Bytes]
    body: Bytes

    def decode(self, max_tensor_bytes: int, _signature: Signature) -> dict[str, Array]:
        """Decode all inputs.

        Raises
        ------
        DecodeError, TensorMismatchError
            What a client sent is no such tensor.
        """
        if len(self.raw) > len(self.heads):
            raise DecodeError(
                f"raw_input_contents: expected one entry for each of {len(self.heads)} inputs, "
                f"got {len(self.raw)}"
            )
        inputs: dict[str, Array] = {}
        for index, head in enumerate(self.heads):
            if head.name in inputs:
                raise DecodeError(f"input '{head.name}' already exists in request", tensor=head.name)
            array = self._decode(index, head, max_tensor_bytes)
            max_tensor_bytes -= array.nbytes
            inputs[head.name] = array
        return inputs

    def _decode(self, index: int, head: InputHead, max_tensor_bytes: int) -> Array:
        kind = checked_type(head)
        count = num_elements(head, kind, max_tensor_bytes)
        contents = self.contents[index]
        if self.raw:
            if contents is not None:
                raise DecodeError(
                    f"contents field must not be specified when using raw_input_contents for '{head.name}'",
                    tensor=head.name,
                )
            if index < len(self.raw):
                return decode_raw(self.raw[index], head, kind, count)
        elif contents is None and not count:
            return np.empty(head.shape, kind.numpy)
        if contents is None:
            raise DecodeError(f"unable to find data for input '{head.name}' in request", tensor=head.name)
        if isinstance(contents, tuple):
            return view_contents(self.body, *contents, head, kind, count)
        return decode_contents(contents, head, kind, count)


def parse_infer_request(body: Bytes) -> ParsedInferRequest:
    """Parse a serialized ModelInferRequest; tensors decoded from it may be views of ``body``.

    Raises
    ------
    DecodeError
        It is no ModelInferRequest.
    InvalidRequestError
        A parameter has a value of the wrong kind.
    """
    try:
        return _split(body)
    except (_NotPlainError, IndexError, UnicodeDecodeError):
        return _from_message(parse_message(oip.ModelInferRequest, body))


def _from_message(message: ModelInferRequest) -> ParsedInferRequest:
    heads = tuple(
        InputHead(each.name, each.datatype, tuple(each.shape), parameters_of(each.parameters))
        for each in message.inputs
    )
    contents = [each.contents if each.HasField("contents") else None for each in message.inputs]
    tensors = _Tensors(heads, contents, list(message.raw_input_contents), b"")
    return ParsedInferRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        parameters=parameters_of(message.parameters),
        inputs=heads,
        outputs=tuple(RequestedOutput(each.name, parameters_of(each.parameters)) for each in message.outputs),
        decode_inputs=tensors.decode,
        typed=any(each is not None for each in contents) and not tensors.raw,
    )


def _split(body: Bytes) -> ParsedInferRequest:
    """Read a plainly written request.

    Raises
    ------
    _NotPlainError, IndexError, UnicodeDecodeError
        Something is unusual, or wrong.
    """
    texts: dict[int, str] = {}
    parameters: list[bytes] = []
    heads: list[InputHead] = []
    contents: list[tuple[int, int] | None] = []
    outputs: list[RequestedOutput] = []
    raw: list[Bytes] = []
    view = memoryview(body)
    pos, end = 0, len(body)
    while pos < end:
        tag = body[pos]
        start, stop = _run(body, pos + 1, end)
        if tag == _RAW:
            raw.append(view[start:stop])
        elif tag == _INPUT:
            head_stop, where = _split_input(body, start, stop)
            head = bytes(view[start:head_stop])
            heads.append(_parse_small_head(head) if len(head) <= _SMALL_BYTES else _parse_head(head))
            contents.append(where)
        elif tag == _OUTPUT:
            output = bytes(view[start:stop])
            outputs.append(
                _parse_small_output(output) if len(output) <= _SMALL_BYTES else _parse_output(output)
            )
        elif tag == _PARAMETER:
            parameters.append(bytes(view[pos:stop]))
        elif tag in (_MODEL_NAME, _MODEL_VERSION, _ID) and tag not in texts:
            texts[tag] = str(view[start:stop], "utf-8")
        else:
            raise _NotPlainError
        pos = stop
    named = NO_PARAMETERS
    if parameters:
        joined = b"".join(parameters)
        named = _parse_small_parameters(joined) if len(joined) <= _SMALL_BYTES else _parse_parameters(joined)
    tensors = _Tensors(tuple(heads), contents, raw, body)
    return ParsedInferRequest(
        model_name=texts.get(_MODEL_NAME, ""),
        model_version=texts.get(_MODEL_VERSION, ""),
        id=texts.get(_ID, ""),
        parameters=named,
        inputs=tensors.heads,
        outputs=tuple(outputs),
        decode_inputs=tensors.decode,
        typed=not raw and any(where is not None for where in contents),
    )


def _split_input(body: Bytes, start: int, stop: int) -> tuple[int, tuple[int, int] | None]:
    """Find where an input's contents begin; return where its head ends, and where the contents lie."""
    pos = start
    while pos < stop:
        tag = body[pos]
        if tag == _CONTENTS:
            where = _run(body, pos + 1, stop)
            if where[1] != stop:
                raise _NotPlainError
            return pos, where
        if tag not in _PLAIN_IN_INPUT:
            raise _NotPlainError
        _, pos = _run(body, pos + 1, stop)
    return stop, None


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


def _parse_head(data: bytes) -> InputHead:
    message = parse_message(oip.ModelInferRequest.InferInputTensor, data)
    return InputHead(message.name, message.datatype, tuple(message.shape), parameters_of(message.parameters))


def _parse_output(data: bytes) -> RequestedOutput:
    message = parse_message(oip.ModelInferRequest.InferRequestedOutputTensor, data)
    return RequestedOutput(message.name, parameters_of(message.parameters))


def _parse_parameters(data: bytes) -> Parameters:
    return parameters_of(parse_message(oip.ModelInferRequest, data).parameters)


_parse_small_head: Final = lru_cache(maxsize=1024)(_parse_head)
_parse_small_output: Final = lru_cache(maxsize=1024)(_parse_output)
_parse_small_parameters: Final = lru_cache(maxsize=256)(_parse_parameters)
