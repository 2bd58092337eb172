"""A client of the demo's model that knows TensorFlow Serving's protocol and nothing of navi."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
import numpy as np
from numpy.typing import NDArray

from navi_core import InferenceError, PredictRequest, PredictResponse

__all__ = ["predict"]

_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
_DT_STRING: Final = 7
_UNLIMITED: Final = -1


def predict(
    address: str,
    model: str,
    input_name: str,
    payloads: Sequence[bytes],
    *,
    output: str = "probabilities",
    timeout_s: float = 30.0,
) -> list[NDArray[np.float32]]:
    """Send each payload as a request of its own, all at once, and return one output of each answer.

    Parameters
    ----------
    address
        ``host:port``.
    model, input_name
        What to ask, and what its string input is called.
    payloads
        BatchPredictionRequests.
    output
        The output to return.
    timeout_s
        Each request's deadline.

    Returns
    -------
    outputs
        (records, tasks) float32 for each payload.

    Raises
    ------
    InferenceError
        The server answered with an error; the text has its code and words.
    """
    options = [("grpc.max_receive_message_length", _UNLIMITED), ("grpc.max_send_message_length", _UNLIMITED)]
    with grpc.insecure_channel(address, options=options) as channel:
        call = channel.unary_unary(
            _PREDICT,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )
        futures = [call.future(_request(model, input_name, each), timeout=timeout_s) for each in payloads]
        try:
            return [_floats(future.result().outputs[output]) for future in futures]
        except grpc.RpcError as error:
            raise InferenceError(f"{address}: {error.code().name}: {error.details()}") from error


def _request(model: str, input_name: str, payload: bytes) -> Any:
    request = PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs[input_name]
    tensor.dtype = _DT_STRING
    tensor.tensor_shape.dim.add().size = 1
    tensor.string_val.append(payload)
    return request


def _floats(tensor: Any) -> NDArray[np.float32]:
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype="<f4").reshape(shape)
    return np.array(tensor.float_val, dtype=np.float32).reshape(shape)
