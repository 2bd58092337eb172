from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from calls import body_of, call_http
from fake_plane import FAILURES, STATUSES, FakePlane, context_of
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.clock import ManualClock
from navi_core.contracts.service import Operation
from navi_core.errors import ErrorCode, NaviError
from navi_core.messages import ModelRef
from navi_core.services.tf_serving.errors import HTTP_STATUS
from navi_core.services.tf_serving.service import TfServingService

PREDICT = "/v1/models/m:predict"


async def post(service, document, path=PREDICT, **kwargs):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    response = await call_http(service, "POST", path, body, **kwargs)
    assert response.status == 200, body_of(response)
    assert dict(response.headers) == {"content-type": "application/json"}
    return json.loads(body_of(response))


async def get(service, path, **kwargs):
    response = await call_http(service, "GET", path, **kwargs)
    assert response.status == 200, body_of(response)
    assert dict(response.headers)["content-type"] == "application/json"
    return json.loads(body_of(response))


# --- predict ------------------------------------------------------------------------------------


async def test_predict__row_form_answers_rows(service):
    answer = await post(service, {"instances": [[1, 2], [3, 4]]})
    assert answer == {"predictions": [{"y": [2.0, 4.0], "z": 0}, {"y": [6.0, 8.0], "z": 1}]}
    assert await post(service, {"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}) == answer


async def test_predict__column_form_answers_columns(service):
    answer = await post(service, {"inputs": {"x": [[1, 2], [3, 4]]}})
    assert answer == {"outputs": {"y": [[2.0, 4.0], [6.0, 8.0]], "z": [0, 1]}}
    assert await post(service, {"inputs": [[1, 2], [3, 4]]}) == answer


async def test_predict__one_output_has_no_name(service):
    document = {"signature_name": "two", "inputs": {"a": [1, 2], "b": [3, 4], "extra": "ignored"}}
    assert await post(service, document) == {"outputs": [4.0, 6.0]}
    document = {"signature_name": "two", "instances": [{"a": 1, "b": 3}, {"a": 2, "b": 4}]}
    assert await post(service, document) == {"predictions": [4.0, 6.0]}


async def test_predict__strings_and_bytes(service):
    document = {"signature_name": "text", "instances": ["é", {"b64": base64.b64encode(b"\x01").decode()}]}
    assert await post(service, document) == {
        "predictions": [{"u": "é", "u_bytes": {"b64": "w6k="}}, {"u": "\x01", "u_bytes": {"b64": "AQ=="}}]
    }


async def test_predict__words_that_are_no_json_numbers(service):
    body = b'{"instances": [[NaN, Infinity], [-Infinity, 0.2]]} text after the document'
    response = await call_http(service, "POST", PREDICT, body)
    assert body_of(response) == (b'{"predictions":[{"y":[NaN,Infinity],"z":0},{"y":[-Infinity,0.4],"z":1}]}')


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/models/m:predict", 3),
        ("/V1/Models/m:predict", 3),
        ("/v1/models/%6d:predict", 3),
        ("/v1/models/m/versions/2:predict", 2),
        ("/v1/models/m/versions/000000000000000000000000000002:predict", 2),
        ("/v1/models/m/labels/stable:predict", 2),
        ("/v1/models/m/labels/stabl%65:predict", 2),
    ],
)
async def test_predict__paths(service, plane, path, version):
    await post(service, {"instances": [[1, 2]]}, path)
    assert plane.requests[0].signature == ""
    metadata = await get(service, path.replace(":predict", "/metadata"))
    assert metadata["model_spec"]["version"] == str(version)


async def test_predict__hands_on_what_the_call_is_about(plane):
    clock = ManualClock(start=100.0)
    service = TfServingService.create(context_of(plane, clock, default_deadline_ms=2500))
    body = b'{"instances": [[1, 2]]}'
    await post(service, body)
    await post(service, body, deadline=101.0)
    first, second = plane.requests
    assert (first.deadline, second.deadline) == (102.5, 101.0)
    assert (first.service, first.transport, first.method) == ("tf_serving", "http", "predict")
    assert first.body_bytes == len(body)
    assert (plane.open_handles, plane.num_released) == (0, 2)


