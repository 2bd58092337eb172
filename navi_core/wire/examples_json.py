"""JSON requests of TensorFlow Serving's ``:classify`` and ``:regress`` -> serialized ``tensorflow.Example`` messages.

An example is an object of feature name -> value, or flat list of values. The kind of a feature follows from
the JSON: an integer token or a boolean is an int64, any other number a float, a text or ``{"b64": ...}`` bytes; a
feature has one kind. The error texts are TensorFlow Serving's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from navi_core.errors import InvalidRequestError
from navi_core.types import Array, Bytes
from navi_core.wire import tf_serving
from navi_core.wire.json_document import read_request
from navi_core.wire.json_shown import format_error, printable
from navi_core.wire.json_values import MismatchError, is_base64, json_type, string_value

__all__ = ["DecodedExamples", "decode_json_examples"]

_KINDS: Final[dict[type, str]] = {int: "int64", bool: "int64", float: "float", str: "bytes", dict: "bytes"}
"""Type of a parsed value -> kind of feature, as the messages call it."""


@dataclass(frozen=True, slots=True)
class DecodedExamples:
    """A classify or regress request.

    Parameters
    ----------
    signature
        The signature's name as sent; empty: none was sent.
    examples
        (examples,) object array of serialized messages, the context's features in each.
    """

    signature: str
    examples: Array


def decode_json_examples(body: Bytes) -> DecodedExamples:
    """Decode the body of a classify or regress request.

    Raises
    ------
    InvalidRequestError
        It is no JSON, or no such request.
    """
    document, signature = read_request(body)
    context = _example(document["context"]) if "context" in document else b""
    if "examples" not in document:
        # the text speaks of classify for regress, too, as TensorFlow Serving's does
        raise format_error(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if type(examples) is not list:
        raise format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise format_error(document, "'examples' value is an empty array")
    out = np.empty(len(examples), dtype=object)
    # Two messages written one after the other are one, and the later entry of a map counts.
    out[:] = [context + _example(example) for example in examples]
    return DecodedExamples(signature, out)


def _example(value: Any) -> bytes:
    if type(value) is not dict:
        raise InvalidRequestError(f"Example must be JSON object but got JSON {json_type(value)}")
    example = tf_serving.Example()
    features = example.features.feature
    for name, content in value.items():
        try:
            feature = features[name]
        except UnicodeEncodeError:
            raise InvalidRequestError(f"Feature: {printable(name)} has a name that is no UTF-8") from None
        values = content if type(content) is list else [content]
        kinds = set(map(type, values))
        if len(kinds) != 1 or kinds & {bool, dict} or not kinds <= _KINDS.keys():
            values = _checked(name, values)
            kinds = set(map(type, values))
        if kinds == {int}:
            try:
                feature.int64_list.value.extend(values)
            except ValueError:
                raise _too_large(name) from None
        elif kinds == {float}:
            feature.float_list.value.extend(values)
        elif kinds == {str}:
            feature.bytes_list.value.extend(text.encode("utf-8", "surrogateescape") for text in values)
        elif kinds == {bytes}:
            feature.bytes_list.value.extend(values)
    return example.SerializeToString()


def _checked(name: str, values: list[Any]) -> list[Any]:
    """Return ints, floats or bytes of mixed values; raises for the first that does not fit those before it."""
    kind = ""
    plain: list[Any] = []
    for value in values:
        own = _KINDS.get(type(value))
        if own is None or (type(value) is dict and not is_base64(value)):
            raise InvalidRequestError(
                f"Feature: {printable(name)} has element with unexpected JSON type: {json_type(value)}"
            )
        if kind and own != kind:
            raise InvalidRequestError(
                f"Unexpected element type in feature: {printable(name)} expecting type: {kind}"
            )
        kind = own
        if own == "bytes":
            try:
                plain.append(string_value(value))
            except MismatchError:
                raise InvalidRequestError("Unable to base64 decode") from None
        else:
            plain.append(int(value) if own == "int64" else value)
    return plain


def _too_large(name: str) -> InvalidRequestError:
    return InvalidRequestError(f"Feature: {printable(name)} has uint64_t element. Only int64_t is supported.")
