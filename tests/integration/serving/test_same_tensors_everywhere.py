"""One tensor through every service, encoding and transport of one host: the answer has equal bits, each time.

The requests are written and the answers read here, from the protocols' definitions, so that a mistake that navi's
own encoders and decoders share cannot cancel out.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import time
from collections import Counter

import grpc
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from navi_core import (
    Artifact,
    DType,
    Host,
    HostConfig,
    ModelConfig,
    Runtime,
    Servable,
    Signature,
    TensorSpec,
    TransportOptions,
    TransportSettings,
)
from navi_core.budget import MemoryBudget
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.tensors import numpy_dtype
from navi_core.testing.asgi_clients import AsgiHttpClient, AsgiRpcClient
from navi_core.testing.asgi_driver import AsgiDriver
from navi_core.testing.registries import registry_of
from navi_core.transports.asgi.transport import AsgiTransport
from navi_core.wire import oip, proton, tf_serving
from navi_core.wire.oip_dtypes import OIP_TYPES
from navi_core.wire.tf_dtypes import TF_TYPES

pytestmark = pytest.mark.integration

NO_TF_JSON = {"float16", "bfloat16", "uint16", "complex64", "complex128"}
"""Types without a form in TensorFlow Serving's JSON; the float8 types are others."""


class Echo(Servable):
    """``y_bytes = x`` of any shape; the name makes TensorFlow Serving's JSON show strings as base64."""

    def __init__(self, dtype):
        x, y = (TensorSpec(name=name, dtype=dtype, shape=None) for name in ("x", "y_bytes"))
        self.signatures = {DEFAULT_SIGNATURE: Signature(inputs={"x": x}, outputs={"y_bytes": y})}

    def run(self, signature, inputs, outputs, ctx):
        return {"y_bytes": inputs["x"].copy()}


class EchoRuntime(Runtime):
    name = "echo"

    def recognise(self, artifact: Artifact):
        return "echo" if artifact.has("dtype") else None

    def load(self, artifact, options):
        return Echo(DType(artifact.read("dtype").decode()))


# --- a host behind two kinds of transports --------------------------------------------------------------


class Sockets:
    """grpcio and HTTP over real sockets."""

    def __init__(self, host):
        port = {name: found[0].port for name, found in host.addresses.items()}
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port['grpc']}")
        self.connection = http.client.HTTPConnection("127.0.0.1", port["http"])

    def rpc(self, path, body):
        return self.channel.unary_unary(path)(body, timeout=60)

    def stream(self, path, body):
        [answer] = self.channel.stream_stream(path)(iter([body]), timeout=60)
        return answer

    def http(self, path, body, headers):
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def close(self):
        self.channel.close()
        self.connection.close()


class Asgi:
    """The ASGI application, in a foreign server that owns thread and loop."""

    def __init__(self, driver):
        self.rpcs, self.https = AsgiRpcClient(driver), AsgiHttpClient(driver)

    def rpc(self, path, body):
        reply = asyncio.run(self.rpcs.unary(path, body))
        assert reply.status == 0, reply.message
        return reply.messages[0]

    stream = rpc  # one message, then the end of the stream

    def http(self, path, body, headers):
        reply = asyncio.run(self.https.request("POST", path, body=body, headers=headers))
        return reply.status, reply.headers, reply.body


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    """The transports, all of one host, which lives in the foreign server's loop."""
    root = tmp_path_factory.mktemp("models")
    for dtype in DType:
        (root / dtype / "1").mkdir(parents=True)
        (root / dtype / "1" / "dtype").write_text(dtype)
    config = HostConfig(
        models=tuple(ModelConfig(path=str(root / dtype), stable_ms=0) for dtype in DType),
        transports={name: TransportSettings(port=0) for name in ("grpc", "http")},
    )
    host = Host(config, registry=registry_of(runtimes=[EchoRuntime]))

    async def start():
        await host.__aenter__()
        await transport.start(host.router, TransportOptions(budget=MemoryBudget(), now=time.monotonic))

    async def stop():
        await transport.stop()
        await host.__aexit__(None, None, None)

    transport = AsgiTransport(on_startup=start, on_shutdown=stop)
    driver = AsgiDriver(transport.app, offers_trailers=True)
    asyncio.run(driver.start())
    sockets = Sockets(host)
    yield {"sockets": sockets, "asgi": Asgi(driver)}
    sockets.close()
    asyncio.run(driver.stop())
    assert not driver.failures


# --- ways to say a tensor; None: the protocol has no words for it ------------------------------------------


def flat(array):
    return np.ascontiguousarray(array).reshape(-1)


def strings(values, shape):
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def tf_values(array, kind):
    values = flat(array)
    if kind.field == "half_val":
        return values.view(np.uint16).tolist()
    if kind.field in ("scomplex_val", "dcomplex_val"):
        return values.view(kind.lane).tolist()
    return values.tolist()


