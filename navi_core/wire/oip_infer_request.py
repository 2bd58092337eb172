"""ModelInferRequest -> named arrays.

The decoder walks messages that are written the plain way, so that tensors become views of the body, and leaves
all others to protobuf's parser. Requests that are like an earlier one are not even walked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from navi_core.errors import DecodeError
from navi_core.signature import Signature
from navi_core.tensors import DType
from navi_core.types import Array, Bytes
from navi_core.wire import oip
from navi_core.wire.body_layouts import BodyLayouts
from navi_core.wire.descriptors import parse_message
from navi_core.wire.oip_contents import decode_contents, find_packed, view_contents
from navi_core.wire.oip_dtypes import BY_NAME
from navi_core.wire.oip_infer_walk import NotPlainError, WalkedInferRequest, walk_infer_request
from navi_core.wire.oip_parameters import parameters_of
from navi_core.wire.oip_request import InferTerms, InputHead, ParsedInferRequest, RequestedOutput
from navi_core.wire.oip_tensors import checked_type, decode_raw, num_elements
from navi_core.wire.tensor_view import MAX_RANK

if TYPE_CHECKING:
    from navi_core.wire.oip import InferTensorContents, ModelInferRequest

__all__ = ["parse_infer_request"]


_SMALL_BODY_BYTES: Final = 1024


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
    if len(body) <= _SMALL_BODY_BYTES and type(body) is not bytes:
        body = bytes(body)  # whose parts are compared and looked at in less time than this takes
    layout = _LAYOUTS.find(body)
    if layout is not None:
        try:
            request_id = str(body[slice(*layout.id_place)], "utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return ParsedInferRequest(layout.terms, request_id, partial(_decode_alike, body, layout))
    try:
        walked = walk_infer_request(body)
    except (NotPlainError, IndexError, UnicodeDecodeError):
        return _from_message(parse_message(oip.ModelInferRequest, body))
    parsed = _from_walked(walked, body)
    places = _plain_places(walked, body)
    if places is not None:
        holes = [(start, start + math.prod(shape) * dtype.itemsize) for _, shape, dtype, start in places]
        size_bytes = sum(stop - start for start, stop in holes)
        holes.append(walked.id_place)
        _LAYOUTS.add(body, sorted(holes), _Layout(parsed.terms, walked.id_place, places, size_bytes))
    return parsed


def _from_walked(walked: WalkedInferRequest, body: Bytes) -> ParsedInferRequest:
    heads = tuple(walked.heads)
    view = memoryview(body)
    tensors = _Tensors(heads, walked.contents, [view[start:stop] for start, stop in walked.raw], body)
    terms = InferTerms(
        model_name=walked.model_name,
        model_version=walked.model_version,
        parameters=walked.parameters,
        inputs=heads,
        outputs=tuple(walked.outputs),
        typed=not walked.raw and any(where is not None for where in walked.contents),
    )
    return ParsedInferRequest(terms, walked.id, tensors.decode)


_Places: TypeAlias = tuple[tuple[str, tuple[int, ...], np.dtype, int], ...]
"""Name, shape, dtype and start of each tensor."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is the same in all requests that are alike but for their id and the values of their tensors.

    Parameters
    ----------
    terms
        What was read of one of them, but for its id: that is kept no longer than its request.
    id_place
        Where the id starts and stops.
    places
        The tensors.
    size_bytes
        Of all tensors together.
    """

    terms: InferTerms
    id_place: tuple[int, int]
    places: _Places
    size_bytes: int


_LAYOUTS: Final[BodyLayouts[_Layout]] = BodyLayouts()


def _decode_alike(
    body: Bytes, layout: _Layout, max_tensor_bytes: int, signature: Signature
) -> dict[str, Array]:
    if layout.size_bytes > max_tensor_bytes:
        return _from_walked(walk_infer_request(body), body).decode_inputs(max_tensor_bytes, signature)
    inputs: dict[str, Array] = {
        name: np.ndarray(shape, dtype, body, start) for name, shape, dtype, start in layout.places
    }
    if type(body) is not bytes:  # views of those are read-only anyhow
        for array in inputs.values():
            array.flags.writeable = False
    return inputs


def _from_message(message: ModelInferRequest) -> ParsedInferRequest:
    heads = tuple(
        InputHead(each.name, each.datatype, tuple(each.shape), parameters_of(each.parameters))
        for each in message.inputs
    )
    contents = [each.contents if each.HasField("contents") else None for each in message.inputs]
    tensors = _Tensors(heads, contents, list(message.raw_input_contents), b"")
    terms = InferTerms(
        model_name=message.model_name,
        model_version=message.model_version,
        parameters=parameters_of(message.parameters),
        inputs=heads,
        outputs=tuple(RequestedOutput(each.name, parameters_of(each.parameters)) for each in message.outputs),
        typed=any(each is not None for each in contents) and not tensors.raw,
    )
    return ParsedInferRequest(terms, message.id, tensors.decode)


def _plain_places(walked: WalkedInferRequest, body: Bytes) -> _Places | None:
    """Find tensors that are views of the body whatever their values are; None: one may be something else."""
    heads, raw = walked.heads, walked.raw
    if not heads or len({head.name for head in heads}) < len(heads) or len(raw) not in (0, len(heads)):
        return None
    places = []
    for index, head in enumerate(heads):
        kind = BY_NAME.get(head.datatype)
        if kind is None or kind.dtype in (DType.STRING, DType.BOOL) or len(head.shape) > MAX_RANK:
            return None
        count = math.prod(head.shape)
        where = walked.contents[index]
        if count <= 0 or min(head.shape, default=1) < 0 or (where is not None) == bool(raw):
            return None
        start: int | None
        if where is None:
            start, stop = raw[index]
            start = start if stop - start == count * kind.numpy.itemsize else None
        else:
            start = find_packed(body, *where, kind, count)
        if start is None:
            return None
        places.append((head.name, head.shape, kind.numpy, start))
    return tuple(places)
