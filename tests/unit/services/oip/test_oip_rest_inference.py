"""Inference over REST: documents, limits, binary tensor data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from oip_calls import body_of, call_http, post, tensor
from oip_plane import FakePlane, Model, context_of, signature, spec

from navi_core.clock import ManualClock
from navi_core.services.oip.service import OipService

X = tensor("x", "FP32", [1, 2], [1, 2])


async def test_json__answers_flat_with_model_version_and_id(service, plane):
    status, answer = await post(service, "/v2/models/m/versions/2/infer", {"id": "7", "inputs": [X]})
    assert status == 200
    assert answer == {
        "model_name": "m",
        "model_version": "2",
        "id": "7",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 4.0]},
            {"name": "z", "datatype": "INT64", "shape": [1], "data": [0]},
        ],
    }
    assert plane.requests[0].method == "infer"


async def test_json__has_no_id_where_none_was_sent(service):
    _, answer = await post(service, "/v2/models/m/infer", {"inputs": [X]})
    assert "id" not in answer


async def test_json__model_names_may_be_percent_encoded():
    plane = FakePlane({"a b": FakePlane().served["m"]})
    service = OipService.create(context_of(plane))
    status, _ = await post(service, "/v2/models/a%20b/infer", {"inputs": [X]})
    assert status == 200


async def test_json__floats_are_as_short_as_their_width_allows(service):
    _, answer = await post(
        service, "/v2/models/scores/infer", {"inputs": [tensor("x", "FP32", [1, 1], [0.2])]}
    )
    assert answer["outputs"][0]["data"] == [0.2]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "null,null,null"),
        ({"nan": "token"}, "NaN,Infinity,-Infinity"),
        ({"compat": "triton"}, "NaN,Infinity,-Infinity"),
        ({"compat": "triton", "nan": "null"}, "null,null,null"),
    ],
)
async def test_json__floats_that_are_not_finite(plane, table, words):
    service = OipService.create(context_of(plane, table=table))
    body = (
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": [NaN, Infinity, -Infinity]}]}'
    )
    response = await call_http(service, "POST", "/v2/models/flat_scores/infer", body)
    assert f"[{words}]" in body_of(response).decode().replace(" ", "")
    np.testing.assert_array_equal(plane.requests[0].inputs["x"], [np.nan, np.inf, -np.inf])


async def test_json__null_is_nan_in_floats(service, plane):
    await post(service, "/v2/models/flat_scores/infer", {"inputs": [tensor("x", "FP32", [2], [None, 1])]})
    np.testing.assert_array_equal(plane.requests[0].inputs["x"], [np.nan, 1])


async def test_json__parameters_reach_the_runtime(service, plane):
    parameters = {"b": True, "i": 3, "s": "v", "d": 0.5, "timeout": 250_000, "binary_data_output": False}
    await post(service, "/v2/models/m/infer", {"inputs": [X], "parameters": parameters})
    assert dict(plane.requests[0].parameters) == {"b": True, "i": 3, "s": "v", "d": 0.5}
    assert plane.requests[0].deadline == pytest.approx(1000.25)


async def test_json__requests_without_deadline_get_the_hosts(plane):
    service = OipService.create(context_of(plane, clock=ManualClock(1000.0), default_deadline_ms=30_000))
    await post(service, "/v2/models/m/infer", {"inputs": [X]})
    await post(service, "/v2/models/m/infer", {"inputs": [X]}, deadline=1002.0)
    assert [each.deadline for each in plane.requests] == [1030.0, 1002.0]


async def test_json__limits_are_the_configurations(plane):
    service = OipService.create(context_of(plane, table={"max_json_bytes": 100, "max_json_depth": 4}))
    status, answer = await post(service, "/v2/models/m/infer", {"inputs": [X], "id": "x" * 99})
    assert (status, answer["error"][:47]) == (400, "request JSON: expected at most 100 bytes (max_j")
    body = b'{"inputs": [{"name": "]]", "datatype": "FP32", "shape": [1, 2], "data": [[[1, 2]]]}]}'
    response = await call_http(service, "POST", "/v2/models/m/infer", body)
    assert json.loads(body_of(response)) == {"error": "request JSON: nesting depth exceeds the limit (4)"}


# --- binary tensor data ---------------------------------------------------------------------------------------


def binary_request(document, *arrays):
    text = json.dumps(document).encode()
    return text + b"".join(array.tobytes() for array in arrays), {
        "inference-header-content-length": str(len(text))
    }


def read(response):
    """Return the document and the tail of an answer, and whether it says that it has one."""
    body, headers = body_of(response), dict(response.headers)
    length = headers.get("inference-header-content-length")
    assert (headers["content-type"] == "application/octet-stream") == (length is not None)
    size = len(body) if length is None else int(length)
    return json.loads(body[:size]), body[size:]


async def infer(service, document, *arrays, model="m"):
    body, headers = binary_request(document, *arrays)
    return read(await call_http(service, "POST", f"/v2/models/{model}/infer", body, headers))


X_ARRAY = np.array([[1, 2]], np.float32)
X_BINARY = tensor("x", "FP32", [1, 2], binary_data_size=8)
Y_TAIL, Z_TAIL = np.array([2, 4], np.float32).tobytes(), np.array([0], np.int64).tobytes()


def binary_names(document):
    return [each["name"] for each in document["outputs"] if "data" not in each]


@pytest.mark.parametrize(
    ("parameters", "outputs", "expected", "as_triton"),
    [
        ({}, None, [], []),
        ({"binary_data_output": True}, None, ["y", "z"], ["y", "z"]),
        ({"binary_data_output": True}, [("y", None), ("z", None)], ["y", "z"], []),
        ({"binary_data_output": True}, [("y", False), ("z", True)], ["z"], ["z"]),
        ({}, [("y", True), ("z", None)], ["y"], ["y"]),
    ],
)
async def test_binary__which_outputs(service, triton, parameters, outputs, expected, as_triton):
    document = {"inputs": [X_BINARY], "parameters": parameters}
    if outputs is not None:
        document["outputs"] = [
            {"name": name, **({} if flag is None else {"parameters": {"binary_data": flag}})}
            for name, flag in outputs
        ]
    answer, tail = await infer(service, document, X_ARRAY)
    assert binary_names(answer) == expected
    assert tail == b"".join({"y": Y_TAIL, "z": Z_TAIL}[name] for name in expected)
    answer, _ = await infer(triton, document, X_ARRAY)
    assert binary_names(answer) == as_triton


async def test_binary__inputs_may_be_mixed_with_json_ones(service, plane):
    inputs = [tensor("b", "INT32", [2], [3, 4]), tensor("a", "FP32", [2], binary_data_size=8)]
    answer, tail = await infer(service, {"inputs": inputs}, np.array([1, 2], np.float32), model="two")
    assert answer["outputs"][0]["data"] == [4.0, 6.0]
    assert tail == b""
    assert list(plane.requests[0].inputs) == ["b", "a"]


async def test_binary__tensors_without_elements_have_no_tail(service):
    document = {
        "inputs": [tensor("x", "FP32", [0, 2], binary_data_size=0)],
        "parameters": {"binary_data_output": True},
    }
    answer, tail = await infer(service, document)
    assert [each["parameters"] for each in answer["outputs"]] == [{"binary_data_size": 0}] * 2
    assert tail == b""


async def test_binary__a_length_of_zero_is_one_tensor_and_nothing_else(service, plane):
    headers = {"inference-header-content-length": "0"}
    response = await call_http(service, "POST", "/v2/models/m/infer", X_ARRAY.tobytes(), headers)
    answer, tail = read(response)
    assert binary_names(answer) == ["y", "z"]
    assert tail == Y_TAIL + Z_TAIL
    await call_http(
        service, "POST", "/v2/models/row/infer", np.arange(3, dtype=np.float32).tobytes(), headers
    )
    assert plane.requests[1].inputs["x"].tolist() == [[0, 1, 2]]


async def test_binary__a_length_of_zero_with_one_string():
    model = Model(
        signature([spec("x", "string")], [spec("y", "string")], batchable=True),
        lambda inputs: {"y": inputs["x"]},
    )
    plane = FakePlane({"text": model})
    service = OipService.create(context_of(plane))
    response = await call_http(
        service, "POST", "/v2/models/text/infer", b"\xffany", {"inference-header-content-length": "0"}
    )
    _, tail = read(response)
    assert plane.requests[0].inputs["x"].tolist() == [b"\xffany"]
    assert tail == b"\x04\0\0\0\xffany"
