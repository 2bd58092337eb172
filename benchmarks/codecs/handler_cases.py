"""Whole calls: what a service spends on one, around a data plane that answers at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import orjson
from codec_cases import SMALL, Case, infer_body, predict_body, random

from navi_core.contracts.service import Call, Handler
from navi_core.contracts.service_context import ServiceContext
from navi_core.messages import InferenceResponse
from navi_core.services.oip.service import OipService
from navi_core.services.tf_serving.service import TfServingService
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.transports.body import join_body, run_on_written


class InstantPlane:
    """A data plane with one model, which has its answer ready; its own handle."""

    model = "mlp"
    version = 3
    platform = "onnx_onnx"
    max_batch_rows = 64
    service_options: Mapping[str, Any] = {}

    def __init__(self) -> None:
        x = TensorSpec(name="x", dtype=DType.FLOAT32, shape=(None, 16))
        y = TensorSpec(name="y", dtype=DType.FLOAT32, shape=(None, 4))
        self.signatures = {"serving_default": Signature(inputs={"x": x}, outputs={"y": y}, batchable=True)}
        self._outputs = {"y": np.ones((1, 4), np.float32)}

    def acquire(self, _ref: Any) -> Self:
        return self

    def on_change(self, _callback: Any) -> Any:
        return lambda: None

    async def infer(self, request: Any) -> InferenceResponse:
        assert request.inputs["x"].shape == (1, 16)
        return InferenceResponse(outputs=self._outputs, model="mlp", version=3, signature="serving_default")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def handler_cases() -> Iterator[Case]:
    """Make the cases."""
    services = [TfServingService.create(_context()), OipService.create(_context())]
    rpcs = {path: each.handler for service in services for path, each in service.rpc_methods().items()}
    x = random(SMALL, "f4")
    predict = rpcs["/tensorflow.serving.PredictionService/Predict"]
    infer = rpcs["/inference.GRPCInferenceService/ModelInfer"]
    for label, body in (
        ("16 float_val", predict_body(x)),
        ("16 floats, tensor_content", predict_body(x, as_content=True)),
    ):
        yield _rpc(f"Predict handler, {label}", predict, body)
    yield _rpc("ModelInfer handler, 16 floats, raw", infer, infer_body(x, "FP32"))
    typed = infer_body(x, "FP32", field="fp32_contents")
    yield _rpc("ModelInfer handler, 16 fp32_contents", infer, typed)
    text = orjson.dumps({"instances": x}, option=orjson.OPT_SERIALIZE_NUMPY)
    head = {"name": "x", "datatype": "FP32", "shape": [1, 16], "data": x.reshape(-1)}
    document = orjson.dumps({"inputs": [head]}, option=orjson.OPT_SERIALIZE_NUMPY)
    for path, body in (("/v1/models/mlp:predict", text), ("/v2/models/mlp/infer", document)):
        routes = [route for service in services for route in service.http_routes() if route.verb == "POST"]
        match, handler = next(
            (found, each.handler) for each in routes if (found := each.pattern.fullmatch(path)) is not None
        )
        name = "REST predict handler, 16 floats" if "v1" in path else "REST infer handler, 16 floats"
        yield _http(name, handler, path, body, {key: each for key, each in match.groupdict().items() if each})


def _context() -> ServiceContext:
    unused: Any = None
    return ServiceContext(plane=InstantPlane(), admin=unused, now=lambda: 0.0, new_signal=unused)


def _finish(awaitable: Any) -> bytes:
    """Run a handler, which waits for nothing, and do what a transport does with its answer."""
    try:
        awaitable.send(None)
    except StopIteration as ended:
        response = ended.value
        body = join_body(response.body)
        run_on_written(response)
        assert response.status in (0, 200), body
        return body
    raise AssertionError("the handler waits")


def _rpc(name: str, handler: Handler, body: bytes) -> Case:
    def navi() -> bytes:
        return _finish(handler(Call(path="/", body=body, transport="grpc", deadline=30.0)))

    assert len(navi()) > 16
    return Case(name, navi, body)


def _http(name: str, handler: Handler, path: str, body: bytes, match: dict[str, str]) -> Case:
    def navi() -> bytes:
        return _finish(handler(Call(path=path, body=body, verb="POST", match=match, transport="http")))

    assert b"1.0" in navi()
    return Case(name, navi, body)