def tf_array(tensor, kind):
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    found = getattr(tensor, kind.field)
    if kind.field == "string_val":
        return strings(list(found), shape)
    if kind.field == "float8_val":
        return np.frombuffer(found, kind.numpy).reshape(shape)
    lane = np.uint16 if kind.field == "half_val" else kind.lane
    if kind.field == "int_val":
        return np.array(list(found), kind.numpy).reshape(shape)
    return np.array(list(found), lane).view(kind.numpy).reshape(shape)


def tf_content(array):
    if array.dtype != object:
        return array.tobytes()
    items, lengths = flat(array).tolist(), b""
    for item in items:
        assert len(item) < 0x80
        lengths += bytes([len(item)])
    return lengths + b"".join(items)


def tf_predict(way, dtype, array, *, as_content):
    kind = TF_TYPES[dtype]
    request = tf_serving.PredictRequest()
    request.model_spec.name = dtype
    tensor = request.inputs["x"]
    tensor.dtype = kind.number
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if as_content:
        tensor.tensor_content = tf_content(array)
    elif kind.field == "float8_val":
        tensor.float8_val = array.tobytes()
    else:
        getattr(tensor, kind.field).extend(tf_values(array, kind))
    body = way.rpc("/tensorflow.serving.PredictionService/Predict", request.SerializeToString())
    answer = tf_serving.PredictResponse.FromString(body).outputs["y_bytes"]
    assert answer.dtype == kind.number
    return tf_array(answer, kind)


def shown(array):
    if array.dtype != object:
        return array.tolist()
    return np.vectorize(lambda item: {"b64": base64.b64encode(item).decode()}, otypes=[object])(
        array
    ).tolist()


def tf_json(way, dtype, array, *, as_rows):
    if dtype in NO_TF_JSON or dtype.startswith("float8"):
        return None
    if 0 in array.shape[:-1] or (as_rows and (array.ndim == 0 or array.shape[0] == 0)):
        return None  # nested lists do not say what is in an empty list; no rows are refused
    document = {"instances": shown(array)} if as_rows else {"inputs": {"x": shown(array)}}
    status, _, body = way.http(f"/v1/models/{dtype}:predict", json.dumps(document).encode(), {})
    assert status == 200, body
    [value] = json.loads(body).values()
    if array.dtype != object:
        return np.array(value, array.dtype)
    items = []

    def collect(found):
        if isinstance(found, dict):
            items.append(base64.b64decode(found["b64"]))
        else:
            for each in found:
                collect(each)

    collect(value)
    return strings(items, array.shape)


def oip_raw(array):
    if array.dtype != object:
        return array.tobytes()
    return b"".join(len(item).to_bytes(4, "little") + item for item in flat(array).tolist())


def oip_array(raw, kind, shape):
    if kind.dtype is not DType.STRING:
        return np.frombuffer(raw, kind.numpy).reshape(shape)
    items = []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        items.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    return strings(items, shape)


def oip_rpc(way, dtype, array, *, is_typed, is_stream=False):
    kind = OIP_TYPES.get(dtype)
    if kind is None or (is_typed and not kind.field):
        return None
    request = oip.ModelInferRequest(model_name=dtype)
    x = request.inputs.add(name="x", datatype=kind.name, shape=array.shape)
    if is_typed:
        x.contents.SetInParent()
        getattr(x.contents, kind.field).extend(flat(array).tolist())
    else:
        request.raw_input_contents.append(oip_raw(array))
    service, body = "/inference.GRPCInferenceService/", request.SerializeToString()
    if is_stream:
        streamed = oip.ModelStreamInferResponse.FromString(way.stream(f"{service}ModelStreamInfer", body))
        assert not streamed.error_message
        answer = streamed.infer_response
    else:
        answer = oip.ModelInferResponse.FromString(way.rpc(f"{service}ModelInfer", body))
    [output] = answer.outputs
    assert output.datatype == kind.name
    if answer.raw_output_contents:
        return oip_array(answer.raw_output_contents[0], kind, output.shape)
    values = list(getattr(output.contents, kind.field))
    if kind.dtype is DType.STRING:
        return strings(values, output.shape)
    return np.array(values, kind.numpy).reshape(output.shape)


def oip_json(way, dtype, array):
    kind = OIP_TYPES.get(dtype)
    if kind is None or not kind.field or not is_finite(array):
        return None
    values = flat(array).tolist()
    if kind.dtype is DType.STRING:
        try:
            values = [item.decode() for item in values]
        except UnicodeDecodeError:
            return None
    x = {"name": "x", "datatype": kind.name, "shape": array.shape, "data": values}
    status, _, body = way.http(f"/v2/models/{dtype}/infer", json.dumps({"inputs": [x]}).encode(), {})
    assert status == 200, body
    [output] = json.loads(body)["outputs"]
    assert output["datatype"] == kind.name
    if kind.dtype is DType.STRING:
        return strings([item.encode() for item in output["data"]], output["shape"])
    return np.array(output["data"], kind.numpy).reshape(output["shape"])


