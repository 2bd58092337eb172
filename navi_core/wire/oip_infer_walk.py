"""ModelInferRequests that are written the plain way, walked field by field to find where things lie.

The plain way is every client library's; whatever is unusual is left to protobuf's parser. What clients send over and
over (an input's name, type and shape) is parsed once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from navi_core.types import Bytes, Parameters
from navi_core.wire import oip
from navi_core.wire.descriptors import parse_message
from navi_core.wire.oip_parameters import parameters_of
from navi_core.wire.oip_request import NO_PARAMETERS, InputHead, RequestedOutput

__all__ = ["NotPlainError", "WalkedInferRequest", "walk_infer_request"]

_MODEL_NAME: Final = 0x0A
_MODEL_VERSION: Final = 0x12
_ID: Final = 0x1A
_PARAMETER: Final = 0x22
_INPUT: Final = 0x2A
_OUTPUT: Final = 0x32
_RAW: Final = 0x3A
_TEXTS: Final = {_MODEL_NAME: "model_name", _MODEL_VERSION: "model_version", _ID: "id"}
_CONTENTS: Final = 0x2A
_PLAIN_IN_INPUT: Final = frozenset({0x0A, 0x12, 0x1A, 0x22})

_SMALL_BYTES: Final = 256

_NOWHERE: Final = (0, 0)


class NotPlainError(Exception):
    """The message is not written the plain way: protobuf has to parse it."""


@dataclass(slots=True)
class WalkedInferRequest:
    """What was found; places are where bytes start and stop in the body.

    Parameters
    ----------
    model_name, model_version, id
        As sent.
    id_place
        Where the id lies.
    parameters
        Name -> value.
    heads
        What is said of each input.
    contents
        Where the typed contents of each input lie; None: it has none.
    outputs
        What is asked for.
    raw
        Where each entry of ``raw_input_contents`` lies.
    """

    model_name: str = ""
    model_version: str = ""
    id: str = ""
    id_place: tuple[int, int] = _NOWHERE
    parameters: Parameters = field(default_factory=lambda: NO_PARAMETERS)
    heads: list[InputHead] = field(default_factory=list)
    contents: list[tuple[int, int] | None] = field(default_factory=list)
    outputs: list[RequestedOutput] = field(default_factory=list)
    raw: list[tuple[int, int]] = field(default_factory=list)


def walk_infer_request(body: Bytes) -> WalkedInferRequest:
    """Find the parts of a plainly written request.

    Raises
    ------
    NotPlainError, IndexError, UnicodeDecodeError
        Something is unusual, or wrong.
    """
    found = WalkedInferRequest()
    seen: set[int] = set()
    parameters: list[bytes] = []
    view = memoryview(body)
    pos, end = 0, len(body)
    while pos < end:
        tag = body[pos]
        start, stop = _run(body, pos + 1, end)
        if tag == _RAW:
            found.raw.append((start, stop))
        elif tag == _INPUT:
            head_stop, where = _split_input(body, start, stop)
            head = bytes(view[start:head_stop])
            found.heads.append(_parse_small_head(head) if len(head) <= _SMALL_BYTES else _parse_head(head))
            found.contents.append(where)
        elif tag == _OUTPUT:
            output = bytes(view[start:stop])
            found.outputs.append(
                _parse_small_output(output) if len(output) <= _SMALL_BYTES else _parse_output(output)
            )
        elif tag == _PARAMETER:
            parameters.append(bytes(view[pos:stop]))
        elif tag in _TEXTS and tag not in seen:
            seen.add(tag)
            setattr(found, _TEXTS[tag], str(view[start:stop], "utf-8"))
            if tag == _ID:
                found.id_place = (start, stop)
        else:
            raise NotPlainError
        pos = stop
    if parameters:
        joined = b"".join(parameters)
        found.parameters = (
            _parse_small_parameters(joined) if len(joined) <= _SMALL_BYTES else _parse_parameters(joined)
        )
    return found


def _split_input(body: Bytes, start: int, stop: int) -> tuple[int, tuple[int, int] | None]:
    """Find where an input's contents begin; return where its head ends, and where the contents lie."""
    pos = start
    while pos < stop:
        tag = body[pos]
        if tag == _CONTENTS:
            where = _run(body, pos + 1, stop)
            if where[1] != stop:
                raise NotPlainError
            return pos, where
        if tag not in _PLAIN_IN_INPUT:
            raise NotPlainError
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
            raise NotPlainError
    pos += 1
    stop = pos + (length | byte << shift)
    if stop > limit:
        raise NotPlainError
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