async def test_predict__without_a_default_deadline(plane):
    service = TfServingService.create(context_of(plane, default_deadline_ms=0))
    await post(service, {"instances": [[1, 2]]})
    assert plane.requests[0].deadline is None


@pytest.mark.parametrize(
    ("path", "body", "ref", "text"),
    [
        ("/v1/models/nobody:predict", b'{"instances": [1]}', ModelRef("nobody"), "nobody"),
        ("/v1/models/m/versions/2:predict", b"{", ModelRef("m", 2), "JSON"),
        ("/v1/models/m/labels/stable:predict", b'{"inputs": "a"}', ModelRef("m", label="stable"), "float"),
        ("/v1/models/m/versions/99999999999999999999:predict", b"", None, "numeric"),
    ],
)
async def test_predict__what_is_refused_on_the_way_is_reported(service, plane, path, body, ref, text):
    response = await call_http(service, "POST", path, body)
    [(asked, error, call)] = plane.refusals
    assert asked == ref
    assert response.status == HTTP_STATUS[error.code]
    assert text in json.loads(body_of(response))["error"]
    assert call.pop("signature", None) == ("" if body.startswith(b'{"') else None)
    assert call == {"service": "tf_serving", "transport": "http", "method": "predict"}


async def test_predict__version_0_is_the_newest_of_a_model_that_has_none(service):
    document = {"signature_name": "any", "inputs": [1]}
    assert await post(service, document, "/v1/models/m/versions/0:predict") == {"outputs": [1]}
    metadata = await get(service, "/v1/models/m/versions/0/metadata")
    assert metadata["model_spec"]["version"] == "3"
    status = await get(service, "/v1/models/m/versions/0")
    assert [each["version"] for each in status["model_version_status"]] == ["3", "2", "1"]


async def test_predict__an_answer_without_json_form_is_released(service, plane):
    body = b'{"signature_name": "to_half", "instances": [1]}'
    response = await call_http(service, "POST", PREDICT, body)
    assert response.status == 400
    assert plane.num_released == 1


async def test_predict__errors_of_every_code_are_mapped(service, monkeypatch):
    for code in ErrorCode:
        if code is ErrorCode.OK:
            continue
        monkeypatch.setitem(FAILURES, "failing", lambda code=code: NaviError("words \udcff", code=code))
        response = await call_http(service, "POST", "/v1/models/failing:predict", b'{"inputs": 1}')
        assert response.status == HTTP_STATUS[code]
        assert json.loads(body_of(response)) == {"error": "words ?"}


@settings(deadline=None)
@given(st.binary(max_size=60))
async def test_predict__any_body_gets_an_answer(body):
    service = TfServingService.create(context_of(FakePlane()))
    response = await call_http(service, "POST", PREDICT, body)
    assert response.status in (200, 400)
    assert json.loads(body_of(response))


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["x", "a", "b", "b64", "instances"]), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from(["instances", "inputs"]),
    st.sampled_from(["serving_default", "two", "text", "half"]),
)
async def test_predict__any_document_gets_an_answer(value, form, signature):
    service = TfServingService.create(context_of(FakePlane()))
    body = json.dumps({"signature_name": signature, form: value}).encode()
    response = await call_http(service, "POST", PREDICT, body)
    assert response.status in (200, 400, 501)


# --- status, metadata, list ---------------------------------------------------------------------

OK = {"error_code": "OK", "error_message": ""}
FAILED = {"error_code": "FAILED_PRECONDITION", "error_message": "no model.onnx"}


async def test_status__of_a_model(service):
    assert await get(service, "/v1/models/m") == {
        "model_version_status": [
            {"version": "3", "state": "AVAILABLE", "status": OK},
            {"version": "2", "state": "AVAILABLE", "status": OK},
            {"version": "1", "state": "END", "status": FAILED},
        ]
    }


async def test_status__of_a_version(service):
    assert await get(service, "/v1/models/m/versions/1") == {
        "model_version_status": [{"version": "1", "state": "END", "status": FAILED}]
    }


async def test_status__labels_are_ignored(service):
    answer = await get(service, "/v1/models/m/labels/none")
    assert len(answer["model_version_status"]) == 3


