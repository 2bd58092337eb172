"""Inference over gRPC: ids, versions, parameters, chosen outputs, streams; and classification."""

from __future__ import annotations

import numpy as np
import pytest
from oip_calls import ask, messages_of, post, stream, tensor
from oip_plane import FakePlane, Model, context_of, signature, spec

from navi_core.clock import ManualClock
from navi_core.contracts.service import Call, StreamError
from navi_core.services.oip.classification import classify
from navi_core.services.oip.service import OipService
from navi_core.wire import oip

M = "model_name: 'm' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] contents { fp32_contents: [1, 2] } } "
RAW_M = "model_name: 'm' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] } raw_input_contents: '12345678' "


# --- gRPC ---------------------------------------------------------------------------------------------------


async def test_infer__answers_with_model_version_and_id(service, plane):
    answer = await ask(service, "ModelInfer", M + "id: 'seven' model_version: '2'")
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "2", "seven")
    assert [(each.name, each.datatype, list(each.shape)) for each in answer.outputs] == [
        ("y", "FP32", [1, 2]),
        ("z", "INT64", [1]),
    ]
    assert list(answer.outputs[0].contents.fp32_contents) == [2, 4]
    assert list(answer.outputs[1].contents.int64_contents) == [0]
    (request,) = plane.requests
    assert (request.service, request.transport, request.method) == ("oip", "grpc", "ModelInfer")
    assert request.body_bytes > 0


async def test_infer__raw_requests_get_raw_answers(service):
    answer = await ask(service, "ModelInfer", RAW_M)
    assert len(answer.raw_output_contents) == 2
    assert not any(each.HasField("contents") for each in answer.outputs)


async def test_infer__as_triton_every_answer_is_raw(triton):
    answer = await ask(triton, "ModelInfer", M)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [2, 4]


async def test_infer__answers_with_the_outputs_asked_for_in_their_order(service, plane):
    answer = await ask(service, "ModelInfer", M + "outputs { name: 'z' } outputs { name: 'y' }")
    assert [each.name for each in answer.outputs] == ["z", "y"]
    assert plane.requests[0].outputs == ("z", "y")


async def test_infer__a_lone_signature_is_the_one_meant(service, plane):
    text = "model_name: 'lone' inputs { name: 'x' datatype: 'FP32' shape: 1 contents { fp32_contents: 3 } }"
    answer = await ask(service, "ModelInfer", text)
    assert plane.requests[0].signature == "other"
    assert list(answer.outputs[0].contents.fp32_contents) == [3]


async def test_infer__one_output_without_typed_field_makes_the_whole_answer_raw():
    model = Model(
        signature([spec("x", "float32")], [spec("f", "float32"), spec("h", "float16")]),
        lambda inputs: {"f": inputs["x"], "h": inputs["x"].astype(np.float16)},
    )
    service = OipService.create(context_of(FakePlane({"mixed": model})))
    text = "model_name: 'mixed' inputs { name: 'x' datatype: 'FP32' shape: 1 contents { fp32_contents: 3 } }"
    answer = await ask(service, "ModelInfer", text)
    assert [len(each) for each in answer.raw_output_contents] == [4, 2]


async def test_parameters__reach_the_runtime_typed_and_the_reserved_ones_do_not(service, plane):
    text = M + "".join(
        f"parameters {{ key: '{name}' value {{ {value} }} }} "
        for name, value in {
            "b": "bool_param: true",
            "i": "int64_param: -3",
            "s": "string_param: 'v'",
            "d": "double_param: 0.5",
            "priority": "uint64_param: 2",
            "timeout": "int64_param: 5000",
            "sequence_id": "int64_param: 0",
            "sequence_end": "bool_param: false",
            "headers": "string_param: 'h'",
            "binary_data_output": "bool_param: true",
        }.items()
    )
    await ask(service, "ModelInfer", text)
    assert dict(plane.requests[0].parameters) == {"b": True, "i": -3, "s": "v", "d": 0.5}
    kinds = {name: type(value) for name, value in plane.requests[0].parameters.items()}
    assert kinds == {"b": bool, "i": int, "s": str, "d": float}


@pytest.mark.parametrize(
    ("own", "transport", "expected"),
    [
        (0, None, None),
        (0, 1007.0, 1007.0),
        (250_000, None, 1000.25),
        (250_000, 1000.1, 1000.1),
        (1, 1007.0, 1000.000001),
    ],
)
async def test_timeout__is_a_deadline_in_microseconds(plane, own, transport, expected):
    service = OipService.create(context_of(plane, clock=ManualClock(1000.0)))
    text = M + f"parameters {{ key: 'timeout' value {{ int64_param: {own} }} }}"
    await ask(service, "ModelInfer", text, deadline=transport)
    assert plane.requests[0].deadline == (expected if expected is None else pytest.approx(expected, abs=1e-9))


