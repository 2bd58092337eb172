"""One tensor through every wire of the protocol, there and back, is the same tensor."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oip_calls import body_of, call_http, call_rpc, stream, tensor
from oip_plane import FakePlane, context_of, echo

from navi_core.services.oip.service import OipService
from navi_core.tensors import DType, numpy_dtype
from navi_core.wire import oip
from navi_core.wire.oip_dtypes import BY_NAME, OIP_TYPES
from navi_core.wire.oip_tensors import raw_bytes

ALL_TYPES = tuple(OIP_TYPES.values())
JSON_TYPES = [kind for kind in OIP_TYPES.values() if kind.field]


def elements(dtype):
    if dtype is DType.STRING:
        return st.binary(max_size=12)
    if dtype is DType.BFLOAT16:
        return st.integers(0, 2**16 - 1).map(lambda bits: np.uint16(bits).view(numpy_dtype(dtype)))
    return hnp.from_dtype(numpy_dtype(dtype))


@st.composite
def tensors(draw, kinds=ALL_TYPES, text=False):
    """Draw an element type and an array of it."""
    kind = draw(st.sampled_from(kinds))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    found = elements(kind.dtype)
    if text and kind.dtype is DType.STRING:
        found = st.text(max_size=8).map(str.encode)
    values = draw(st.lists(found, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    array = np.empty(len(values), kind.numpy)
    for index, value in enumerate(values):
        array[index] = value
    return kind, array.reshape(shape)


def service_of(kind):
    plane = FakePlane({"echo": echo(kind.dtype)})
    return OipService.create(context_of(plane)), plane


def assert_same(expected, got, what=""):
    assert got.dtype == expected.dtype, what
    assert got.shape == expected.shape, what
    assert raw_bytes(np.ascontiguousarray(got)) == raw_bytes(np.ascontiguousarray(expected)), what


def from_raw(data, kind, shape):
    """Read raw contents on a way of the test's own."""
    if kind.dtype is not DType.STRING:
        return np.frombuffer(data, kind.numpy).reshape(shape)
    items, pos = [], 0
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 4], "little")
        items.append(data[pos + 4 : pos + 4 + size])
        pos += 4 + size
    out = np.empty(len(items), object)
    out[:] = items
    return out.reshape(shape)


def rpc_request(kind, array, *, raw):
    request = oip.ModelInferRequest(model_name="echo", id="1")
    x = request.inputs.add(name="x", datatype=kind.name, shape=array.shape)
    if raw:
        request.raw_input_contents.append(bytes(raw_bytes(array)))
    else:
        x.contents.SetInParent()
        getattr(x.contents, kind.field).extend(array.reshape(-1).tolist())
    return request.SerializeToString()


def rpc_output(message, kind):
    (output,) = message.outputs
    assert output.datatype == kind.name
    if message.raw_output_contents:
        return from_raw(message.raw_output_contents[0], kind, output.shape)
    values = list(getattr(output.contents, kind.field))
    out = np.empty(len(values), kind.numpy)
    out[:] = values
    return out.reshape(output.shape)


@given(tensors())
async def test_raw_grpc(case):
    kind, array = case
    service, plane = service_of(kind)
    body = rpc_request(kind, array, raw=True)
    message = oip.ModelInferResponse.FromString(body_of(await call_rpc(service, "ModelInfer", body)))
    assert_same(array, plane.requests[0].inputs["x"])
    assert len(message.raw_output_contents) == 1
    assert_same(array, rpc_output(message, kind))
    (streamed,) = await stream(service, body)
    assert streamed.infer_response.parameters.pop("triton_final_response").bool_param
    assert streamed.infer_response == message


@given(tensors(JSON_TYPES))
async def test_typed_grpc__is_answered_in_kind(case):
    kind, array = case
    service, plane = service_of(kind)
    response = await call_rpc(service, "ModelInfer", rpc_request(kind, array, raw=False))
    message = oip.ModelInferResponse.FromString(body_of(response))
    assert_same(array, plane.requests[0].inputs["x"])
    assert not message.raw_output_contents
    assert_same(array, rpc_output(message, kind))


