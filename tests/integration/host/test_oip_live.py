"""The Open Inference Protocol through a whole host: parameters that reach the runtime, batches, statistics, admin."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import grpc.aio
import numpy as np
import pytest

from navi_core import (
    Artifact,
    BatchingSettings,
    DType,
    Host,
    HostConfig,
    ModelConfig,
    Runtime,
    Servable,
    Signature,
    TensorSpec,
    TransportSettings,
)
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.testing.registries import registry_of
from navi_core.wire import oip

pytestmark = pytest.mark.integration

PREFIX = "/inference.GRPCInferenceService/"


class Powers(Servable):
    """``y = x ** power``, where ``power`` is a request's parameter; remembers what it ran."""

    ran: list = []
    batch_parameters = frozenset({"power"})

    def __init__(self):
        x, y = (TensorSpec(name=name, dtype=DType.FLOAT32, shape=(None, 2)) for name in "xy")
        self.signatures = {DEFAULT_SIGNATURE: Signature(inputs={"x": x}, outputs={"y": y}, batchable=True)}

    def run(self, signature, inputs, outputs, ctx):
        self.ran.append((dict(ctx.parameters), len(inputs["x"])))
        return {"y": inputs["x"] ** np.float32(ctx.parameters.get("power", 1))}


class PowersRuntime(Runtime):
    name = "powers"

    def recognise(self, artifact: Artifact):
        return "powers" if artifact.has("powers") else None

    def load(self, artifact, options):
        return Powers()


@pytest.fixture
def batch_timeout_ms():
    """How long a batch that is not full waits for company."""
    return 50


@pytest.fixture
async def host(tmp_path, batch_timeout_ms):
    folder = tmp_path / "m" / "3"
    folder.mkdir(parents=True)
    (folder / "powers").write_text("")
    batching = BatchingSettings(
        max_batch_rows=16,
        batch_timeout_ms=batch_timeout_ms,
        max_concurrent_batches=1,
        priority_levels=2,
    )
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "m"), stable_ms=0, batching=batching),),
        transports={"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)},
        admin=True,
    )
    async with Host(config, registry=registry_of(runtimes=[PowersRuntime])) as running:
        Powers.ran.clear()
        yield running


def target(host, transport):
    [address] = host.addresses[transport]
    return f"{address.host}:{address.port}"


@pytest.fixture
async def channel(host):
    async with grpc.aio.insecure_channel(target(host, "grpc")) as channel:
        yield channel


def request(value, power=None, **kwargs):
    message = oip.ModelInferRequest(model_name="m", **kwargs)
    message.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    message.raw_input_contents.append(np.full(2, value, np.float32).tobytes())
    if power is not None:
        message.parameters["power"].int64_param = power
        message.parameters["nobody_reads_this"].string_param = str(value)
    return message


async def call(channel, rpc, message):
    response = oip.DESCRIPTORS.message_class(f"{rpc}Response")
    return response.FromString(await channel.unary_unary(PREFIX + rpc)(message.SerializeToString()))


@pytest.mark.parametrize("batch_timeout_ms", [1_000])
async def test_parameters__reach_the_runtime_and_separate_batches(host, channel):
    powers = [1, 2, 1, 2, 3, 1]
    answers = await asyncio.gather(
        *(call(channel, "ModelInfer", request(value, power)) for value, power in enumerate(powers))
    )
    got = [np.frombuffer(answer.raw_output_contents[0], np.float32)[0] for answer in answers]
    assert got == [value**power for value, power in enumerate(powers)]
    assert all(parameters == {"power": parameters["power"]} for parameters, _ in Powers.ran)
    by_power = {
        power: sum(rows for said, rows in Powers.ran if said["power"] == power) for power in (1, 2, 3)
    }
    assert by_power == {1: 3, 2: 2, 3: 1}
    assert len(Powers.ran) < len(powers)  # equal ones were joined


async def test_configuration__shows_the_levels_that_requests_may_ask_for(channel):
    shown = (await call(channel, "ModelConfig", oip.ModelConfigRequest(name="m"))).config.dynamic_batching
    assert (shown.priority_levels, shown.default_priority_level) == (2, 2)


async def test_statistics__count_what_ran(host, channel):
    await asyncio.gather(*(call(channel, "ModelInfer", request(value)) for value in range(8)))
    with pytest.raises(grpc.RpcError):
        await call(channel, "ModelInfer", request(1, outputs=[{"name": "nothing"}]))
    (stats,) = (await call(channel, "ModelStatistics", oip.ModelStatisticsRequest(name="m"))).model_stats
    assert (stats.name, stats.version, stats.inference_count) == ("m", "3", 8)
    assert stats.execution_count == len(Powers.ran)
    assert {each.batch_size: each.compute_infer.count for each in stats.batch_stats} == {
        size: sum(rows == size for _, rows in Powers.ran) for size in {rows for _, rows in Powers.ran}
    }
    found = stats.inference_stats
    assert (found.success.count, found.fail.count, found.queue.count, found.compute_infer.count) == (
        8,
        1,
        8,
        8,
    )
    assert found.success.ns > found.compute_infer.ns > 0


