from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from navi_core.errors import DecodeError
from navi_core.wire import proton
from navi_core.wire.ndarray_json import (
    JsonDataError,
    JsonSyntaxError,
    decode_json_inference,
    encode_json_inference,
)
from navi_core.wire.proton_predict import encode_inference_response, parse_inference_request
from navi_core.wire.tensor_proto import varint

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHAPES = st_np.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = st_np.arrays(np.float32, SHAPES, elements=FINITE)


def test_a_golden_request_and_response():
    request = proton.InferenceRequest(model_name="m", data=[1.0], shape=[1])
    assert request.SerializeToString().hex() == "0a016d12040000803f1a0101"
    pieces, _ = encode_inference_response(np.ones(1, np.float32), prediction_id="p", model_name="m")
    assert b"".join(pieces).hex() == "0a017012016d1a040000803f220101"


@given(st.text(max_size=5), ARRAYS)
def test_requests_are_read_as_protobuf_reads_them(name, array):
    message = proton.InferenceRequest(model_name=name, data=array.ravel().tolist(), shape=array.shape)
    for body in (message.SerializeToString(), memoryview(b"\0" + message.SerializeToString())[1:]):
        parsed = parse_inference_request(body)
        assert parsed.model_name == name
        assert parsed.array.dtype == np.float32
        np.testing.assert_array_equal(parsed.array, array, strict=True)


@given(ARRAYS)
def test_a_request_written_another_way_says_the_same(array):
    unpacked = b"".join(b"\x15" + value.tobytes() for value in array.ravel())
    sizes = b"".join(b"\x18" + varint(size) for size in array.shape)
    halves = array.ravel()[: array.size // 2], array.ravel()[array.size // 2 :]
    packed = b"".join(b"\x12" + varint(half.nbytes) + half.tobytes() for half in halves)
    for body in (sizes + unpacked + b"\x0a\x01m", b"\x0a\x01n" + packed + sizes + b"\x0a\x01m"):
        parsed = parse_inference_request(body)
        assert parsed.model_name == "m"
        np.testing.assert_array_equal(parsed.array, array, strict=True)


def test_a_plain_request_is_not_copied():
    body = proton.InferenceRequest(model_name="m", data=[1.0, 2.0], shape=[2]).SerializeToString()
    parsed = parse_inference_request(body)
    assert np.shares_memory(parsed.array, np.frombuffer(body, np.uint8))
    assert not parsed.array.flags.writeable


@given(st.binary(max_size=40))
def test_any_bytes_are_a_request_or_refused(body):
    try:
        parsed = parse_inference_request(body)
    except DecodeError:
        return
    message = proton.InferenceRequest.FromString(body)
    assert parsed.model_name == message.model_name
    np.testing.assert_array_equal(parsed.array, np.reshape(np.array(message.data, np.float32), message.shape))


@given(ARRAYS, st.booleans())
def test_responses_are_what_protobuf_reads(array, in_fortran_order):
    given_array = np.asfortranarray(array) if in_fortran_order and array.ndim else array
    pieces, _ = encode_inference_response(given_array, prediction_id="id", model_name="m")
    found = proton.InferenceResponse.FromString(b"".join(pieces))
    assert (found.prediction_id, found.model_name, tuple(found.shape)) == ("id", "m", array.shape)
    np.testing.assert_array_equal(np.array(found.data, np.float32), array.ravel())


def test_large_responses_are_views():
    array = np.arange(20_000, dtype=np.float32)
    pieces, has_views = encode_inference_response(array, prediction_id="id", model_name="m")
    assert has_views
    assert np.shares_memory(np.frombuffer(pieces[1], np.float32), array)


def document(array, order=("v", "dim", "data")):
    data = {"v": 1, "dim": list(array.shape), "data": [float(value) for value in array.ravel()]}
    return {key: data[key] for key in order}


@given(st.text(st.characters(codec="utf-8"), max_size=5), ARRAYS, st.permutations(["v", "dim", "data"]))
def test_json_is_read_whatever_the_order_of_its_keys(name, array, order):
    for data in (document(array, order), list(document(array).values())):
        body = json.dumps({"data": data, "model_name": name}).encode()
        parsed = decode_json_inference(body)
        assert parsed.model_name == name
        np.testing.assert_array_equal(parsed.array, array, strict=True)


@given(ARRAYS)
def test_json_answers_read_back_as_the_same_values(array):
    body = encode_json_inference(array, prediction_id="id", model_name="m")
    parsed = decode_json_inference(body)
    np.testing.assert_array_equal(parsed.array, array, strict=True)
    assert json.loads(body)["prediction_id"] == "id"


def test_json_floats_are_the_shortest_of_their_own_width():
    array = np.array([0.1, 1.0, 1e-7, np.nan, np.inf], np.float32)
    body = encode_json_inference(array, prediction_id="id", model_name="m")
    assert body.endswith(b'"data":{"v":1,"dim":[5],"data":[0.1,1.0,1e-7,null,null]}}')


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b'{"model_name": "\xff", "data": 1}',
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b'{"model_name": "m", "data": {"v": 1, "dim": [1], "data": [1e400]}}',
    ],
    ids=["no UTF-8", "no UTF-8 in a string", "deep lists", "deep objects", "no double"],
)
def test_hostile_documents_are_refused(body):
    with pytest.raises((JsonSyntaxError, JsonDataError)):
        decode_json_inference(body)


@given(
    st.binary(max_size=60)
    | st.from_regex(rb'\{"model_name":"m","data":[\[\]{}0-9a-z",:.-]{0,40}\}', fullmatch=True)
)
def test_any_document_is_a_request_or_refused(body):
    try:
        parsed = decode_json_inference(body)
    except (JsonSyntaxError, JsonDataError):
        return
    assert np.isfinite(parsed.array).all()