@given(tensors(JSON_TYPES, text=True), st.booleans())
async def test_json(case, nested):
    kind, array = case
    service, plane = service_of(kind)
    shown = array if kind.dtype is not DType.STRING else np.vectorize(bytes.decode, otypes=[object])(array)
    if kind.dtype is DType.STRING and not array.size:
        shown = array
    data = (shown if nested and array.ndim else shown.reshape(-1)).tolist()
    document = {"inputs": [tensor("x", kind.name, array.shape, data)]}
    body = json.dumps(document).encode()  # NaN and Infinity as bare words
    response = await call_http(service, "POST", "/v2/models/echo/infer", body)
    assert response.status == 200, body_of(response)
    got = plane.requests[0].inputs["x"]
    assert got.shape == array.shape
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(got, array)  # one NaN is like another
    else:
        assert_same(array, got)
    (output,) = json.loads(body_of(response))["outputs"]
    assert (output["datatype"], tuple(output["shape"])) == (kind.name, array.shape)
    back = output["data"]
    if kind.dtype is DType.STRING:
        assert [each.encode() for each in back] == array.reshape(-1).tolist()
    elif array.dtype.kind == "f":
        expected = array.reshape(-1).astype(float)
        finite = np.isfinite(expected)
        assert [each is None for each in back] == (~finite).tolist()
        np.testing.assert_array_equal(
            np.array([each for each in back if each is not None], array.dtype), array.reshape(-1)[finite]
        )
    else:
        assert back == array.reshape(-1).tolist()


@given(tensors())
async def test_binary_http(case):
    kind, array = case
    service, plane = service_of(kind)
    data = bytes(raw_bytes(array))
    document = {
        "inputs": [tensor("x", kind.name, array.shape, binary_data_size=len(data))],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(document).encode()
    headers = {"inference-header-content-length": str(len(text))}
    response = await call_http(service, "POST", "/v2/models/echo/infer", text + data, headers)
    body, answered = body_of(response), dict(response.headers)
    assert response.status == 200, body
    assert_same(array, plane.requests[0].inputs["x"])
    length = int(answered.get("inference-header-content-length", len(body)))
    (output,) = json.loads(body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": len(data)}
    assert "data" not in output
    assert (answered["content-type"] == "application/octet-stream") == bool(data)
    assert ("inference-header-content-length" in answered) == bool(data)
    assert_same(array, from_raw(body[length:], kind, tuple(output["shape"])))


@pytest.mark.parametrize("kind", BY_NAME.values(), ids=BY_NAME)
async def test_large_tensors__come_as_views_and_go_as_views(kind):
    if kind.dtype is DType.STRING:
        pytest.skip("strings are copied")
    array = (np.arange(100_000) % 2).astype(kind.numpy).reshape(2, -1)
    service, plane = service_of(kind)
    body = rpc_request(kind, array, raw=True)
    response = await call_rpc(service, "ModelInfer", body)
    got = plane.requests[0].inputs["x"]
    assert np.shares_memory(got, np.frombuffer(body, np.uint8))
    assert not got.flags.writeable
    assert any(isinstance(piece, memoryview) for piece in response.body)
    assert plane.num_open_answers == 1  # until the transport has written the answer
    message = oip.ModelInferResponse.FromString(body_of(response))
    assert plane.num_open_answers == 0
    assert message.raw_output_contents[0] == array.tobytes()


async def test_typed_floats__come_as_views_too():
    array = np.arange(1000, dtype=np.float32)
    service, plane = service_of(BY_NAME["FP32"])
    body = rpc_request(BY_NAME["FP32"], array, raw=False)
    body_of(await call_rpc(service, "ModelInfer", body))
    assert np.shares_memory(plane.requests[0].inputs["x"], np.frombuffer(body, np.uint8))