@pytest.mark.parametrize(
    ("value", "expected"), [("int64_param: 3", 3), ("uint64_param: 18446744073709551615", 2**64 - 1)]
)
async def test_priority__reaches_the_queue(service, plane, value, expected):
    await ask(service, "ModelInfer", M + f"parameters {{ key: 'priority' value {{ {value} }} }}")
    await ask(service, "ModelInfer", M)
    assert [each.priority for each in plane.requests] == [expected, 0]


async def test_priority_and_timeout__are_read_from_documents_too(plane):
    service = OipService.create(context_of(plane, clock=ManualClock(1000.0)))
    document = {
        "inputs": [tensor("x", "FP32", [1, 2], [1, 2])],
        "parameters": {"priority": 2, "timeout": 250_000},
    }
    status, _ = await post(service, "/v2/models/m/infer", document)
    assert status == 200
    assert plane.requests[0].priority == 2
    assert plane.requests[0].deadline == pytest.approx(1000.25, abs=1e-9)
    assert not plane.requests[0].parameters


# --- streams ------------------------------------------------------------------------------------------------


def request(model, request_id, **parameters):
    message = oip.ModelInferRequest(model_name=model, id=request_id)
    message.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    message.raw_input_contents.append(np.array([1, 2], np.float32).tobytes())
    for name, value in parameters.items():
        message.parameters[name].bool_param = value
    return message.SerializeToString()


async def test_streams__answer_in_order_and_go_on_after_errors(service, plane):
    bodies = [request("m", "1"), request("nobody", "2"), b"\x0a\xff", request("m", "4")]
    answers = await stream(service, *bodies)
    assert [answer.error_message for answer in answers] == [
        "",
        "Model with name nobody does not exist.",
        "message: expected a inference.ModelInferRequest, got bytes that are none",
        "",
    ]
    assert [answer.infer_response.id for answer in answers] == ["1", "2", "", "4"]
    assert answers[3].infer_response.raw_output_contents[0] == np.array([2, 4], np.float32).tobytes()
    assert [each.method for each in plane.requests] == ["ModelStreamInfer"] * 2
    assert len(plane.refusals) == 2


async def test_streams__without_requests_end(service):
    assert await stream(service) == []


async def test_streams__say_of_every_answer_that_it_is_the_last_of_its_request(service):
    answers = await stream(
        service,
        request("m", "1"),
        request("m", "2", triton_enable_empty_final_response=True),
        request("nobody", "3"),
    )
    assert len(answers) == 3  # none is empty: every request has its one answer
    for answer in answers:
        assert answer.infer_response.parameters["triton_final_response"].bool_param is True


async def test_infer__says_nothing_of_last_answers(service):
    assert not (await ask(service, "ModelInfer", M)).parameters


async def test_streams__end_with_a_status_for_those_who_ask(service):
    call = Call(
        path="/inference.GRPCInferenceService/ModelStreamInfer",
        messages=messages_of(request("m", "1"), request("nobody", "2"), request("m", "3")),
        metadata={"triton_grpc_error": "true"},
    )
    response = await service.rpc_methods()[call.path].handler(call)
    assert await anext(response.stream)
    with pytest.raises(StreamError) as caught:
        await anext(response.stream)
    assert (caught.value.status, caught.value.message) == (5, "Model with name nobody does not exist.")


# --- classification -------------------------------------------------------------------------------------------


async def test_classification__gives_the_largest_values_of_each_row(service):
    x = tensor("x", "FP32", [2, 3], [0.5, 2, -1, 7, 7, 8])
    outputs = [{"name": "score", "parameters": {"classification": 2}}, {"name": "flag"}]
    _, answer = await post(service, "/v2/models/scores/infer", {"inputs": [x], "outputs": outputs})
    scores, flags = answer["outputs"]
    assert (scores["datatype"], scores["shape"]) == ("BYTES", [2, 2])
    assert scores["data"] == ["2.000000:1", "0.500000:0", "8.000000:2", "7.000000:0"]
    assert flags["datatype"] == "BOOL"


async def test_classification__over_grpc_of_what_does_not_batch(service):
    text = (
        "model_name: 'flat_scores' inputs { name: 'x' datatype: 'FP32' shape: [3] contents { fp32_contents: [1, 3, 2] } } "
        "outputs { name: 'score' parameters { key: 'classification' value { int64_param: 9 } } }"
    )
    answer = await ask(service, "ModelInfer", text)
    assert list(answer.outputs[0].shape) == [3]
    assert list(answer.outputs[0].contents.bytes_contents) == [b"3.000000:1", b"2.000000:2", b"1.000000:0"]


def test_classification__of_integers_and_of_nothing():
    assert classify(np.array([3, 200], np.uint8), 1, is_batched=False, output="y").tolist() == [b"200:1"]
    assert classify(np.empty((0, 3)), 2, is_batched=True, output="y").shape == (0, 2)
    assert classify(np.array([[4], [5]]), 3, is_batched=True, output="y").tolist() == [[b"4:0"], [b"5:0"]]