def oip_binary(way, dtype, array):
    kind = OIP_TYPES.get(dtype)
    if kind is None:
        return None
    raw = oip_raw(array)
    x = {
        "name": "x",
        "datatype": kind.name,
        "shape": array.shape,
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [x], "parameters": {"binary_data_output": True}}).encode()
    status, headers, body = way.http(
        f"/v2/models/{dtype}/infer", head + raw, {"Inference-Header-Content-Length": str(len(head))}
    )
    assert status == 200, body
    size = int(headers.get("inference-header-content-length", len(body)))
    [output] = json.loads(body[:size])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(body) - size
    return oip_array(body[size:], kind, output["shape"])


def proton_rpc(way, dtype, array):
    if dtype is not DType.FLOAT32:
        return None
    request = proton.InferenceRequest(model_name=dtype, data=flat(array).tolist(), shape=array.shape)
    body = way.rpc("/predict.Predictor/Predict", request.SerializeToString())
    answer = proton.InferenceResponse.FromString(body)
    return np.array(list(answer.data), np.float32).reshape(list(answer.shape))


def proton_json(way, dtype, array):
    if dtype is not DType.FLOAT32 or not is_finite(array):
        return None
    data = {"v": 1, "dim": array.shape, "data": flat(array).tolist()}
    document = json.dumps({"model_name": dtype, "data": data}).encode()
    status, _, body = way.http("/predict", document, {"content-type": "application/json"})
    assert status == 200, body
    answer = json.loads(body)["data"]
    return np.array(answer["data"], np.float32).reshape(answer["dim"])


FORMS = {
    "tf values": lambda *said: tf_predict(*said, as_content=False),
    "tf content": lambda *said: tf_predict(*said, as_content=True),
    "tf rows": lambda *said: tf_json(*said, as_rows=True),
    "tf columns": lambda *said: tf_json(*said, as_rows=False),
    "oip raw": lambda *said: oip_rpc(*said, is_typed=False),
    "oip typed": lambda *said: oip_rpc(*said, is_typed=True),
    "oip stream": lambda *said: oip_rpc(*said, is_typed=False, is_stream=True),
    "oip json": oip_json,
    "oip binary": oip_binary,
    "proton": proton_rpc,
    "proton json": proton_json,
}


# --- the property -------------------------------------------------------------------------------------------


def is_finite(array):
    return array.dtype == object or bool(np.isfinite(array.astype(np.complex128)).all())


@st.composite
def tensors(draw, dtype):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    size = int(np.prod(shape))
    if dtype is DType.STRING:
        item = st.one_of(st.binary(max_size=9), st.text(max_size=5).map(str.encode))
        return strings(draw(st.lists(item, min_size=size, max_size=size)), shape)
    kind = np.dtype(numpy_dtype(dtype))
    if kind.kind == "V" or kind.name.startswith(("bfloat", "float8")):  # hypothesis does not know them
        bits = draw(hnp.arrays(f"u{kind.itemsize}", size))
        array = bits.view(kind)
    else:
        array = draw(hnp.arrays(kind, size))
    if kind.kind not in "iub":
        # a signalling NaN does not survive Python's own float
        array = np.where(array != array, np.array(np.nan, kind), array).astype(kind)
    return array.reshape(shape)


def plain(dtype):
    """A tensor that every protocol has words for, if it has any for the type."""
    if dtype is DType.STRING:
        return strings([b"a", b"", b"bc", b"d", b"e", b"f"], (2, 3))
    return np.ones((2, 3), numpy_dtype(dtype))


def same(actual, expected):
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return False
    if expected.dtype == object:
        return actual.tolist() == expected.tolist()
    return actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", list(DType))
def test_every_way_answers_with_the_tensor_that_was_sent(ways, dtype):
    said = Counter()

    @settings(max_examples=12, deadline=None)
    @example(plain(dtype))
    @given(tensors(dtype))
    def check(array):
        for transport, way in ways.items():
            for name, ask in FORMS.items():
                answer = ask(way, dtype, array)
                if answer is not None:
                    assert same(answer, array), (transport, name, array, answer)
                    said[name] += 1

    check()
    expected = {"tf values", "tf content"}
    if dtype in OIP_TYPES:
        expected |= {"oip raw", "oip stream", "oip binary"}
        expected |= {"oip typed", "oip json"} if OIP_TYPES[dtype].field else set()
    if dtype not in NO_TF_JSON and not dtype.startswith("float8"):
        expected |= {"tf rows", "tf columns"}
    if dtype is DType.FLOAT32:
        expected |= {"proton", "proton json"}
    assert set(said) == expected
