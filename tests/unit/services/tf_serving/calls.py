"""Calls as transports make them."""

from __future__ import annotations

from navi_core.contracts.service import Call
from navi_core.routing import HostRouter

RPCS = {
    "Predict": "/tensorflow.serving.PredictionService/Predict",
    "Classify": "/tensorflow.serving.PredictionService/Classify",
    "Regress": "/tensorflow.serving.PredictionService/Regress",
    "MultiInference": "/tensorflow.serving.PredictionService/MultiInference",
    "GetModelMetadata": "/tensorflow.serving.PredictionService/GetModelMetadata",
    "GetModelStatus": "/tensorflow.serving.ModelService/GetModelStatus",
    "HandleReloadConfigRequest": "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
}


INFERENCE = ("Predict", "Classify", "Regress", "MultiInference")

MESSAGES = {
    "Classify": "ClassificationRequest",
    "Regress": "RegressionRequest",
    "HandleReloadConfigRequest": "ReloadConfigRequest",
}
"""RPC -> its request message, where that is not called after it."""


def body_of(response):
    if isinstance(response.body, bytes | memoryview):
        return bytes(response.body)
    return b"".join(response.body)


async def call_rpc(service, rpc, body, **kwargs):
    method = service.rpc_methods()[RPCS[rpc]]
    return await method.handler(Call(path=RPCS[rpc], body=body, transport="grpc", **kwargs))


async def call_http(service, verb, path, body=b"", query="", **kwargs):
    """Route and call; None where no route takes it."""
    match = HostRouter([service]).http(verb, path, query)
    if match.route is None:
        return None
    call = Call(path=path, verb=verb, query=query, body=body, match=match.groups, transport="http", **kwargs)
    return await match.route.handler(call)
