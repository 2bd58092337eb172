from __future__ import annotations

import json
import uuid

import numpy as np
import pytest

from navi_core.contracts.service import Operation, RpcKind
from navi_core.errors import ConfigError
from navi_core.services.proton.service import ProtonService
from navi_core.wire import proton

X = np.array([[1.5, -2.0], [0.1, 3.0]], np.float32)


def request(model="m", array=X):
    message = proton.InferenceRequest(model_name=model, data=array.ravel().tolist(), shape=array.shape)
    return message.SerializeToString()


def document(model="m", array=X, **extra):
    data = {"v": 1, "dim": list(array.shape), "data": [float(value) for value in array.ravel()]}
    return json.dumps({"model_name": model, "data": data, **extra}).encode()


def is_uuid4(text):
    return str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4


def test_what_is_offered(make_service):
    service = make_service()
    [(path, method)] = service.rpc_methods().items()
    assert (path, method.kind, method.operation) == (
        "/predict.Predictor/Predict",
        RpcKind.UNARY,
        Operation.INFER,
    )
    assert [(each.verb, each.pattern.pattern, each.operation) for each in service.http_routes()] == [
        ("POST", "/predict", Operation.INFER),
        ("GET", "/models", Operation.READ),
        ("GET", "/ready", Operation.READ),
    ]
    assert ProtonService.descriptor_set == proton.DESCRIPTORS.serialized


def test_it_has_no_settings(make_service):
    with pytest.raises(ConfigError, match=r"service_options\.proton: expected nothing, got 'cors'"):
        make_service(tables={"proton": {"cors": True}})


async def test_predict_over_grpc(ask, plane):
    answer = await ask.rpc(request(), deadline=12.5)
    assert answer.status == 0
    found = proton.InferenceResponse.FromString(answer.body)
    assert (found.model_name, list(found.shape)) == ("m", [2, 2])
    assert is_uuid4(found.prediction_id)
    np.testing.assert_array_equal(np.reshape(found.data, (2, 2)), X * 2)
    [asked] = plane.requests
    assert (asked.service, asked.transport, asked.method) == ("proton", "grpc", "Predict")
    assert (asked.outputs, asked.deadline, asked.body_bytes) == (("y",), 12.5, len(request()))
    assert (plane.num_open, plane.num_released) == (0, 1)


async def test_a_large_answer_is_released_once_it_is_written(ask, plane):
    array = np.arange(40_000, dtype=np.float32).reshape(-1, 2)
    answer = await ask.rpc(request(array=array))
    assert plane.num_released == 0
    answer.on_written()
    assert plane.num_released == 1
    found = proton.InferenceResponse.FromString(answer.body)
    np.testing.assert_array_equal(np.reshape(found.data, array.shape), array * 2)


async def test_a_scalar_and_an_empty_tensor(ask):
    for array in (np.float32(3), np.zeros((0, 2), np.float32)):
        found = proton.InferenceResponse.FromString((await ask.rpc(request("any", np.asarray(array)))).body)
        assert list(found.shape) == list(np.shape(array))
        assert list(found.data) == (np.ravel(array) * 2).tolist()
        rest = json.loads((await ask.http("POST", "/predict", document("any", np.asarray(array)))).body)
        assert rest["data"] == {
            "v": 1,
            "dim": list(np.shape(array)),
            "data": (np.ravel(array) * 2).tolist(),
        }


async def test_predict_over_rest(ask, plane):
    answer = await ask.http("POST", "/predict", document(extra="is not looked at"))
    assert (answer.status, answer.headers) == (200, {"content-type": "application/json"})
    found = json.loads(answer.body)
    assert list(found) == ["prediction_id", "model_name", "data"]
    assert is_uuid4(found["prediction_id"])
    assert found["model_name"] == "m"
    assert answer.body.endswith(b'"data":{"v":1,"dim":[2,2],"data":[3.0,-4.0,0.2,6.0]}}')
    [asked] = plane.requests
    assert (asked.service, asked.transport, asked.method) == ("proton", "http", "predict")
    assert (plane.num_open, plane.num_released) == (0, 1)


async def test_rest_requests_have_a_deadline(ask, plane, clock):
    clock.advance(5.0)
    await ask.http("POST", "/predict", document())
    await ask.http("POST", "/predict", document(), deadline=7.0)
    assert [each.deadline for each in plane.requests] == [pytest.approx(clock.now() + 30.0), 7.0]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json", " application/json "],
)
async def test_content_types_that_say_json(ask, content_type):
    assert (await ask.http("POST", "/predict", document(), content_type)).status == 200


async def test_what_is_not_finite_is_written_as_null(ask):
    array = np.array([3e38, -3e38, 1.0], np.float32)
    with np.errstate(over="ignore"):
        answer = await ask.http("POST", "/predict", document("any", array))
    assert json.loads(answer.body)["data"]["data"] == [None, None, 2.0]


async def test_an_input_that_may_be_left_out_is(ask, plane):
    assert (await ask.rpc(request("one_needed"))).status == 0
    assert list(plane.requests[0].inputs) == ["x"]


async def test_models_in_the_order_of_the_configuration(ask, plane):
    answer = await ask.http("GET", "/models")
    assert (answer.status, answer.headers) == (200, {"content-type": "application/json"})
    assert json.loads(answer.body) == {"models": [{"name": name} for name in plane.models()]}


async def test_ready_says_so_in_its_body_only(ask, plane):
    assert (await ask.http("GET", "/ready")).body == b'{"healthy":true}'
    plane.ready = False
    answer = await ask.http("GET", "/ready")
    assert (answer.status, answer.body) == (200, b'{"healthy":false}')