async def test_metadata__of_a_model(service):
    answer = await get(service, "/v1/models/m/metadata")
    assert answer["model_spec"] == {"name": "m", "signature_name": "", "version": "3"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"] == {
        "inputs": {
            "x": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {
                    "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
                    "unknown_rank": False,
                },
                "name": "x",
            }
        },
        "outputs": {
            "y": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {
                    "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
                    "unknown_rank": False,
                },
                "name": "y",
            },
            "z": {
                "dtype": "DT_INT64",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
                "name": "z",
            },
        },
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert signatures["any"]["inputs"]["x"]["tensor_shape"] == {"dim": [], "unknown_rank": True}
    assert signatures["defaults"]["defaults"]["b"]["float_val"] == [7.0]


async def test_metadata__in_capitals_is_status(service):
    # the path is matched without regard to case; only "metadata" in small letters means metadata
    assert "model_version_status" in await get(service, "/v1/models/m/METADATA")


async def test_list__of_all_models(service):
    for path in ("/v1/models", "/v1/models/"):
        answer = await get(service, path)
        assert [model["name"] for model in answer["models"]] == list(STATUSES)
    assert answer["models"][0]["model_version_status"][1] == {
        "version": "2",
        "state": "AVAILABLE",
        "status": OK,
        "labels": ["stable"],
    }


# --- routes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "path", "read"),
    [
        ("GET", "/v1/models/m", (ModelRef("m"), "OK")),
        ("GET", "/v1/models/m/versions/2", (ModelRef("m", version=2), "OK")),
        ("GET", "/v1/models/m/metadata", (ModelRef("m"), "OK")),
        ("GET", "/v1/models/m/versions/9/metadata", (ModelRef("m", version=9), "NOT_FOUND")),
        ("GET", "/v1/models/nobody", (ModelRef("nobody"), "NOT_FOUND")),
        ("GET", "/v1/models/m/versions/99999999999999999999", (None, "INVALID_ARGUMENT")),
        ("GET", "/v1/elsewhere", (None, "INVALID_ARGUMENT")),
        ("POST", "/v1/models/m:PREDICT", (None, "INVALID_ARGUMENT")),
    ],
)
async def test_routes__what_is_no_inference_is_counted_as_in_tensorflow_serving(
    service, plane, verb, path, read
):
    await call_http(service, verb, path)
    assert plane.reads == [read]
    assert plane.refusals == []


async def test_routes__inference_and_the_list_of_models_are_no_reads(service, plane):
    await post(service, {"instances": [{"x": [1.0, 2.0]}]})
    await call_http(service, "GET", "/v1/models")
    assert plane.reads == []


async def test_routes__outside_of_v1_are_not_ours(service):
    for path in ("/", "/v2/models/m", "/v1", "/models/m:predict", "/metrics"):
        assert await call_http(service, "GET", path) is None


async def test_routes__preflight(service):
    response = await call_http(service, "OPTIONS", PREDICT, metadata={"origin": "https://example.org"})
    assert (response.status, body_of(response), tuple(response.headers)) == (200, b"", ())
    for origin in ({}, {"origin": "null"}):
        response = await call_http(service, "OPTIONS", PREDICT, metadata=origin)
        assert (response.status, body_of(response)) == (400, b"")


async def test_routes__cors(plane):
    service = TfServingService.create(context_of(plane, table={"cors": True}))
    cors = {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST, GET",
        "access-control-allow-headers": "Content-Type",
    }
    for verb, path, metadata in (
        ("GET", "/v1/models/m", {}),
        ("GET", "/v1/models/nobody", {}),
        ("POST", PREDICT, {}),
        ("OPTIONS", PREDICT, {"origin": "http://localhost"}),
    ):
        response = await call_http(service, verb, path, metadata=metadata)
        assert cors.items() <= dict(response.headers).items()


def test_routes__only_inference_is_refused_while_draining(service):
    operations = {(route.verb, route.operation) for route in service.http_routes()}
    assert operations == {
        ("POST", Operation.INFER),
        ("GET", Operation.READ),
        ("OPTIONS", Operation.READ),
        ("*", Operation.READ),
    }


async def test_routes__a_large_answer_is_whole(service):
    rows = np.arange(20_000, dtype=np.float32).reshape(-1, 2)
    answer = await post(service, {"inputs": rows.tolist()})
    np.testing.assert_array_equal(np.array(answer["outputs"]["y"], dtype=np.float32), rows * 2)
