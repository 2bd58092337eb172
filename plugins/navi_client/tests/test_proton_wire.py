"""Proton's messages."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from navi_client import DecodeError, Request, Target, UnsupportedError
from navi_client.protocols.proton import Proton

from navi_core.wire import proton as core
from navi_core.wire.proton_predict import encode_inference_response, parse_inference_request

PROTOCOL = Proton(1 << 20)
ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


def response_of(body):
    return PROTOCOL.predict(Request(Target("m"), {"x": np.ones(1, np.float32)})).read(body)


@settings(max_examples=100)
@given(ARRAYS)
def test_the_core_reads_what_the_client_writes(array):
    body = PROTOCOL.predict(Request(Target("model"), {"x": array})).body
    parsed = parse_inference_request(body)
    assert parsed.model_name == "model"
    assert parsed.array.shape == array.shape
    assert parsed.array.tobytes() == array.tobytes()
    message = core.InferenceRequest(
        model_name="model", data=array.reshape(-1).tolist(), shape=list(array.shape)
    )
    if not np.isnan(array).any():  # a NaN's bits do not survive Python's floats
        assert body == message.SerializeToString()


@settings(max_examples=100)
@given(ARRAYS)
def test_the_client_reads_what_the_core_writes(array):
    pieces, _ = encode_inference_response(array, prediction_id="p-1", model_name="m")
    outputs = response_of(b"".join(pieces))
    assert outputs["data"].shape == array.shape
    assert outputs["data"].tobytes() == array.tobytes()
    assert (outputs.model, outputs.request_id) == ("m", "p-1")


def test_a_large_answer_is_a_view_and_a_scattered_one_is_read_too():
    array = np.arange(3000, dtype=np.float32).reshape(30, 100)
    pieces, _ = encode_inference_response(array, prediction_id="p", model_name="m")
    data = response_of(b"".join(pieces))["data"]
    assert not data.flags.writeable
    halves = [core.InferenceResponse(data=part.tolist()) for part in np.split(array.reshape(-1), 2)]
    scattered = b"".join(half.SerializeToString() for half in halves)
    scattered += core.InferenceResponse(model_name="m", shape=array.shape).SerializeToString()
    np.testing.assert_array_equal(response_of(scattered)["data"], array)


@settings(max_examples=150)
@given(st.binary(max_size=60))
def test_anything_else_is_refused_or_read(body):
    with contextlib.suppress(DecodeError):
        assert response_of(body) is not None


@pytest.mark.parametrize("shape", [[3], [-1, -2], [0, 2], [1] * 40, [2, 1 << 30]])
def test_a_shape_that_does_not_fit_is_refused(shape):
    with pytest.raises(DecodeError, match="shape: expected"):
        response_of(core.InferenceResponse(data=[1, 2], shape=shape).SerializeToString())


def test_what_the_protocol_has_not():
    x = np.ones(2, np.float32)
    for request in (
        Request(Target("m", 1), {"x": x}),
        Request(Target("m", label="a"), {"x": x}),
        Request(Target("m"), {"x": x}, ["y"]),
        Request(Target("m"), {"x": x}, request_id="a"),
    ):
        with pytest.raises(UnsupportedError, match="Proton"):
            PROTOCOL.predict(request)
    with pytest.raises(ValueError, match=r"expected one, .* got x, y"):
        PROTOCOL.predict(Request(Target("m"), {"x": x, "y": x}))
    with pytest.raises(TypeError, match=r"expected float32, .* got float64"):
        PROTOCOL.predict(Request(Target("m"), {"x": [1.0]}))
    with pytest.raises(UnsupportedError, match="metadata"):
        PROTOCOL.metadata(Target("m"))
    with pytest.raises(UnsupportedError, match="readiness"):
        PROTOCOL.ready(Target("m"))
