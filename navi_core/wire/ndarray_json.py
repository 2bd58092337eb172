"""JSON with one array in it, as Rust's ndarray writes it: ``{"v": 1, "dim": [2], "data": [0.5, 1.0]}``.

The format's own rules: ``v`` is its version, 1; the keys come in any order, none is missing and no other is
there; ``[1, [2], [0.5, 1.0]]`` says the same. Floats are the shortest text that reads back as the same
float32; what is not finite is written as ``null``, which is not taken back.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from navi_core.errors import DecodeError
from navi_core.types import Array, Bytes
from navi_core.wire.json_predictions import shortest_decimals
from navi_core.wire.proton_predict import ParsedInferenceRequest, shaped

__all__ = ["JsonDataError", "JsonSyntaxError", "decode_json_inference", "encode_json_inference"]

_FORMAT_VERSION: Final = 1


class JsonSyntaxError(DecodeError):
    """The body is no JSON."""


class JsonDataError(DecodeError):
    """The body is JSON, but not a request."""


class _Array(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    dim: list[int]
    data: list[float]


class _Request(msgspec.Struct):
    model_name: str
    data: _Array | tuple[int, list[int], list[float]]


class _Response(msgspec.Struct):
    prediction_id: str
    model_name: str
    data: _Array


_DECODER: Final = msgspec.json.Decoder(_Request)


def decode_json_inference(body: Bytes) -> ParsedInferenceRequest:
    """Decode a request.

    Raises
    ------
    JsonSyntaxError
        It is no JSON.
    JsonDataError
        It lacks something, has something of another type, its shape and its number of values do not
        match, or a value is none of float32's.
    """
    try:
        request = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise JsonDataError(_words(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JsonSyntaxError(_words(error)) from None
    except RecursionError:
        raise JsonSyntaxError("nested too deep") from None
    array = request.data if isinstance(request.data, _Array) else _Array(*request.data)
    if array.v != _FORMAT_VERSION:
        raise JsonDataError(f"data: unknown array version: expected {_FORMAT_VERSION}, got {array.v}")
    with np.errstate(over="ignore"):  # looked for right after
        data = np.array(array.data, np.float64).astype(np.float32)
    if not np.isfinite(data).all():
        index = int(np.flatnonzero(~np.isfinite(data))[0])
        raise JsonDataError(f"data.data[{index}]: expected a float32, got {array.data[index]}")
    try:
        return ParsedInferenceRequest(request.model_name, shaped(data, array.dim))
    except DecodeError as error:
        raise JsonDataError(f"data: {error.message}") from None


def encode_json_inference(array: Array, *, prediction_id: str, model_name: str) -> bytes:
    """Encode an answer.

    Parameters
    ----------
    array
        Any shape, float32.
    prediction_id, model_name
        As they are to be read.
    """
    values = shortest_decimals(array).reshape(-1).tolist()  # msgspec writes what is not finite as null
    data = _Array(_FORMAT_VERSION, list(array.shape), values)
    return msgspec.json.encode(_Response(prediction_id, model_name, data))


def _words(error: Exception) -> str:
    """Put the place first: ``data.dim[...]: expected `int`, got `str` ``."""
    text, _, place = str(error).partition(" - at `$")
    if not text[:2].isupper():  # "JSON is malformed"
        text = text[:1].lower() + text[1:]
    place = place.rstrip("`").removeprefix(".")
    return f"{place}: {text}" if place else text
