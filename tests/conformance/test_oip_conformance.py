"""The Open Inference Protocol's service under the suite that plugin authors get, in both dialects."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from navi_core.contracts.service import HttpRoute
from navi_core.services.oip.service import OipService
from navi_core.testing import Sample, ServiceConformance
from navi_core.testing.service import UNKNOWN_MODEL
from navi_core.wire import oip

PREFIX = "/inference.GRPCInferenceService/"
VALUES = np.array([1.0, 2.0, 3.0], np.float32)

UNSUPPORTED_RPCS = (
    *(
        f"{kind}SharedMemory{verb}"
        for kind in ("System", "Cuda")
        for verb in ("Status", "Register", "Unregister")
    ),
    "TraceSetting",
    "LogSettings",
)
UNSUPPORTED_PATHS = (
    "/v2/systemsharedmemory/status",
    "/v2/cudasharedmemory/region/r/register",
    "/v2/trace/setting",
    "/v2/logging",
    "/v2/models/m/generate",
    "/v2/repository/other/index",
)


def infer_request(model, *, raw):
    request = oip.ModelInferRequest(model_name=model, id="7")
    x = request.inputs.add(name="x", datatype="FP32", shape=[3])
    if raw:
        request.raw_input_contents.append(VALUES.tobytes())
    else:
        x.contents.fp32_contents.extend(VALUES.tolist())
    return request.SerializeToString()


def named(kind, model, **kwargs):
    return getattr(oip, f"{kind}Request")(**kwargs, name=model).SerializeToString()


class TestOip(ServiceConformance):
    plugin_module = "navi_core.plugins.builtin"

    def make_service(self, context):
        return OipService.create(context)

    def samples(self, model):
        document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": [1, 2.5, 3]}]}
        load = oip.RepositoryModelLoadRequest(model_name=model).SerializeToString()
        kserve = oip.RepositoryModelUnloadRequest(repository_name=model).SerializeToString()
        rpcs = {
            "ServerLive": b"",
            "ServerReady": b"",
            "ServerMetadata": b"",
            "ModelReady": named("ModelReady", model),
            "ModelMetadata": named("ModelMetadata", model),
            "ModelConfig": named("ModelConfig", model),
            "ModelStatistics": named("ModelStatistics", model),
            "ModelInfer": infer_request(model, raw=False),
            # an error ends the stream with its status, instead of being one of the stream's answers
            "ModelStreamInfer": Sample(
                body=infer_request(model, raw=True), metadata={"triton_grpc_error": "true"}
            ),
            "RepositoryIndex": b"",
            "RepositoryModelLoad": load,
            "RepositoryModelUnload": kserve,
            **dict.fromkeys(UNSUPPORTED_RPCS),
        }
        routes = {
            "GET /v2": b"",
            "GET /v2/health/live": b"",
            "GET /v2/health/ready": b"",
            "GET /v2/models": b"",
            "GET /v2/models/stats": b"",
            f"GET /v2/models/{model}": b"",
            f"GET /v2/models/{model}/ready": b"",
            f"GET /v2/models/{model}/config": b"",
            f"POST /v2/models/{model}/infer": json.dumps(document).encode(),
            "POST /v2/repository/index": b"",
            f"POST /v2/repository/models/{model}/load": b"",
            f"POST /v2/repository/models/{model}/unload": b'{"parameters": {"unload_dependents": true}}',
            **{f"{verb} {path}": None for verb in ("GET", "POST") for path in UNSUPPORTED_PATHS},
        }
        return {**{PREFIX + rpc: sample for rpc, sample in rpcs.items()}, **routes}


class TestOipBinary(TestOip):
    """The same with raw contents and binary tensor data."""

    def samples(self, model):
        document = {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [3], "parameters": {"binary_data_size": 12}}
            ],
            "parameters": {"binary_data_output": True},
        }
        text = json.dumps(document).encode()
        return {
            **super().samples(model),
            f"{PREFIX}ModelInfer": infer_request(model, raw=True),
            f"POST /v2/models/{model}/infer": Sample(
                body=text + VALUES.tobytes(), metadata={"inference-header-content-length": str(len(text))}
            ),
        }


class TestOipAsTriton(TestOip):
    """Triton's dialect: an unknown model is an invalid argument, and what is not there is merely not ready."""

    def make_service(self, context):
        options = replace(context.options, tables={"oip": {"compat": "triton"}})
        return OipService.create(replace(context, options=options))

    def test_any_bytes_get_an_answer_of_the_protocol(self):
        pytest.skip("Triton answers INTERNAL where JSON data does not fit its shape")

    def test_any_model_name_gets_an_answer_of_the_protocol(self):
        pytest.skip("Triton answers INTERNAL where a model to be loaded is in no repository")

    def says_not_found(self, where, reply):
        if where.endswith("ModelReady"):
            return reply.is_ok and not oip.ModelReadyResponse.FromString(reply.body).ready
        if where.endswith(("Unload", "/unload")):  # what is not there is unloaded already
            return reply.is_ok
        if where.endswith("/ready"):
            return reply.status == 400
        if where.endswith(("Load", "/load")):
            return reply.status in (13, 500) and UNKNOWN_MODEL in reply.text
        return reply.status in (3, 400) and UNKNOWN_MODEL in reply.text


def test_every_unsupported_route_is_among_the_samples():
    """So that the suite would see one that clashes."""
    suite = TestOip()
    wheres = suite.samples("m")
    routes = suite._stage().service.http_routes()
    assert all(isinstance(route, HttpRoute) for route in routes)
    for route in routes:
        paths = [where.partition(" ")[2] for where in wheres if where.startswith(f"{route.verb} ")]
        assert any(route.pattern.fullmatch(path) for path in paths), route.pattern
