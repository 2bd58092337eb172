from __future__ import annotations

import fake_plane
import msgspec
import numpy as np
import pytest
from calls import RPCS, body_of, call_rpc
from fake_plane import FAILURES, MODELS, FakeHandle, FakePlane, context_of, signature, spec

from navi_core.errors import ConfigError, ErrorCode, NaviError
from navi_core.messages import ModelRef
from navi_core.services.tf_serving.errors import GRPC_STATUS
from navi_core.services.tf_serving.options import TfServingModelOptions
from navi_core.services.tf_serving.service import TfServingService
from navi_core.wire import tf_serving
from navi_core.wire.tensor_proto import array_of_message, encode_tensor

X = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


def predict_request(inputs, output_filter=(), **spec):
    request = tf_serving.PredictRequest(
        model_spec=tf_serving.ModelSpec(**{"name": "m", **spec}), output_filter=output_filter
    )
    for name, array in inputs.items():
        request.inputs[name].ParseFromString(b"".join(encode_tensor(np.asarray(array))))
    return request


async def predict(service, request, **kwargs):
    response = await call_rpc(service, "Predict", request.SerializeToString(), **kwargs)
    assert (response.status, response.message) == (0, "")
    return tf_serving.PredictResponse.FromString(body_of(response))


def arrays_of(answer):
    return {name: array_of_message(tensor, name=name) for name, tensor in answer.outputs.items()}


async def test_predict__answers_all_outputs_of_the_default_signature(service):
    answer = await predict(service, predict_request({"x": X}))
    outputs = arrays_of(answer)
    assert outputs.keys() == {"y", "z"}
    np.testing.assert_array_equal(outputs["y"], X * 2)
    assert outputs["z"].dtype == np.int64
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 3, "serving_default")


async def test_predict__answers_from_the_version_asked_for(service):
    request = predict_request({"x": X})
    request.model_spec.version.value = 2
    assert (await predict(service, request)).model_spec.version.value == 2


async def test_predict__answers_from_the_version_that_a_label_points_to(service):
    answer = await predict(service, predict_request({"x": X}, version_label="stable"))
    assert answer.model_spec.WhichOneof("version_choice") == "version"
    assert answer.model_spec.version.value == 2


async def test_predict__names_the_signature_that_answered(service):
    inputs = {"a": np.array([1], np.float32), "b": np.array([2], np.int32)}
    request = predict_request(inputs, signature_name="two")
    answer = await predict(service, request)
    assert answer.model_spec.signature_name == "two"
    assert arrays_of(answer)["s"].tolist() == [3.0]


async def test_predict__answers_only_the_outputs_asked_for(service, plane):
    answer = await predict(service, predict_request({"x": X}, ["z"]))
    assert set(answer.outputs) == {"z"}
    assert plane.requests[0].outputs == ("z",)


async def test_predict__inputs_with_a_default_may_be_left_out(service):
    request = predict_request({"a": np.array([1, 2], np.float32)}, signature_name="defaults")
    assert arrays_of(await predict(service, request))["s"].tolist() == [8.0, 9.0]


async def test_predict__strings_go_through(service):
    strings = np.empty(2, dtype=object)
    strings[:] = [b"a\x00", b"\xff"]
    request = predict_request({"t": strings}, signature_name="text")
    assert arrays_of(await predict(service, request))["u"].tolist() == [b"a\x00", b"\xff"]


async def test_predict__zero_rows(service):
    answer = await predict(service, predict_request({"x": X[:0]}))
    assert arrays_of(answer)["y"].shape == (0, 2)


async def test_predict__hands_on_what_the_call_is_about(service, plane):
    body = predict_request({"x": X}).SerializeToString()
    await call_rpc(service, "Predict", body, deadline=17.5)
    (request,) = plane.requests
    assert request.deadline == 17.5
    assert request.body_bytes == len(body)
    assert (request.service, request.transport, request.method) == ("tf_serving", "grpc", "Predict")
    assert np.shares_memory(request.inputs["x"], np.frombuffer(body, np.uint8))


async def test_predict__ignores_the_options_of_streaming(service):
    request = predict_request({"x": X})
    request.client_id = b"somebody"
    request.predict_streamed_options.request_state = 1
    request.request_options.max_cache_length = 5
    assert "y" in (await predict(service, request)).outputs


async def test_predict__small_answers_are_released_at_once(service, plane):
    await predict(service, predict_request({"x": X}))
    assert plane.num_released == 1


async def test_predict__large_answers_are_released_when_they_are_written(service, plane):
    large = np.ones((20_000, 2), dtype=np.float32)
    response = await call_rpc(service, "Predict", predict_request({"x": large}).SerializeToString())
    assert plane.num_released == 0
    answer = tf_serving.PredictResponse.FromString(body_of(response))
    np.testing.assert_array_equal(arrays_of(answer)["y"], large * 2)
    response.on_written()
    assert plane.num_released == 1


