"""The forms that a request has on the wire: what is sent, where to, and the tensor in what comes back."""

from __future__ import annotations

import http.client
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import numpy as np

from navi_core import PredictRequest, PredictResponse
from navi_core.wire import oip

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True)
class Form:
    """A protocol's request for a prediction."""

    title: str
    protocol: str  # grpc | http
    path: str  # with the model's name in it, where it has a place
    encode: Callable[[str, np.ndarray], bytes]
    decode: Callable[[bytes, tuple[int, ...]], np.ndarray]

    def path_of(self, model: str) -> str:
        return self.path.format(model=model)

    def framed(self, message: bytes) -> bytes:
        """Return the body as a load generator sends it: a message of gRPC stands in a frame."""
        return struct.pack(">BI", 0, len(message)) + message if self.protocol == "grpc" else message

    def ask(self, port: int, model: str, message: bytes, timeout_s: float = 20.0) -> bytes:
        """Send a message or body with an ordinary client and return the answer's.

        Raises
        ------
        OSError, grpc.RpcError, http.client.HTTPException
            It was not answered with a success.
        """
        if self.protocol == "grpc":
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED) as channel:
                return channel.unary_unary(self.path_of(model))(message, timeout=timeout_s)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", self.path_of(model), message, headers)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise http.client.HTTPException(f"status {response.status}: {body[:300]!r}")
            return body
        finally:
            connection.close()


def _encode_infer(model: str, x: np.ndarray) -> bytes:
    request = oip.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="x", datatype="FP32")
    tensor.shape.extend(x.shape)
    request.raw_input_contents.append(x.tobytes())
    return request.SerializeToString()


def _decode_infer(message: bytes, shape: tuple[int, ...]) -> np.ndarray:
    answer = oip.ModelInferResponse.FromString(message)
    [output] = answer.outputs
    if answer.raw_output_contents:
        numbers = np.frombuffer(answer.raw_output_contents[0], np.float32)
    else:
        numbers = np.array(output.contents.fp32_contents, np.float32)
    return numbers.reshape(shape)


def _encode_predict(model: str, x: np.ndarray) -> bytes:
    request = PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["x"]
    tensor.dtype = 1
    for size in x.shape:
        tensor.tensor_shape.dim.add().size = size
    tensor.float_val.extend(x.ravel())
    return request.SerializeToString()


def _decode_predict(message: bytes, shape: tuple[int, ...]) -> np.ndarray:
    tensor = PredictResponse.FromString(message).outputs["y"]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, np.float32).reshape(shape)
    return np.array(tensor.float_val, np.float32).reshape(shape)


def _encode_v1(_: str, x: np.ndarray) -> bytes:
    return json.dumps({"instances": _short(x)}).encode()


def _encode_v2(_: str, x: np.ndarray) -> bytes:
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": _short(x.ravel())}
    return json.dumps({"inputs": [tensor]}).encode()


def _short(x: np.ndarray) -> list:
    return x.astype(np.float64).round(4).tolist()


FORMS = {
    "infer": Form(
        "gRPC ModelInfer",
        "grpc",
        "/inference.GRPCInferenceService/ModelInfer",
        _encode_infer,
        _decode_infer,
    ),
    "predict": Form(
        "gRPC Predict",
        "grpc",
        "/tensorflow.serving.PredictionService/Predict",
        _encode_predict,
        _decode_predict,
    ),
    "v1": Form(
        "REST v1",
        "http",
        "/v1/models/{model}:predict",
        _encode_v1,
        lambda body, shape: np.array(json.loads(body)["predictions"], np.float32).reshape(shape),
    ),
    "v2": Form(
        "REST v2",
        "http",
        "/v2/models/{model}/infer",
        _encode_v2,
        lambda body, shape: np.array(json.loads(body)["outputs"][0]["data"], np.float32).reshape(shape),
    ),
}
