"""Inputs that clients may leave out: alone and in a batch, over gRPC and REST, shown in the metadata."""

from __future__ import annotations

import asyncio
import json
import threading

import aiohttp
import grpc.aio
import numpy as np
import pytest

from navi_core import (
    BatchingSettings,
    DType,
    Host,
    HostConfig,
    ModelConfig,
    ModelLoadError,
    ModelRef,
    Runtime,
    Servable,
    Signature,
    TensorMismatchError,
    TensorSpec,
    TransportSettings,
)
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.testing.registries import registry_of
from navi_core.wire.tensor_proto import array_of_message, encode_tensor
from navi_core.wire.tf_serving import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)

pytestmark = pytest.mark.integration

SERVICE = "/tensorflow.serving.PredictionService"


def spec(name, *shape, **more):
    return TensorSpec(name=name, dtype=DType.FLOAT32, shape=shape, **more)


INPUTS = {
    "x": spec("x", "batch", 2),
    "weight": spec("weight", "batch", 2, default=np.array([[10, 100]], np.float32)),
    "shift": spec("shift", "batch", default=np.array(0.5, np.float32)),
    "factor": spec("factor", default=np.array(2, np.float32)),
    "extra": spec("extra", "batch", optional=True),
}
OUTPUTS = {
    "y": spec("y", "batch"),
    "rows": TensorSpec(name="rows", dtype=DType.INT64, shape=("batch",)),  # of the run
}


class Weighted(Servable):
    """``y = factor * sum(x * weight) + shift + extra``; waits, when it is told to, for the others to queue up."""

    def __init__(self, inputs):
        batchable = all(each.shape[:1] == ("batch",) or each.is_per_request for each in inputs.values())
        self.signatures = {DEFAULT_SIGNATURE: Signature(inputs=inputs, outputs=OUTPUTS, batchable=batchable)}
        self.may_run = threading.Event()
        self.may_run.set()

    def run(self, signature, inputs, outputs, ctx):
        assert self.may_run.wait(120)
        x = inputs["x"]
        shapes = {name: array.shape for name, array in inputs.items()}
        assert shapes["weight"] == x.shape, shapes
        assert shapes["shift"] == x.shape[:1], shapes
        assert shapes["factor"] == (), shapes
        y = inputs["factor"] * (x * inputs["weight"]).sum(axis=1) + inputs["shift"] + inputs.get("extra", 0)
        return {"y": y.astype(np.float32), "rows": np.full(len(x), len(x), np.int64)}


class WeightedRuntime(Runtime):
    name = "weighted"
    inputs = INPUTS
    last: Weighted

    def recognise(self, artifact):
        return "weighted"

    def load(self, artifact, options):
        type(self).last = Weighted(self.inputs)
        return self.last


def host_of(root, inputs=INPUTS, **batching):
    folder = root / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "weighted").touch()
    kind = type("WeightedRuntime", (WeightedRuntime,), {"inputs": inputs})
    settings = BatchingSettings(max_concurrent_batches=1, **batching)
    config = HostConfig(
        models=(ModelConfig(path=str(root / "m"), stable_ms=0, batching=settings),),
        transports={name: TransportSettings(port=0) for name in ("grpc", "http")},
        max_load_retries=0,
    )
    return Host(config, registry=registry_of(runtimes=[kind])), kind


@pytest.fixture
async def host(tmp_path):
    made, kind = host_of(tmp_path)
    async with made as running:
        running.servable = kind.last
        yield running


def address(host, transport):
    [found] = host.addresses[transport]
    return f"{found.host}:{found.port}"


def floats(values):
    return np.asarray(values, np.float32)


@pytest.fixture
async def predict(host):
    async with grpc.aio.insecure_channel(address(host, "grpc")) as channel:

        async def ask(**inputs):
            request = PredictRequest()
            request.model_spec.name = "m"
            for name, value in inputs.items():
                request.inputs[name].ParseFromString(b"".join(encode_tensor(floats(value))))
            answer = await channel.unary_unary(f"{SERVICE}/Predict")(request.SerializeToString())
            outputs = PredictResponse.FromString(answer).outputs
            return list(outputs["y"].float_val), list(outputs["rows"].int64_val)

        yield ask


