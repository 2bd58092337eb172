"""JSON requests of TensorFlow Serving's REST API -> named arrays.

A request is in row form (``instances``: one value, list or object per row) or in column form
(``inputs``: whole tensors). Element types come from the signature, never from the JSON; shapes come from the
nesting. The error texts are TensorFlow Serving's, with the place added where lists are uneven.

Values are flattened level by level and converted as a whole; only a request that fails is walked value
by value, to say what is wrong where.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from navi_core.errors import ErrorCode, InvalidRequestError, UnsupportedError
from navi_core.signature import TensorSpec
from navi_core.tensors import DType, numpy_dtype
from navi_core.types import Array, Bytes
from navi_core.wire.json_document import parse_json
from navi_core.wire.tensor_proto import MAX_RANK
from navi_core.wire.tf_dtypes import tf_type_name

__all__ = ["DecodedJsonRequest", "decode_json_request"]

_SHOWN_CHARACTERS: Final = 256
"""How much of an offending value an error shows."""

_INT_BOUNDS: Final = {
    # The narrow types are read as int32 and truncated, as in TensorFlow Serving.
    **dict.fromkeys((DType.INT32, DType.INT16, DType.INT8, DType.UINT8), (-(2**31), 2**31 - 1)),
    DType.INT64: (-(2**63), 2**63 - 1),
    DType.UINT32: (0, 2**32 - 1),
    DType.UINT64: (0, 2**64 - 1),
}

_FLOATS: Final = (DType.FLOAT32, DType.FLOAT64)


@dataclass(frozen=True, slots=True)
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


class _MismatchError(Exception):
    """The values do not make a tensor of the wanted type; `_explain` says why."""


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
    if not len(body):
        raise InvalidRequestError("JSON Parse error: The document is empty")
    document = parse_json(body)
    if type(document) is not dict:
        raise _format_error(document, "Is not object")
    signature = document.get("signature_name", "")
    if type(signature) is not str:
        raise _format_error(document, "not formatted correctly. 'signature_name' key must be a string value.")
    specs = input_specs(signature)
    if not specs:
        raise InvalidRequestError(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    if "instances" in document:
        if "inputs" in document:
            raise _format_error(
                document,
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
            )
        instances = document["instances"]
        if type(instances) is not list:
            raise _format_error(document, "Expecting 'instances' to be an list/array")
        if not instances:
            raise _format_error(document, "No values in 'instances' array")
        return DecodedJsonRequest(_rows(instances, specs), signature, row_form=True)
    if "inputs" in document:
        return DecodedJsonRequest(_columns(document["inputs"], specs), signature, row_form=False)
    raise InvalidRequestError("Missing 'inputs' or 'instances' key")


# --- row form -----------------------------------------------------------------------------------


def _rows(instances: list[Any], specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    if not _is_named(instances[0]):
        if len(specs) > 1:
            raise InvalidRequestError(
                "instances is a plain list, but expecting list of objects as multiple "
                "input tensors required as per tensorinfo_map"
            )
        (spec,) = specs.values()
        for index, row in enumerate(instances):
            if _is_named(row):
                raise InvalidRequestError(
                    f"Expecting value/list but got object at item {index} of input list"
                )
        return {spec.name: _joined(instances, spec, named=False)}
    wanted = specs.keys()
    for index, row in enumerate(instances):
        if not _is_named(row):
            raise InvalidRequestError(f"Expecting object but got list at item {index} of input list")
        if row.keys() != wanted:
            _refuse_keys(index, row, specs)
    return {name: _joined([row[name] for row in instances], spec, named=True) for name, spec in specs.items()}


def _is_named(value: Any) -> bool:
    """Tell whether a row is an object keyed by input names, not a base64 value."""
    return type(value) is dict and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def _refuse_keys(index: int, row: dict[str, Any], specs: Mapping[str, TensorSpec]) -> None:
    for name in row:
        if name not in specs:
            raise InvalidRequestError(
                f"Failed to process element: {index} key: {_text(name)} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {_text(name)}",
            )
    raise InvalidRequestError(
        f"Failed to process element: {index} of 'instances' list. JSON object: {_shown(row)} "
        f"keys must be equal to: {','.join(sorted(specs))}"
    )


def _joined(values: list[Any], spec: TensorSpec, *, named: bool) -> Array:
    """Make one tensor of one value per row."""
    try:
        return _tensor(values, spec)
    except _MismatchError:
        pass
    # Something is wrong: find the first row that is.
    first: tuple[int, ...] | None = None
    for index, value in enumerate(values):
        try:
            shape = _checked(value, spec)
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


def _columns(value: Any, specs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    if not _is_named(value):
        if len(specs) > 1:
            raise InvalidRequestError(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        (spec,) = specs.values()
        return {spec.name: _whole(value, spec)}
    for name in specs:
        if name not in value:
            raise InvalidRequestError(f"Missing named input: {name} in 'inputs' object.", tensor=name)
    return {name: _whole(value[name], spec) for name, spec in specs.items()}


def _whole(value: Any, spec: TensorSpec) -> Array:
    try:
        return _tensor(value, spec)
    except _MismatchError:
        _checked(value, spec)
        raise InvalidRequestError(
            f"input '{spec.name}': expected a tensor of {spec.dtype}", tensor=spec.name
        ) from None


# --- values -------------------------------------------------------------------------------------


def _tensor(value: Any, spec: TensorSpec) -> Array:
    """Make a tensor of a value or nested list.

    Raises
    ------
    _MismatchError
        The nesting is uneven or too deep, or a value is not of the wanted type.
    """
    shape: list[int] = []
    values: list[Any] = [value]
    while values and type(values[0]) is list:
        sizes = set(map(len, values)) if set(map(type, values)) == {list} else set()
        if len(sizes) != 1 or len(shape) == MAX_RANK:
            raise _MismatchError
        shape.append(sizes.pop())
        values = list(chain.from_iterable(values))
    return _converted(values, spec.dtype).reshape(shape)


def _converted(values: list[Any], dtype: DType) -> Array:
    """Convert scalars to a flat array of ``dtype``."""
    kinds = set(map(type, values))
    if not values:
        return np.empty(0, dtype=numpy_dtype(dtype))
    if dtype in _FLOATS:
        if not kinds <= {float, int}:
            raise _MismatchError
        try:
            with np.errstate(over="ignore"):  # too large for float32 is infinite, as in TensorFlow Serving
                return np.array(values, dtype=numpy_dtype(dtype))
        except OverflowError:
            raise _MismatchError from None
    bounds = _INT_BOUNDS.get(dtype)
    if bounds is not None:
        if kinds != {int} or min(values) < bounds[0] or max(values) > bounds[1]:
            raise _MismatchError
        wide = np.uint64 if dtype is DType.UINT64 else np.int64
        return np.array(values, dtype=wide).astype(numpy_dtype(dtype), copy=False)
    if dtype is DType.BOOL and kinds == {bool}:
        return np.array(values, dtype=np.bool_)
    if dtype is DType.STRING and kinds <= {str, dict}:
        out = np.empty(len(values), dtype=object)
        out[:] = [_string(value) for value in values]
        return out
    raise _MismatchError


def _string(value: Any) -> bytes:
    if type(value) is str:
        return value.encode("utf-8", "surrogateescape")
    if not _is_base64(value):
        raise _MismatchError
    encoded = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _MismatchError from None


# --- what is wrong ------------------------------------------------------------------------------


def _checked(value: Any, spec: TensorSpec) -> tuple[int, ...]:
    """Walk a value in order; return its shape or raise for the first thing that is wrong.

    Raises
    ------
    InvalidRequestError
        In TensorFlow Serving's words.
    UnsupportedError
        JSON cannot carry the element type.
    """
    shape: list[int] = []
    first = value
    while type(first) is list:
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    rank = len(shape)
    if rank > MAX_RANK:
        raise InvalidRequestError(
            f"Encountered list at unexpected level: {MAX_RANK} expected < {MAX_RANK}", tensor=spec.name
        )
    pending: list[tuple[Any, tuple[int, ...]]] = [(value, ())]
    while pending:
        item, place = pending.pop()
        level = len(place)
        if type(item) is not list:
            if level != rank:
                raise InvalidRequestError(
                    f"JSON Value: {_shown(item)} found at incorrect level: {level + 1} in the JSON DOM. "
                    f"Expected at level: {rank}{_at(place)}",
                    tensor=spec.name,
                )
            _check_scalar(item, spec)
            continue
        if level >= rank:
            raise InvalidRequestError(
                f"Encountered list at unexpected level: {level} expected < {rank}{_at(place)}",
                tensor=spec.name,
            )
        if len(item) != shape[level]:
            raise InvalidRequestError(
                f"Encountered list at unexpected size: {len(item)} at level: {level} "
                f"expected size: {shape[level]}{_at(place)}",
                tensor=spec.name,
            )
        pending.extend((item[index], (*place, index)) for index in range(len(item) - 1, -1, -1))
    return tuple(shape)


def _at(place: tuple[int, ...]) -> str:
    return f" (at {''.join(f'[{index}]' for index in place)})" if place else ""


def _check_scalar(value: Any, spec: TensorSpec) -> None:
    try:
        _converted([value], spec.dtype)
    except _MismatchError:
        pass
    else:
        return
    word = tf_type_name(spec.dtype)
    if spec.dtype is DType.STRING and type(value) is dict:
        text = (
            "Unable to base64 decode"
            if _is_base64(value)
            else f"JSON Value: {_shown(value)} not formatted correctly for base64 data"
        )
        raise InvalidRequestError(text, tensor=spec.name)
    known = spec.dtype in _FLOATS or spec.dtype in _INT_BOUNDS or spec.dtype in (DType.BOOL, DType.STRING)
    if not known and type(value) is not dict:
        raise UnsupportedError(f"Conversion of JSON Value: {_shown(value)} to type: {word}", tensor=spec.name)
    raise InvalidRequestError(
        f"JSON Value: {_shown(value)} Type: {_json_type(value)} is not of expected type: {word}",
        tensor=spec.name,
    )


def _json_type(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"


def _format_error(value: Any, text: str) -> InvalidRequestError:
    return InvalidRequestError(f"JSON Value: {_shown(value)} {text}")


def _text(name: str) -> str:
    """Make a client's word fit to be shown: no stray surrogates, not too long."""
    return name[:_SHOWN_CHARACTERS].encode("utf-8", "replace").decode()


