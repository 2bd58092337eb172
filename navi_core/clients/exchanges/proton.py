"""Proton's Predict, over gRPC and REST: one float32 tensor goes in, and one comes out."""

from __future__ import annotations

import json
import math
from typing import ClassVar, Final, Literal

import numpy as np

from navi_core.clients.exchanges.base import JSON_HEADERS, Exchange, RecordedRequest
from navi_core.clients.exchanges.json_answers import parse_answer
from navi_core.errors import DecodeError, UnsupportedError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.tensors import DType, dtype_of
from navi_core.types import Array, NamedArrays
from navi_core.wire import proton
from navi_core.wire.descriptors import parse_message
from navi_core.wire.plain_json import to_json_value

__all__ = ["ProtonGrpc", "ProtonHttp"]

_PREDICT: Final = "/predict.Predictor/Predict"
_OUTPUT: Final = "data"


class ProtonGrpc(Exchange):
    """``predict.Predictor/Predict``."""

    name: ClassVar[str] = "proton+grpc"
    scheme: ClassVar[Literal["grpc", "http"]] = "grpc"

    def record(self, model: ModelRef, inputs: NamedArrays, signature_name: str) -> RecordedRequest:
        """Write an InferenceRequest."""
        array = _only(model, inputs, signature_name)
        message = proton.InferenceRequest(
            model_name=model.name, data=array.reshape(-1).tolist(), shape=array.shape
        )
        return RecordedRequest(_PREDICT, message.SerializeToString())

    def read(self, body: bytes) -> dict[str, Array]:
        """Read an InferenceResponse."""
        message = parse_message(proton.InferenceResponse, body)
        return {_OUTPUT: _shaped(np.array(message.data, np.float32), tuple(message.shape))}


class ProtonHttp(Exchange):
    """``POST /predict``."""

    name: ClassVar[str] = "proton+http"
    scheme: ClassVar[Literal["grpc", "http"]] = "http"

    def record(self, model: ModelRef, inputs: NamedArrays, signature_name: str) -> RecordedRequest:
        """Write a JSON document."""
        array = _only(model, inputs, signature_name)
        data = {"v": 1, "dim": list(array.shape), "data": to_json_value(array.reshape(-1))}
        document = {"model_name": model.name, "data": data}
        return RecordedRequest("/predict", json.dumps(document).encode(), JSON_HEADERS)

    def read(self, body: bytes) -> dict[str, Array]:
        """Read a JSON document; null is NaN."""
        found = parse_answer(body).get("data")
        try:
            values = np.array(found["data"], np.float64).astype(np.float32)  # type: ignore[index]  # else TypeError
            shape = tuple(int(size) for size in found["dim"])  # type: ignore[index]  # see above
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError("answer: expected an array with dim and data") from error
        return {_OUTPUT: _shaped(values, shape)}


def _only(model: ModelRef, inputs: NamedArrays, signature_name: str) -> Array:
    if model.version is not None or model.label is not None or signature_name != DEFAULT_SIGNATURE:
        raise UnsupportedError("Proton's protocol has no versions, labels and signatures")
    if len(inputs) != 1:
        raise UnsupportedError(f"Proton's protocol has one input, got {len(inputs)}")
    [array] = inputs.values()
    if dtype_of(array) is not DType.FLOAT32:
        raise UnsupportedError(f"Proton's protocol has float32 alone, got {array.dtype}")
    return np.ascontiguousarray(array).reshape(array.shape)


def _shaped(values: Array, shape: tuple[int, ...]) -> Array:
    if any(size < 0 for size in shape) or math.prod(shape) != values.size:
        raise DecodeError(f"answer: expected a shape of {values.size} values, got {list(shape)}")
    return values.reshape(shape)
