"""HTTP bodies of inference requests -> named arrays: JSON, and the binary tensor data extension.

With the extension the body is a JSON document followed by the bytes of the inputs that say
``binary_data_size``, in the order of the inputs; a header says how long the document is. A length of zero
means that there is no document: the body is the one input's bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from navi_core.errors import DecodeError, InvalidRequestError, TensorMismatchError
from navi_core.signature import Signature
from navi_core.tensors import DType
from navi_core.types import Array, Bytes, Parameters
from navi_core.wire.oip_dtypes import OIP_TYPES, datatype_name
from navi_core.wire.oip_json_document import DEFAULT_MAX_DEPTH, DEFAULT_MAX_JSON_BYTES, parse_object
from navi_core.wire.oip_json_values import decode_data
from navi_core.wire.oip_request import (
    NO_PARAMETERS,
    InferTerms,
    InputHead,
    ParsedInferRequest,
    RequestedOutput,
)
from navi_core.wire.oip_tensors import checked_type, decode_raw, num_elements, object_array

__all__ = ["BINARY_SIZE", "HEADER_LENGTH", "json_length", "parse_json_infer_request"]

HEADER_LENGTH: Final = "inference-header-content-length"
"""The header with the length of the JSON document."""

BINARY_SIZE: Final = "binary_data_size"

_MISSING: Final = object()

_INTEGERS: Final = {int}
_MAX_KEPT_LENGTH: Final = 256
"""What is said of an input is kept for the next request if it is no longer than this."""


def json_length(header: str | bytes | None, body_bytes: int) -> int | None:
    """Return how many bytes of a body are JSON; None: the header is absent, all of them.

    Raises
    ------
    InvalidRequestError
        The header is no number, or more than the body has.
    """
    if header is None:
        return None
    text = header.decode("ascii", "replace") if isinstance(header, bytes) else header
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidRequestError(
            f"unable to parse Inference-Header-Content-Length: expected a number of bytes, got '{text[:32]}'"
        )
    length = int(text)
    if length > body_bytes:
        raise InvalidRequestError(
            f"Inference-Header-Content-Length: expected at most the {body_bytes} bytes of the body, got {length}"
        )
    return length


def parse_json_infer_request(
    body: Bytes,
    header_length: int | None = None,
    *,
    max_json_bytes: int = DEFAULT_MAX_JSON_BYTES,
    max_depth: int = DEFAULT_MAX_DEPTH,
) -> ParsedInferRequest:
    """Parse the body of an inference request; tensors decoded from it may be views of ``body``.

    Parameters
    ----------
    body
        The HTTP body, inflated.
    header_length
        Bytes of the JSON document, see `json_length`.
    max_json_bytes, max_depth
        Limits of the document.

    Raises
    ------
    InvalidRequestError
        The document is not that of an inference request.
    """
    if header_length == 0:
        return ParsedInferRequest(InferTerms(is_raw_binary=True), "", _RawBinary(body).decode)
    length = len(body) if header_length is None else header_length
    view = memoryview(body)
    document = parse_object(view[:length], max_json_bytes=max_json_bytes, max_depth=max_depth)
    inputs = document.get("inputs")
    if type(inputs) is not list:
        raise InvalidRequestError("request JSON: inputs: expected an array")
    heads = tuple([_head(item, index) for index, item in enumerate(inputs)])
    data = [item.get("data", _MISSING) for item in inputs]
    tensors = _JsonTensors(heads, data, view[length:])
    request_id = _text(document, "id", "id")
    terms = InferTerms(
        parameters=_parameters(document, "parameters"),
        inputs=heads,
        outputs=_requested(document) if "outputs" in document else (),
    )
    return ParsedInferRequest(terms, request_id, tensors.decode)


@dataclass(slots=True)
class _JsonTensors:
    """The inputs of one request: what is said of each, its ``data``, and the bytes after the document."""

    heads: tuple[InputHead, ...]
    data: list[Any]
    tail: memoryview

    def decode(self, max_tensor_bytes: int, _signature: Signature) -> dict[str, Array]:
        """Decode all inputs; raises RequestErrors."""
        inputs: dict[str, Array] = {}
        pos = 0
        for head, data in zip(self.heads, self.data, strict=True):
            if head.name in inputs:
                raise DecodeError(f"input '{head.name}' already exists in request", tensor=head.name)
            kind = checked_type(head)
            count = num_elements(head, kind, max_tensor_bytes)
            size_bytes = head.parameters.get(BINARY_SIZE)
            if size_bytes is None:
                if data is _MISSING:
                    raise DecodeError(
                        f"input '{head.name}': expected one of 'data' and parameter '{BINARY_SIZE}', got neither",
                        tensor=head.name,
                    )
                array = decode_data(data, head, kind, count)
            else:
                if data is not _MISSING:
                    raise DecodeError(
                        f"input '{head.name}': expected one of 'data' and parameter '{BINARY_SIZE}', got both",
                        tensor=head.name,
                    )
                stop = pos + _binary_size(size_bytes, head.name)
                if stop > len(self.tail):
                    raise DecodeError(
                        f"input '{head.name}': expecting {stop - len(self.tail)} additional bytes of binary data",
                        tensor=head.name,
                    )
                array = decode_raw(self.tail[pos:stop], head, kind, count)
                pos = stop
            max_tensor_bytes -= array.nbytes
            inputs[head.name] = array
        if pos != len(self.tail):
            raise DecodeError(
                f"unexpected additional input data: {len(self.tail) - pos} bytes more than the inputs have"
            )
        return inputs


def _binary_size(value: Any, name: str) -> int:
    if type(value) is not int or value < 0:
        raise DecodeError(
            f"input '{name}': {BINARY_SIZE}: expected a number of bytes, got {value!r:.32}", tensor=name
        )
    return value


@dataclass(frozen=True, slots=True)
class _RawBinary:
    """A body that is one tensor's bytes; what it is, the model's signature says."""

    body: Bytes

    def decode(self, max_tensor_bytes: int, signature: Signature) -> dict[str, Array]:
        """Decode the input; raises RequestErrors."""
        if len(signature.inputs) != 1:
            raise InvalidRequestError(
                "raw binary request: expected a model with exactly one input, "
                f"got one with {len(signature.inputs)}"
            )
        (spec,) = signature.inputs.values()
        kind = OIP_TYPES.get(spec.dtype)
        if kind is None or spec.shape is None:
            got = datatype_name(spec.dtype) if kind is None else "an unknown rank"
            raise InvalidRequestError(
                f"raw binary request: input '{spec.name}' has {got}, which it cannot say", tensor=spec.name
            )
        dims = list(spec.shape)
        if signature.batchable:
            dims[0] = 1
        free = [index for index, dim in enumerate(dims) if not isinstance(dim, int)]
        fixed = math.prod(dim for dim in dims if isinstance(dim, int))
        if kind.dtype is DType.STRING:
            if len(free) > 1 or fixed != 1:
                raise InvalidRequestError(
                    f"raw binary request: expected a BYTES input of one element, got input '{spec.name}'",
                    tensor=spec.name,
                )
            shape = tuple(dim if isinstance(dim, int) else 1 for dim in dims)
            return {spec.name: object_array([bytes(self.body)]).reshape(shape)}
        if len(free) > 1:
            raise InvalidRequestError(
                f"raw binary request: input '{spec.name}' has {len(free)} variable dimensions, "
                "expected at most 1",
                tensor=spec.name,
            )
        row_bytes = fixed * kind.numpy.itemsize
        if free:
            if not row_bytes or len(self.body) % row_bytes:
                raise TensorMismatchError(
                    tensor=spec.name,
                    what="size",
                    expected=f"a multiple of {row_bytes}",
                    got=str(len(self.body)),
                )
            dims[free[0]] = len(self.body) // row_bytes
        head = InputHead(spec.name, kind.name, tuple(dim for dim in dims if isinstance(dim, int)))
        count = num_elements(head, kind, max_tensor_bytes)
        return {spec.name: decode_raw(self.body, head, kind, count)}


# --- the document -----------------------------------------------------------------------------------


def _head(item: Any, index: int) -> InputHead:
    if type(item) is dict and "parameters" not in item:
        name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
        if (
            type(name) is type(datatype) is str
            and type(shape) is list
            and len(name) + len(datatype) + len(shape) <= _MAX_KEPT_LENGTH
            and set(map(type, shape)) == _INTEGERS  # to the cache, 1 and True are the same
        ):
            known = _known_head(name, datatype, tuple(shape))
            if known is not None:
                return known
    return _checked_head(item, f"inputs[{index}]")


@lru_cache(maxsize=256)
def _known_head(name: str, datatype: str, shape: tuple[int, ...]) -> InputHead | None:
    """Return what a plain input says: the same few over and over; None: something in it is unusual, or wrong."""
    if not (name + datatype).isascii() or max(map(abs, shape)) >= 2**63:
        return None
    return InputHead(name, datatype, shape)


def _checked_head(item: Any, place: str) -> InputHead:
    if type(item) is not dict:
        raise InvalidRequestError(f"request JSON: {place}: expected an object")
    name = _required_text(item, "name", place)
    datatype = _required_text(item, "datatype", place)
    shape = item.get("shape")
    if type(shape) is not list or not all(type(size) is int and abs(size) < 2**63 for size in shape):
        raise InvalidRequestError(
            f"request JSON: {place}.shape: expected an array of integers (input '{name[:64]}')", tensor=name
        )
    return InputHead(name, datatype, tuple(shape), _parameters(item, f"{place}.parameters"))


def _requested(document: Mapping[str, Any]) -> tuple[RequestedOutput, ...]:
    return tuple(
        RequestedOutput(_required_text(item, "name", place), _parameters(item, f"{place}.parameters"))
        for place, item in _objects(document, "outputs")
    )


def _objects(document: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    items = document.get(key, [])
    if type(items) is not list or not all(type(item) is dict for item in items):
        raise InvalidRequestError(f"request JSON: {key}: expected an array of objects")
    return [(f"{key}[{index}]", item) for index, item in enumerate(items)]


def _text(item: Mapping[str, Any], key: str, place: str) -> str:
    value = item.get(key, "")
    if type(value) is not str or not _is_text(value):
        raise InvalidRequestError(f"request JSON: {place}: expected a string")
    return value


def _required_text(item: Mapping[str, Any], key: str, place: str) -> str:
    if key not in item:
        raise InvalidRequestError(f"request JSON: {place}: '{key}' is missing")
    return _text(item, key, f"{place}.{key}")


def _parameters(item: Mapping[str, Any], place: str) -> Parameters:
    found = item.get("parameters")
    if found is None:
        return NO_PARAMETERS
    if type(found) is not dict:
        raise InvalidRequestError(f"request JSON: {place}: expected an object")
    for name, value in found.items():
        if type(value) not in (bool, int, float, str) or not _is_text(name) or not _is_text(value):
            raise InvalidRequestError(
                f"request JSON: {place}: parameter '{name[:64]}': expected a string, number or boolean"
            )
        if type(value) is int and not -(2**63) <= value < 2**64:
            raise InvalidRequestError(
                f"request JSON: {place}: parameter '{name[:64]}': expected a 64-bit integer"
            )
    return found


def _is_text(value: Any) -> bool:
    """Tell whether a value, if it is a string, can be written again: half a surrogate pair cannot."""
    return (
        type(value) is not str or value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value)
    )