def _shown(value: Any) -> str:
    """Write a value as JSON, cut to what an error shows."""
    out: list[str] = []
    _show(value, out, 0)
    return _text("".join(out)[:_SHOWN_CHARACTERS])


def _show(value: Any, out: list[str], indent: int) -> None:
    # Every call writes at least one character before it goes deeper, so the depth is bounded too.
    if sum(map(len, out)) >= _SHOWN_CHARACTERS:
        return
    if type(value) is dict:
        _show_items(value.items(), out, indent)
    elif type(value) is list:
        out.append("[")
        for index, item in enumerate(value[:_SHOWN_CHARACTERS]):
            if index:
                out.append(", ")
            _show(item, out, indent)
        out.append("]")
    elif type(value) is str:
        out.append(json.dumps(value[:_SHOWN_CHARACTERS], ensure_ascii=False))
    else:
        out.append(json.dumps(value))


def _show_items(items: Iterable[tuple[str, Any]], out: list[str], indent: int) -> None:
    out.append("{")
    empty = True
    for index, (key, item) in enumerate(items):
        if index >= _SHOWN_CHARACTERS:
            break
        empty = False
        name = json.dumps(key[:_SHOWN_CHARACTERS], ensure_ascii=False)
        out.append(f"{',' if index else ''}\n{' ' * (indent + 4)}{name}: ")
        _show(item, out, indent + 4)
    out.append("}" if empty else f"\n{' ' * indent}}}")