ALONE = {
    "everything left out": ({"x": [[1, 2]]}, [420.5]),
    "two rows": ({"x": [[1, 2], [0, 0]]}, [420.5, 0.5]),
    "no rows": ({"x": np.zeros((0, 2))}, []),
    "one sent": ({"x": [[1, 2]], "weight": [[1, 1]]}, [6.5]),
    "a scalar sent": ({"x": [[1, 2]], "factor": 1}, [210.5]),
    "an optional one sent": ({"x": [[1, 2]], "extra": [1000]}, [1420.5]),
    "all sent": ({"x": [[1, 2]], "weight": [[1, 1]], "shift": [0], "factor": 1, "extra": [1]}, [4.0]),
}


@pytest.mark.parametrize(("inputs", "expected"), ALONE.values(), ids=ALONE)
async def test_grpc__alone(predict, inputs, expected):
    assert (await predict(**inputs))[0] == expected


async def test_grpc__in_one_batch_with_those_that_send_them(host, predict):
    host.servable.may_run.clear()
    first = asyncio.create_task(predict(x=[[9, 9]]))
    await queued(host, in_flight=1, waiting=0)
    others = [
        asyncio.create_task(predict(x=[[1, 2]])),
        asyncio.create_task(predict(x=[[1, 2], [3, 4]], weight=[[1, 1], [1, 2]], shift=[0, 1])),
        asyncio.create_task(predict(x=[[1, 2]], shift=[7])),
        asyncio.create_task(predict(weight=[[1, 1]], x=[[1, 2]])),
    ]
    await queued(host, in_flight=5, waiting=4)
    host.servable.may_run.set()
    await first
    answers = await asyncio.gather(*others)
    assert [y for y, _ in answers] == [[420.5], [6.0, 23.0], [427.0], [6.5]]
    assert [set(rows) for _, rows in answers] == [{5}] * 4, "they ran as one batch of five rows"


async def queued(host, *, in_flight, waiting):
    async with asyncio.timeout(60):
        while (
            await gauge(host, "navi_requests_in_flight") < in_flight
            or await gauge(host, "navi_queue_requests") < waiting
        ):
            await asyncio.sleep(0.005)


async def gauge(host, name):
    page = (await host.plane.render_metrics())[1].decode()
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"{name}{{"))


async def test_a_padded_and_split_request(tmp_path):
    made, _ = host_of(tmp_path, allowed_batch_rows=(4,), split_large_requests=True)
    async with made as host:
        answer = await host.predict("m", {"x": floats(np.ones((6, 2)))})
    assert answer["y"].tolist() == [220.5] * 6
    assert answer["rows"].tolist() == [4.0] * 6


REST = {
    "a list of rows": ({"instances": [[1, 2], [0, 0]]}, [420.5, 0.5]),
    "rows by name": ({"instances": [{"x": [1, 2]}, {"x": [0, 0]}]}, [420.5, 0.5]),
    "rows by name, one sent": (
        {"instances": [{"x": [1, 2], "shift": 3}, {"shift": 4, "x": [0, 0]}]},
        [423.0, 4.0],
    ),
    "columns": ({"inputs": [[1, 2]]}, [420.5]),
    "columns by name": ({"inputs": {"x": [[1, 2]], "weight": [[1, 1]]}}, [6.5]),
    "columns by name, a scalar sent": ({"inputs": {"x": [[1, 2]], "factor": 1}}, [210.5]),
}


@pytest.mark.parametrize(("body", "expected"), REST.values(), ids=REST)
async def test_rest(host, body, expected):
    url = f"http://{address(host, 'http')}/v1/models/m:predict"
    async with aiohttp.ClientSession() as session, session.post(url, data=json.dumps(body)) as answer:
        assert answer.status == 200, await answer.text()
        found = await answer.json()
    if "outputs" in found:
        assert found["outputs"]["y"] == expected
    else:
        assert [row["y"] for row in found["predictions"]] == expected


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"instances": [{"x": [1, 2]}, {"x": [1, 2], "shift": 3}]}, "keys must be equal to: x"),
        ({"instances": [{"shift": 3}]}, "keys must be equal to: shift,x"),
        ({"instances": [{"x": [1, 2], "q": 3}]}, "does not have named input: q"),
        ({"inputs": {"shift": [3]}}, "Missing named input: x"),
    ],
)
async def test_rest__what_is_still_refused(host, body, text):
    url = f"http://{address(host, 'http')}/v1/models/m:predict"
    async with aiohttp.ClientSession() as session, session.post(url, data=json.dumps(body)) as answer:
        assert answer.status == 400
        assert text in (await answer.json())["error"]


