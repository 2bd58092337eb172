"""TensorFlow Serving's Predict, over gRPC and REST."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote

import numpy as np

from navi_core.clients.exchanges.base import JSON_HEADERS, Exchange, RecordedRequest
from navi_core.clients.exchanges.json_answers import json_array, parse_answer
from navi_core.errors import DecodeError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.tensors import DType, dtype_of
from navi_core.types import Array, NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message
from navi_core.wire.plain_json import to_json_value
from navi_core.wire.tensor_proto import array_of_message, encode_tensor

__all__ = ["TfServingGrpc", "TfServingHttp", "model_path"]

_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"


class TfServingGrpc(Exchange):
    """``PredictionService/Predict``; numbers travel as ``tensor_content``, as the cheapest clients send them."""

    name: ClassVar[str] = "tf-serving+grpc"
    scheme: ClassVar[Literal["grpc", "http"]] = "grpc"

    def record(self, model: ModelRef, inputs: NamedArrays, signature_name: str) -> RecordedRequest:
        """Write a PredictRequest."""
        message = tf_serving.PredictRequest()
        message.model_spec.name = model.name
        if model.version is not None:
            message.model_spec.version.value = model.version
        if model.label is not None:
            message.model_spec.version_label = model.label
        if signature_name != DEFAULT_SIGNATURE:
            message.model_spec.signature_name = signature_name
        for name, array in inputs.items():
            as_content = dtype_of(array) is not DType.STRING
            message.inputs[name].ParseFromString(b"".join(encode_tensor(array, as_content=as_content)))
        return RecordedRequest(_PREDICT, message.SerializeToString(deterministic=True))

    def read(self, body: bytes) -> dict[str, Array]:
        """Read a PredictResponse."""
        message = parse_message(tf_serving.PredictResponse, body)
        return {name: array_of_message(tensor, name=name) for name, tensor in message.outputs.items()}


class TfServingHttp(Exchange):
    """``POST /v1/models/NAME:predict``, in column form."""

    name: ClassVar[str] = "tf-serving+http"
    scheme: ClassVar[Literal["grpc", "http"]] = "http"

    def record(self, model: ModelRef, inputs: NamedArrays, signature_name: str) -> RecordedRequest:
        """Write a JSON document."""
        document: dict[str, Any] = {
            "inputs": {name: to_json_value(array, base64=True) for name, array in inputs.items()}
        }
        if signature_name != DEFAULT_SIGNATURE:
            document["signature_name"] = signature_name
        return RecordedRequest(f"{model_path(model)}:predict", json.dumps(document).encode(), JSON_HEADERS)

    def read(self, body: bytes) -> dict[str, Array]:
        """Read ``outputs``; a single one stands there without its name, and is called ``output``."""
        outputs = parse_answer(body).get("outputs")
        if outputs is None:
            raise DecodeError("answer: expected outputs, got none")
        if isinstance(outputs, dict) and "b64" not in outputs:
            return {str(name): json_array(value) for name, value in outputs.items()}
        return {"output": np.asarray(json_array(outputs))}


def model_path(model: ModelRef) -> str:
    """Return the path of a model's resources."""
    path = f"/v1/models/{quote(model.name, safe='')}"
    if model.version is not None:
        return f"{path}/versions/{model.version}"
    if model.label is not None:
        return f"{path}/labels/{quote(model.label, safe='')}"
    return path