async def test_stream__over_a_real_connection(host, channel):
    stream = channel.stream_stream(PREFIX + "ModelStreamInfer")()
    for body in (
        request(2, 3, id="a"),
        oip.ModelInferRequest(model_name="nobody", id="b"),
        request(3, 2, id="c"),
    ):
        await stream.write(body.SerializeToString())
    await stream.done_writing()
    answers = [oip.ModelStreamInferResponse.FromString(message) async for message in stream]
    assert [each.infer_response.id for each in answers] == ["a", "b", "c"]
    assert [each.error_message for each in answers] == ["", "Model with name nobody does not exist.", ""]
    assert np.frombuffer(answers[2].infer_response.raw_output_contents[0], np.float32).tolist() == [9, 9]
    assert await stream.code() is grpc.StatusCode.OK


async def test_repository__files_replace_a_model_and_load_brings_it_back(host, channel):
    url = f"http://{target(host, 'http')}/v2"
    async with aiohttp.ClientSession() as session:

        async def post(path, document=None):
            async with session.post(f"{url}/{path}", json=document) as response:
                return response.status, json.loads(await response.read())

        assert await post("repository/models/m/load", {"parameters": {"file:9/powers": ""}}) == (
            200,
            {"name": "m", "load": True},
        )
        assert (await call(channel, "ModelInfer", request(2))).model_version == "9"
        assert await post("repository/models/m/load") == (200, {"name": "m", "load": True})
        assert (await call(channel, "ModelInfer", request(2))).model_version == "3"
        status, answer = await post("repository/models/m/load", {"parameters": {"file:9/other": ""}})
        assert status == 400
        assert answer["error"].startswith("load failed for model 'm': ")
        assert (await call(channel, "ModelInfer", request(2))).model_version == "3"
        assert (await post("repository/models/m/unload"))[0] == 200
        assert (await post("repository/index"))[1] == [
            {"name": "m", "state": "UNAVAILABLE", "reason": "unloaded"}
        ]
        async with session.get(f"{url}/models/m") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("verb", "path", "status"), [("GET", "/v2/models/m/infer", 405), ("GET", "/v2/nothing", 404)]
)
async def test_paths__that_are_none_get_an_error_of_the_protocols_form(host, verb, path, status):
    async with (
        aiohttp.ClientSession() as session,
        session.request(verb, f"http://{target(host, 'http')}{path}") as response,
    ):
        assert response.status == status
        assert set(json.loads(await response.read())) == {"error"}


async def test_refused_requests__are_counted_under_their_signature(host, channel):
    short = request(1)
    short.raw_input_contents[0] = b"1234"
    with pytest.raises(grpc.RpcError):
        await call(channel, "ModelInfer", short)
    with pytest.raises(grpc.RpcError):
        await call(channel, "ModelInfer", request(1, outputs=[{"name": "nothing"}]))
    async with aiohttp.ClientSession() as session:
        page = await metrics_page(host, session)
    counted = [line for line in page.splitlines() if line.startswith("navi_requests_total")]
    assert len(counted) == 1
    assert 'signature="serving_default"' in counted[0]
    assert counted[0].endswith(" 2.0")


# --- streams ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_timeout_ms", [60_000])  # nobody waits for so long: the batches are full
async def test_stream__its_requests_share_batches_and_are_answered_in_their_order(host, channel):
    stream = channel.stream_stream(f"{PREFIX}ModelStreamInfer")()
    powers = [1, 2] * 16
    for value, power in enumerate(powers):
        await stream.write(request(value, power, id=str(value)).SerializeToString())
    await stream.done_writing()
    answers = [oip.ModelStreamInferResponse.FromString(each).infer_response async for each in stream]

    assert [answer.id for answer in answers] == [str(value) for value in range(32)]
    got = [np.frombuffer(answer.raw_output_contents[0], np.float32)[0] for answer in answers]
    assert got == [float(value**power) for value, power in enumerate(powers)]
    assert sorted(Powers.ran, key=str) == [({"power": 1}, 16), ({"power": 2}, 16)]


async def metrics_page(host, session):
    async with session.get(f"http://{target(host, 'http')}/metrics") as response:
        return await response.text()


async def test_stream__that_the_client_leaves_is_over(host, channel):
    stream = channel.stream_stream(f"{PREFIX}ModelStreamInfer")()
    for value in range(20):
        await stream.write(request(value).SerializeToString())
    assert await stream.read() is not grpc.aio.EOF
    stream.cancel()
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while "\nnavi_body_budget_used_bytes 0.0" not in await metrics_page(host, session):
            await asyncio.sleep(0.01)
    answer = await call(channel, "ModelInfer", request(3, 2))
    assert np.frombuffer(answer.raw_output_contents[0], np.float32)[0] == 9
