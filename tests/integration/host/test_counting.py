"""Every inference request is counted once, wherever it ends, under labels that no client invents."""

from __future__ import annotations

import aiohttp
import grpc
import grpc.aio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from navi_core import Host, HostConfig, ModelConfig, TransportSettings, hookimpl
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of
from navi_core.wire.tf_serving import PredictRequest

pytestmark = pytest.mark.integration

PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Observer:
    def __init__(self):
        self.finished = []

    @hookimpl
    def navi_request_finished(self, event):
        self.finished.append((event.model, event.version, event.signature, event.method, event.code.value))


@pytest.fixture
def observer():
    return Observer()


@pytest.fixture
async def host(tmp_path, observer):
    write_affine(tmp_path / "m", 7)
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "m"), stable_ms=0),),
        transports={"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)},
    )
    registry = registry_of(runtimes=[AffineRuntime], observers=[observer])
    async with Host(config, registry=registry) as running:
        yield running


def target(host, transport):
    [address] = host.addresses[transport]
    return f"{address.host}:{address.port}"


def predict_body(model="m", dtype=1, size=2, signature=""):
    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    tensor = request.inputs["x"]
    tensor.dtype = dtype
    tensor.tensor_shape.dim.add().size = 1
    tensor.tensor_shape.dim.add().size = size
    return request.SerializeToString()


async def counted(host):
    """What navi_requests_total has: (model, version, signature, transport, code) -> requests."""
    page = (await host.plane.render_metrics())[1].decode()
    return {
        tuple(
            sample.labels[name] for name in ("model", "version", "signature", "transport", "code")
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "navi_requests_total"
    }


NOBODY = ("_unknown_", "_unknown_", "_unknown_")
LOADED = ("m", "7", "_unknown_")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (predict_body(), ("m", "7", "serving_default", "grpc", "OK")),
        (predict_body(size=3), ("m", "7", "serving_default", "grpc", "INVALID_ARGUMENT")),
        (predict_body(signature="s"), (*LOADED, "grpc", "INVALID_ARGUMENT")),
        (predict_body(dtype=20), ("m", "7", "serving_default", "grpc", "INVALID_ARGUMENT")),
        (predict_body("nobody"), (*NOBODY, "grpc", "NOT_FOUND")),
        (predict_body("nobody", dtype=20), (*NOBODY, "grpc", "NOT_FOUND")),
        (b"\xff", (*NOBODY, "grpc", "INVALID_ARGUMENT")),
    ],
    ids=[
        *("answered", "wrong shape", "unknown signature", "undecodable tensor"),
        *("unknown model", "unknown model and undecodable tensor", "no message"),
    ],
)
async def test_grpc(host, observer, body, key):
    async with grpc.aio.insecure_channel(target(host, "grpc")) as channel:
        try:
            await channel.unary_unary(PREDICT)(body)
        except grpc.aio.AioRpcError:
            assert key[-1] != "OK"
    assert await counted(host) == {key: 1}
    [(_, version, _, method, code)] = observer.finished
    assert (str(version), method, code) == (key[1].replace("_unknown_", "0"), "Predict", key[-1])


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("m:predict", b'{"instances": [[1, 2]]}', ("m", "7", "serving_default", "http", "OK")),
        ("m:predict", b"{", (*LOADED, "http", "INVALID_ARGUMENT")),
        (
            "m:predict",
            b'{"instances": [["a"]]}',
            ("m", "7", "serving_default", "http", "INVALID_ARGUMENT"),
        ),
        (
            "m:predict",
            b'{"signature_name": "s", "instances": [[1, 2]]}',
            (*LOADED, "http", "INVALID_ARGUMENT"),
        ),
        ("m:classify", b"", (*LOADED, "http", "INVALID_ARGUMENT")),
        ("m/versions/8:predict", b'{"instances": [1]}', (*NOBODY, "http", "NOT_FOUND")),
        ("nobody:predict", b'{"instances": [1]}', (*NOBODY, "http", "NOT_FOUND")),
    ],
    ids=[
        *("answered", "no JSON", "wrong type", "unknown signature", "no examples"),
        *("unknown version", "unknown model"),
    ],
)
async def test_http(host, observer, path, body, key):
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"http://{target(host, 'http')}/v1/models/{path}", data=body)
        assert (answer.status == 200) == (key[-1] == "OK")
    assert await counted(host) == {key: 1}
    [(model, _, _, method, code)] = observer.finished
    assert (model, method, code) == (*path.replace("/versions/8", "").split(":"), key[-1])