async def test_metadata(host):
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    async with grpc.aio.insecure_channel(address(host, "grpc")) as channel:
        body = await channel.unary_unary(f"{SERVICE}/GetModelMetadata")(request.SerializeToString())
    shown = SignatureDefMap.FromString(
        GetModelMetadataResponse.FromString(body).metadata["signature_def"].value
    ).signature_def[DEFAULT_SIGNATURE]
    assert {name: array_of_message(value, name=name).tolist() for name, value in shown.defaults.items()} == {
        "weight": [[10, 100]],
        "shift": 0.5,
        "factor": 2.0,
    }
    url = f"http://{address(host, 'http')}/v1/models/m/metadata"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        signatures = (await answer.json())["metadata"]["signature_def"]["signature_def"]
    assert signatures[DEFAULT_SIGNATURE]["defaults"]["factor"]["float_val"] == [2.0]


async def test_a_model_that_does_not_batch_gets_its_defaults_too(tmp_path):
    fixed = {**INPUTS, "x": spec("x", 1, 2)}
    made, _ = host_of(tmp_path, fixed)
    async with made as host:
        assert (await host.predict("m", {"x": floats([[1, 2]])}))["y"].tolist() == [420.5]


async def test_a_model_that_the_warm_up_keeps_from_batching_gets_its_defaults_row_by_row(tmp_path):
    class Mixing(Weighted):
        def run(self, signature, inputs, outputs, ctx):
            found = super().run(signature, inputs, outputs, ctx)
            return {**found, "y": found["y"] - found["y"].mean()}

    made, kind = host_of(tmp_path)
    kind.load = lambda self, artifact, options: Mixing(INPUTS)
    async with made as host:
        answer = await host.predict("m", {"x": floats([[1, 2], [1, 2], [1, 3]])})
        assert answer["y"].tolist() == pytest.approx([-200 / 3, -200 / 3, 400 / 3])
        with host.plane.acquire(ModelRef("m")) as handle:
            assert not handle.signatures[DEFAULT_SIGNATURE].batchable


async def test_a_default_of_several_rows_goes_with_that_many(tmp_path):
    several = {**INPUTS, "weight": spec("weight", "batch", 2, default=floats([[1, 1], [2, 2]]))}
    made, _ = host_of(tmp_path, several)
    async with made as host:
        assert (await host.predict("m", {"x": floats([[1, 2], [1, 2]])}))["y"].tolist() == [6.5, 12.5]
        with pytest.raises(TensorMismatchError, match="default of input 'weight': expected rows 2, got 3"):
            await host.predict("m", {"x": floats(np.ones((3, 2)))})


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (np.zeros((1, 3), np.float32), "input 'weight': expected shape (batch, 2), got (1, 3)"),
        (np.zeros((1, 2), np.float64), "input 'weight': expected dtype float32, got float64"),
        (np.zeros((), np.float32), "input 'weight': expected shape (batch, 2), got ()"),
    ],
)
async def test_a_default_that_does_not_fit_fails_the_load(tmp_path, default, text):
    made, _ = host_of(tmp_path, {**INPUTS, "weight": spec("weight", "batch", 2, default=default)})
    with pytest.raises(ModelLoadError) as refused:
        async with made:
            pass
    assert refused.value.message == f"default of model 'm', signature 'serving_default': {text}"


async def test_rows_without_end_are_refused_before_they_cost_memory(tmp_path):
    """A tensor of no columns has as many rows as its sender likes, and takes no bytes."""
    endless = {**INPUTS, "x": spec("x", "batch", None)}
    made, _ = host_of(tmp_path, endless)
    async with made as host:
        with pytest.raises(Exception, match="the request describes 1099511627776 rows") as refused:
            await host.predict("m", {"x": np.zeros((2**40, 0), np.float32)})
    assert refused.value.code == "RESOURCE_EXHAUSTED"
