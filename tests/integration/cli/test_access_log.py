"""The access log of a running host: lines, and ids that come back, over both transports."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import grpc
import pytest

pytestmark = pytest.mark.integration

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def ask(url, content=None, **headers):
    """Return status, the answer's request id and its body."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.headers["x-request-id"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["x-request-id"], error.read()


def lines(served):
    return [entry for entry in served.events() if entry["event"] == "request"]


def test_every_request_is_a_line_and_has_an_id(serve, toy_model):
    served = serve("-m", str(toy_model()), "--access-log")
    served.wait_for("ready")
    trace = {"x-request-id": "from-me", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    inputs = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1.0, 2.0]}]}
    status, said, answer = ask(f"{served.http}/v2/models/scaled/infer", inputs, **trace)
    assert (status, said) == (200, "from-me")
    wrong, made, _ = ask(f"{served.http}/v2/models/nobody/infer", inputs)
    assert wrong == 404
    assert ask(f"{served.http}/healthz/live")[1] is not None
    with grpc.insecure_channel(served.grpc) as channel:
        ready = channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")
        _, call = ready.with_call(b"\x0a\x06scaled", timeout=120, metadata=[("x-request-id", "over-grpc")])
        assert ("x-request-id", "over-grpc") in [tuple(each) for each in call.trailing_metadata()]
        with pytest.raises(grpc.RpcError) as refused:
            ready(b"\x0a\x06nobody", timeout=120)
        failed = dict(refused.value.trailing_metadata())["x-request-id"]
    assert served.stop() == 0
    first, second, third, fourth = lines(served)  # the probe is none of them
    assert first["method"] == "POST"
    assert first["path"] == "/v2/models/scaled/infer"
    assert (first["status"], first["code"], first["request_id"]) == (200, "OK", "from-me")
    assert (first["trace_id"], first["model"], first["version"], first["rows"]) == (TRACE, "scaled", 1, 2)
    assert (first["request_bytes"], first["response_bytes"]) == (len(json.dumps(inputs)), len(answer))
    assert first["duration_ms"] > 0
    assert first["logger"] == "navi_core.access"
    assert (second["status"], second["code"], second["request_id"]) == (404, "NOT_FOUND", made)
    assert (third["path"], third["request_id"]) == (
        "/inference.GRPCInferenceService/ModelMetadata",
        "over-grpc",
    )
    assert (third["transport"], third["status"]) == ("grpc", 0)
    assert fourth["request_id"] == failed
    assert fourth["status"] == 5


def test_without_it_there_is_no_line_and_no_id(serve, toy_model):
    served = serve("-m", str(toy_model()))
    served.wait_for("ready")
    status, said, _ = ask(f"{served.http}/v2/models/scaled", **{"x-request-id": "from-me"})
    assert (status, said) == (200, None)
    assert served.stop() == 0
    assert lines(served) == []
