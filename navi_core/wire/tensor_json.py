"""JSON requests of TensorFlow Serving's REST API -> named arrays.

A request is in row form (``instances``: one value, list or object per row) or in column form
(``inputs``: whole tensors). Element types come from the signature, never from the JSON; shapes come from the
nesting. The error texts are TensorFlow Serving's, with the place added where lists are uneven.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navi_core.errors import ErrorCode, InvalidRequestError, UnsupportedError
from navi_core.signature import TensorSpec
from navi_core.types import Array, Bytes
from navi_core.wire.json_document import read_request
from navi_core.wire.json_shown import format_error, printable, shown
from navi_core.wire.json_values import MismatchError, is_base64, shape_of, tensor_of

__all__ = [
    "DecodedJsonRequest",
    "ParsedJsonRequest",
    "decode_json_request",
    "decode_parsed_request",
    "parse_json_request",
]


@dataclass(slots=True)
class DecodedJsonRequest:
    """A predict request with its tensors decoded.

    Parameters
    ----------
    inputs
        Name -> array.
    signature
        The signature's name as sent; empty: none was sent.
    row_form
        The request had ``instances``, so the answer has ``predictions``.
    """

    inputs: dict[str, Array]
    signature: str
    row_form: bool


@dataclass(slots=True)
class ParsedJsonRequest:
    """A predict request as JSON, not yet looked at.

    Parameters
    ----------
    document
        The object.
    signature
        The signature's name as sent; empty: none was sent.
    has_bools
        False: no value in it is a boolean.
    """

    document: dict[str, Any]
    signature: str
    has_bools: bool


def parse_json_request(body: Bytes) -> ParsedJsonRequest:
    """Parse the body of a predict request.

    Raises
    ------
    InvalidRequestError
        It is no JSON object, or the signature's name is no text.
    """
    document, signature = read_request(body)
    text = body if isinstance(body, bytes) else bytes(body)
    return ParsedJsonRequest(document, signature, has_bools=_may_have_bools(text))


def decode_json_request(
    body: Bytes, input_specs: Callable[[str], Mapping[str, TensorSpec]]
) -> DecodedJsonRequest:
    """Decode the body of a predict request.

    Parameters
    ----------
    body
        The HTTP body.
    input_specs
        Gives the inputs of a signature by the name that the request has (empty: none). What it
        raises passes through.

    Raises
    ------
    InvalidRequestError
        The body is no JSON, no predict request, or does not fit the signature.
    UnsupportedError
        The signature has an element type that JSON requests cannot carry.
    """
    parsed = parse_json_request(body)
    return decode_parsed_request(parsed, input_specs(parsed.signature))


def decode_parsed_request(parsed: ParsedJsonRequest, specs: Mapping[str, TensorSpec]) -> DecodedJsonRequest:
    """Decode a predict request that is parsed.

    Parameters
    ----------
    parsed
        The request.
    specs
        The inputs of the signature that it names.

    Raises
    ------
    InvalidRequestError
        It is no predict request, or does not fit the signature.
    UnsupportedError
        The signature has an element type that JSON requests cannot carry.
    """
    document, signature, has_bools = parsed.document, parsed.signature, parsed.has_bools
    quick = _lists(document.get("instances"), specs) if len(document) == 1 and not has_bools else None
    if quick is not None:
        return DecodedJsonRequest(quick, signature, row_form=True)
    if not specs:
        raise InvalidRequestError(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    if "instances" in document:
        if "inputs" in document:
            raise format_error(
                document,
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
            )
        instances = document["instances"]
        if type(instances) is not list:
            raise format_error(document, "Expecting 'instances' to be an list/array")
        if not instances:
            raise format_error(document, "No values in 'instances' array")
        return DecodedJsonRequest(_rows(instances, specs, has_bools), signature, row_form=True)
    if "inputs" in document:
        return DecodedJsonRequest(_columns(document["inputs"], specs, has_bools), signature, row_form=False)
    raise InvalidRequestError("Missing 'inputs' or 'instances' key")


def _may_have_bools(text: bytes) -> bool:
    # to look for one letter costs a tenth of looking for a word, and numbers have neither
    return (b"r" in text and b"true" in text) or (b"l" in text and b"false" in text)


def _lists(instances: Any, specs: Mapping[str, TensorSpec]) -> dict[str, Array] | None:
    """Decode rows that are lists of numbers for a lone input, as almost all are; None: they may be anything else."""
    if type(instances) is not list or not instances or type(instances[0]) is not list or len(specs) != 1:
        return None
    (spec,) = specs.values()
    try:
        return {spec.name: tensor_of(instances, spec, has_bools=False)}
    except MismatchError:  # the plain way finds out where
        return None


# --- row form -----------------------------------------------------------------------------------


def _rows(instances: list[Any], specs: Mapping[str, TensorSpec], has_bools: bool) -> dict[str, Array]:
    if not _is_named(instances[0]):
        spec = _only(specs)
        if spec is None:
            raise InvalidRequestError(
                "instances is a plain list, but expecting list of objects as multiple "
                "input tensors required as per tensorinfo_map"
            )
        for index, row in enumerate(instances):
            if _is_named(row):
                raise InvalidRequestError(
                    f"Expecting value/list but got object at item {index} of input list"
                )
        return {spec.name: _joined(instances, spec, has_bools, named=False)}
    sent = _sent(instances[0], specs) or specs  # rows of nothing could not be counted
    wanted = sent.keys()
    for index, row in enumerate(instances):
        if not _is_named(row):
            raise InvalidRequestError(f"Expecting object but got list at item {index} of input list")
        if row.keys() != wanted:
            _refuse_keys(index, row, specs, sent)
    return {
        name: _joined([row[name] for row in instances], spec, has_bools, named=True)
        for name, spec in sent.items()
    }


def _may_be_left_out(spec: TensorSpec) -> bool:
    return spec.optional or spec.default is not None


def _only(specs: Mapping[str, TensorSpec]) -> TensorSpec | None:
    """Return the input that a value without a name is for: the only one, or the only one that must be sent."""
    candidates = list(specs.values())
    if len(candidates) > 1:
        candidates = [spec for spec in candidates if not _may_be_left_out(spec)]
    return candidates[0] if len(candidates) == 1 else None


def _sent(named: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """Return the inputs that a request must have: all but those that it may leave out, and does."""
    return {name: spec for name, spec in specs.items() if name in named or not _may_be_left_out(spec)}


def _is_named(value: Any) -> bool:
    """Tell whether a row is an object keyed by input names, not a base64 value."""
    return type(value) is dict and not is_base64(value)


def _refuse_keys(
    index: int, row: dict[str, Any], specs: Mapping[str, TensorSpec], sent: Mapping[str, TensorSpec]
) -> None:
    for name in row:
        if name not in specs:
            raise InvalidRequestError(
                f"Failed to process element: {index} key: {printable(name)} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {printable(name)}",
            )
    raise InvalidRequestError(
        f"Failed to process element: {index} of 'instances' list. JSON object: {shown(row)} "
        f"keys must be equal to: {','.join(sorted(sent))}"
    )


def _joined(values: list[Any], spec: TensorSpec, has_bools: bool, *, named: bool) -> Array:
    """Make one tensor of one value per row."""
    try:
        return tensor_of(values, spec, has_bools=has_bools)
    except MismatchError:
        pass
    # Something is wrong: find the first row that is.
    first: tuple[int, ...] | None = None
    for index, value in enumerate(values):
        try:
            shape = shape_of(value, spec)
            first = shape if first is None else first
            if shape != first:
                raise _uneven(first, shape, spec)
        except InvalidRequestError as error:
            raise _in_row(error, index, spec, named=named) from None
        except UnsupportedError as error:
            raise _in_row(error, index, spec, named=named) from None
    raise InvalidRequestError(f"input '{spec.name}': expected a tensor of {spec.dtype}", tensor=spec.name)


def _uneven(first: tuple[int, ...], shape: tuple[int, ...], spec: TensorSpec) -> InvalidRequestError:
    expected, got = math.prod(first), math.prod(shape)
    if expected != got:
        text = f"Expecting tensor size: {expected} but got: {got}"
    else:
        text = f"Expecting shape {_brackets(first)} but got: {_brackets(shape)}"
    return InvalidRequestError(text, tensor=spec.name)


def _brackets(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _in_row(
    error: InvalidRequestError | UnsupportedError, index: int, spec: TensorSpec, *, named: bool
) -> InvalidRequestError:
    key = f" key: {spec.name}" if named else ""
    return InvalidRequestError(
        f"Failed to process element: {index}{key} of 'instances' list. Error: {error.code}: {error.message}",
        tensor=spec.name,
        code=ErrorCode.UNIMPLEMENTED if isinstance(error, UnsupportedError) else None,
    )


# --- column form --------------------------------------------------------------------------------


def _columns(value: Any, specs: Mapping[str, TensorSpec], has_bools: bool) -> dict[str, Array]:
    if not _is_named(value):
        spec = _only(specs)
        if spec is None:
            raise InvalidRequestError(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        return {spec.name: _whole(value, spec, has_bools)}
    sent = _sent(value, specs)
    for name in sent:
        if name not in value:
            raise InvalidRequestError(f"Missing named input: {name} in 'inputs' object.", tensor=name)
    return {name: _whole(value[name], spec, has_bools) for name, spec in sent.items()}


def _whole(value: Any, spec: TensorSpec, has_bools: bool) -> Array:
    try:
        return tensor_of(value, spec, has_bools=has_bools)
    except MismatchError:
        shape_of(value, spec)
        raise InvalidRequestError(
            f"input '{spec.name}': expected a tensor of {spec.dtype}", tensor=spec.name
        ) from None