async def test_predict__the_golden_request_and_response(service, plane, monkeypatch):
    inputs, outputs = [spec("x", "float32")], [spec("y", "float32"), spec("w", "float32")]
    monkeypatch.setitem(MODELS, "m", {"serving_default": signature(inputs, outputs)})
    monkeypatch.setattr(
        fake_plane, "compute", lambda _name, inputs: {"y": inputs["x"] * 2.5, "w": inputs["x"]}
    )
    monkeypatch.setattr(plane, "acquire", lambda ref: FakeHandle(plane, ref.name, 1))
    body = bytes.fromhex("0a030a016d12130a0178120e08011204120208012a040000803f1a0179")
    response = await call_rpc(service, "Predict", body)
    assert body_of(response).hex() == (
        "0a130a0179120e08011204120208012a040000204012180a016d120208011a0f73657276696e675f64656661756c74"
    )


async def test_predict__broadcasts_are_bounded_by_the_hosts_limit():
    service = TfServingService.create(context_of(FakePlane(), max_tensor_bytes=100))
    request = predict_request({"x": np.ones((13, 2), np.float32)})
    response = await call_rpc(service, "Predict", request.SerializeToString())
    assert response.message.startswith("tensor parsing error: x (input 'x': expected at most 100 bytes")


async def test_predict__truncated_requests_get_an_answer(service):
    body = predict_request({"x": X}, ["y"], version_label="stable").SerializeToString()
    statuses = set()
    for length in range(len(body)):
        response = await call_rpc(service, "Predict", body[:length])
        statuses.add(response.status)
        assert response.message or response.status == 0
    assert statuses <= {0, GRPC_STATUS[ErrorCode.INVALID_ARGUMENT], GRPC_STATUS[ErrorCode.NOT_FOUND]}


async def test_predict__version_0_is_the_newest_of_a_model_that_has_none(service):
    request = predict_request({"x": X})
    request.model_spec.version.SetInParent()
    assert (await predict(service, request)).model_spec.version.value == 3


@pytest.mark.parametrize(
    ("body", "ref"),
    [
        (b"\x0a\xff", None),
        (b"", None),
        (predict_request({"x": X}, name="nobody").SerializeToString(), ModelRef("nobody")),
        (predict_request({}).SerializeToString() + bytes.fromhex("12070a0178120208ff"), ModelRef("m")),
        (predict_request({}).SerializeToString() + bytes.fromhex("12070a017812020814"), ModelRef("m")),
    ],
    ids=["no message", "no model", "unknown model", "cut tensor", "unknown dtype"],
)
async def test_predict__what_is_refused_on_the_way_is_reported(service, plane, body, ref):
    response = await call_rpc(service, "Predict", body)
    [(asked, error, call)] = plane.refusals
    assert asked == ref
    assert response.status == GRPC_STATUS[error.code] != 0
    signature = "" if ref == ModelRef("m") else None
    assert call == {
        "service": "tf_serving",
        "transport": "grpc",
        "method": "Predict",
        "signature": signature,
    }
    assert plane.requests == []


async def test_errors__long_texts_are_cut(service):
    response = await call_rpc(service, "Predict", predict_request({}, name="é" * 5000).SerializeToString())
    assert response.message.startswith("Servable not found for request: Latest(éé")
    assert response.message.endswith("...TRUNCATED")
    assert len(response.message.encode()) <= 1024 + len("...TRUNCATED")


async def test_errors__of_every_code_are_mapped(service, plane, monkeypatch):
    for code in ErrorCode:
        if code is ErrorCode.OK:
            continue
        monkeypatch.setitem(
            FAILURES, "failing", lambda code=code: NaviError("words", code=code, reason="why")
        )
        response = await call_rpc(
            service, "Predict", predict_request({"x": X}, name="failing").SerializeToString()
        )
        assert (response.status, response.message) == (GRPC_STATUS[code], "words")
        assert response.trailers == (("navi-reason", "why"),)


