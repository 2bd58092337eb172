"""The Open Inference Protocol's messages: written as protobuf writes them, read however they are written."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from client_arrays import NUMBERS, arrays, same
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_client import ClientError, DecodeError, Request, Target, UnsupportedError
from navi_client.protocols.oip import OpenInference

from navi_core import DEFAULT_SIGNATURE, Signature
from navi_core.wire import oip as core
from navi_core.wire.oip_infer_request import parse_infer_request
from navi_core.wire.oip_infer_response import (
    encode_infer_response,
    encode_stream_error,
    encode_stream_response,
)
from navi_core.wire.oip_tensors import raw_bytes

PROTOCOL = OpenInference(1 << 20)
KINDS = (*(kind for kind in NUMBERS if "complex" not in kind), "bfloat16", "string")
TENSORS = st.dictionaries(st.text(min_size=1, max_size=4), arrays(KINDS), max_size=3)
NO_SIGNATURE = Signature(inputs={}, outputs={})


def response_of(body):
    return PROTOCOL.predict(Request(Target("m"), {})).read(body)


@settings(max_examples=150)
@given(TENSORS)
def test_the_core_reads_what_the_client_writes(tensors):
    parameters = {"a": True, "b": 2, "c": 0.5, "d": "x"}
    request = Request(Target("model", 3), tensors, ["y", "z"], parameters, "id-1")
    parsed = parse_infer_request(PROTOCOL.predict(request).body)
    assert (parsed.terms.model_name, parsed.terms.model_version, parsed.id) == ("model", "3", "id-1")
    assert dict(parsed.terms.parameters) == parameters
    assert [each.name for each in parsed.terms.outputs] == ["y", "z"]
    assert not parsed.terms.typed
    assert same(parsed.decode_inputs(1 << 20, NO_SIGNATURE), tensors)


@settings(max_examples=150)
@given(TENSORS)
def test_the_bytes_are_those_of_the_cores_messages(tensors):
    message = core.ModelInferRequest(model_name="m", model_version="v1", id="7")
    for name, array in tensors.items():
        kind = {"bool": "BOOL", "object": "BYTES", "bfloat16": "BF16"}.get(str(array.dtype))
        named = kind or str(array.dtype).upper().replace("FLOAT", "FP")
        message.inputs.add(name=name, datatype=named, shape=array.shape)
        message.raw_input_contents.append(bytes(raw_bytes(array)))
    message.outputs.add(name="y")
    request = Request(Target("m", "v1"), tensors, ["y"], request_id="7")
    assert PROTOCOL.predict(request).body == message.SerializeToString()


@settings(max_examples=150)
@given(TENSORS, st.booleans())
def test_the_client_reads_what_the_core_writes(tensors, typed):
    pieces, _ = encode_infer_response(tensors, model="m", version=3, request_id="7", typed=typed)
    outputs = response_of(b"".join(pieces))
    assert same(outputs, tensors)
    assert (outputs.model, outputs.version, outputs.request_id) == ("m", "3", "7")


def test_parameters_of_an_answer_are_read():
    pieces, _ = encode_infer_response(
        {"y": np.ones(2, np.float32)}, model="m", version=3, parameters={"a": 1, "b": "x"}
    )
    outputs = response_of(b"".join(pieces))
    assert outputs.parameters == {"a": 1, "b": "x"}
    assert outputs["y"].tolist() == [1, 1]


@settings(max_examples=60)
@given(TENSORS, st.booleans())
def test_an_unusual_answer_is_read_as_protobuf_reads_it(tensors, typed):
    pieces, _ = encode_infer_response(tensors, model="m", version=3, request_id="7", typed=typed)
    outputs = response_of(b"".join(pieces) + b"\xf8\x07\x01")  # a field of tomorrow
    assert same(outputs, tensors)
    assert (outputs.model, outputs.version, outputs.request_id) == ("m", "3", "7")


def test_an_empty_output_needs_no_contents():
    message = core.ModelInferResponse()
    message.outputs.add(name="y", datatype="FP32", shape=[0, 3])
    assert response_of(message.SerializeToString())["y"].shape == (0, 3)


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_answer_is_refused_or_read_and_nothing_else(data):
    tensors = data.draw(TENSORS)
    pieces, _ = encode_infer_response(tensors, model="m", version=3, typed=data.draw(st.booleans()))
    body = bytearray(b"".join(pieces))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        assert response_of(bytes(body[: data.draw(st.integers(0, len(body)))])) is not None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"datatype": "FP32", "shape": [2], "raw": b"1234"}, "output 'y': expected size 8, got 4"),
        ({"datatype": "FP33", "shape": [1], "raw": b"1234"}, "invalid datatype for output 'y'"),
        ({"datatype": "FP32", "shape": [1 << 40], "raw": b""}, "output 'y': expected at most"),
        ({"datatype": "FP32", "shape": [-1], "raw": b""}, "output 'y': all dimensions"),
        ({"datatype": "FP32", "shape": [1], "raw": None}, "output 'y': expected contents"),
        ({"datatype": "BYTES", "shape": [1], "raw": b"\xff\xff\xff\xff"}, "inference output 'y'"),
    ],
)
def test_wrong_answers_are_refused(fields, words):
    message = core.ModelInferResponse(model_name="m")
    message.outputs.add(name="y", datatype=fields["datatype"], shape=fields["shape"])
    if fields["raw"] is not None:
        message.raw_output_contents.append(fields["raw"])
    with pytest.raises(DecodeError, match=words) as caught:
        response_of(message.SerializeToString())
    assert caught.value.tensor == "y"
    message.raw_output_contents.extend([b"", b""])
    with pytest.raises(DecodeError, match="expected one entry for each of 1 outputs"):
        response_of(message.SerializeToString())


def test_a_stream_carries_answers_and_failures():
    pieces, _ = encode_infer_response({"y": np.ones(2)}, model="m", version=1, request_id="a")
    answer = PROTOCOL.read_stream_answer(encode_stream_response(pieces))
    assert answer["y"].tolist() == [1, 1]
    assert answer.request_id == "a"
    failure = PROTOCOL.read_stream_answer(encode_stream_error("no such model", "b", parameters={}))
    assert isinstance(failure, ClientError)
    assert failure.message == "no such model"


def test_metadata():
    message = core.ModelMetadataResponse(name="m", versions=["1", "2"], platform="onnxruntime_onnx")
    message.inputs.add(name="x", datatype="FP32", shape=[-1, 3])
    message.outputs.add(name="y", datatype="STRANGE", shape=[])
    found = PROTOCOL.metadata(Target("m", "1")).read(message.SerializeToString())
    assert (found.versions, found.platform) == (("1", "2"), "onnxruntime_onnx")
    x, y = found.inputs[DEFAULT_SIGNATURE]["x"], found.outputs[DEFAULT_SIGNATURE]["y"]
    assert (x.dtype, x.shape) == ("float32", (None, 3))
    assert (y.dtype, y.shape) == ("STRANGE", ())


def test_what_the_protocol_has_not():
    with pytest.raises(UnsupportedError, match="labels and signatures"):
        PROTOCOL.predict(Request(Target("m", label="stable"), {}))
    with pytest.raises(UnsupportedError, match="states of versions"):
        PROTOCOL.status(Target("m"))
    with pytest.raises(UnsupportedError, match="Classify"):
        PROTOCOL.classify(Target("m"), [], None)
    with pytest.raises(TypeError, match=r"input 'x': the Open Inference Protocol has no type .* complex64"):
        PROTOCOL.predict(Request(Target("m"), {"x": np.ones(1, np.complex64)}))
    with pytest.raises(TypeError, match="parameter 'p'"):
        PROTOCOL.predict(Request(Target("m"), {}, parameters={"p": [1]}))