async def test_errors__that_are_bugs_are_left_to_the_transport(service, monkeypatch):
    monkeypatch.setitem(FAILURES, "failing", lambda: ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        await call_rpc(service, "Predict", predict_request({"x": X}, name="failing").SerializeToString())


@pytest.mark.parametrize(
    ("model", "table", "code"),
    [
        ("full", {}, ErrorCode.RESOURCE_EXHAUSTED),
        ("full", {"overload_code": "UNAVAILABLE"}, ErrorCode.UNAVAILABLE),
        ("stale", {"overload_code": "UNAVAILABLE"}, ErrorCode.UNAVAILABLE),
        ("loading", {}, ErrorCode.UNAVAILABLE),
        ("loading", {"not_ready_code": "NOT_FOUND"}, ErrorCode.NOT_FOUND),
    ],
)
async def test_options__follow_tensorflow_serving_where_navi_differs(model, table, code):
    service = TfServingService.create(context_of(FakePlane(), table=table))
    response = await call_rpc(service, "Predict", predict_request({"x": X}, name=model).SerializeToString())
    assert response.status == GRPC_STATUS[code]
    if code is ErrorCode.NOT_FOUND:
        assert response.message == "Servable not found for request: Latest(loading)"


async def test_options__tensor_content():
    service = TfServingService.create(context_of(FakePlane(), table={"response_tensors": "tensor_content"}))
    answer = await predict(service, predict_request({"x": X}))
    assert answer.outputs["y"].tensor_content == (X * 2).tobytes()
    assert not answer.outputs["y"].float_val


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"cors": "yes"}, r"service_options\.tf_serving\.cors: expected bool, got \"yes\""),
        (
            {"overload_code": "OK"},
            r"service_options\.tf_serving\.overload_code: expected one of .*, got \"OK\"",
        ),
        (
            {"origins": True},
            r"service_options\.tf_serving\.origins: unknown key, expected one of 'overload_code', ",
        ),
    ],
)
def test_options__are_checked(table, match):
    with pytest.raises(ConfigError, match=match):
        TfServingService.create(context_of(FakePlane(), table=table))


def test_service__leaves_out_what_it_does_not_do(service):
    assert set(service.rpc_methods()) == set(RPCS.values())
    assert service.descriptor_set is not None


@pytest.mark.parametrize(
    ("signature", "status"), [("any", 13), ("classify_made", 0), ("scores", 0), ("unknown", 9)]
)
async def test_predict__checks_method_names_where_that_is_wanted(plane, signature, status):
    service = TfServingService.create(context_of(plane, table={"check_method_names": True}))
    request = tf_serving.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "m", signature
    request.inputs["examples"].dtype = 7
    request.inputs["examples"].tensor_shape.dim.add(size=1)
    response = await call_rpc(service, "Predict", request.SerializeToString())
    assert response.status == status
    if status == 13:
        assert response.message == (
            "Expected prediction signature method_name to be one of {tensorflow/serving/classify, "
            "tensorflow/serving/predict, tensorflow/serving/regress}. Was: tensorflow/serving/other"
        )
    assert (plane.open_handles, plane.num_counted) == (0, 1)


def _request(*as_content):
    """A request with a tensor for each argument, written as content where it is true."""
    request = tf_serving.PredictRequest()
    request.model_spec.name = "m"
    for name, content in zip("ab", as_content, strict=False):
        tensor = request.inputs[name]
        tensor.dtype = 1 if name == "a" else 3
        tensor.tensor_shape.dim.add(size=1)
        if content:
            tensor.tensor_content = b"\0\0\x80?"
        elif name == "a":
            tensor.float_val.append(1.0)
        else:
            tensor.int_val.append(7)
    request.model_spec.signature_name = "two"
    return request.SerializeToString()


@pytest.mark.parametrize("unusual", [False, True], ids=["plain", "unusual"])
@pytest.mark.parametrize(
    ("setting", "of_the_model", "as_content", "expected"),
    [
        ("values", None, (True, True), False),
        ("tensor_content", None, (False, False), True),
        ("as_requested", None, (False, False), False),
        ("as_requested", None, (False, True), True),
        ("as_requested", None, (True, False), True),
        ("values", "as_requested", (True, False), True),
        ("values", "tensor_content", (False, False), True),
        ("tensor_content", "values", (True, True), False),
        ("tensor_content", "as_requested", (False, False), False),
    ],
)
async def test_predict__answers_as_content_where_that_is_wanted(
    plane, setting, of_the_model, as_content, expected, unusual
):
    plane.service_options = {"tf_serving": TfServingModelOptions(response_tensors=of_the_model)}
    service = TfServingService.create(context_of(plane, table={"response_tensors": setting}))
    body = _request(*as_content)
    if unusual:  # a field that is unknown leaves the request to protobuf's parser
        body += b"\xf8\x7f\x01"
    response = await call_rpc(service, "Predict", body)
    assert response.status == 0, response.message
    tensor = tf_serving.PredictResponse.FromString(body_of(response)).outputs["s"]
    assert bool(tensor.tensor_content) == expected
    assert bool(tensor.float_val) != expected


def test_what_a_model_says_is_checked():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"response_tensors": "text"}, TfServingService.model_options_type)
