"""Proton's protocol over real sockets, beside everything else that the host offers."""

from __future__ import annotations

import json

import aiohttp
import grpc
import numpy as np
import pytest

from navi_core import Host, HostConfig, ModelConfig, TransportSettings
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of
from navi_core.wire import proton

pytestmark = pytest.mark.integration

X = np.array([[1.5, -2.0], [0.1, 3.0]], np.float32)


@pytest.fixture
async def addresses(tmp_path):
    for name in ("ranker", "other"):
        write_affine(tmp_path / name, 7, scale=2.0)
    config = HostConfig(
        models=tuple(ModelConfig(path=str(tmp_path / name), stable_ms=0) for name in ("ranker", "other")),
        transports={name: TransportSettings(port=0) for name in ("grpc", "http")},
    )
    async with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as host:
        yield {name: f"127.0.0.1:{found[0].port}" for name, found in host.addresses.items()}


async def test_grpc(addresses):
    async with grpc.aio.insecure_channel(addresses["grpc"]) as channel:
        predict = channel.unary_unary("/predict.Predictor/Predict")
        request = proton.InferenceRequest(model_name="ranker", data=X.ravel().tolist(), shape=X.shape)
        answer = proton.InferenceResponse.FromString(await predict(request.SerializeToString(), timeout=60))
        np.testing.assert_array_equal(np.reshape(answer.data, answer.shape), X * 2)

        request.model_name = "nobody"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await predict(request.SerializeToString(), timeout=60)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_large_answer_is_whole(addresses):
    array = np.arange(200_000, dtype=np.float32).reshape(-1, 2)
    request = proton.InferenceRequest(model_name="ranker", data=array.ravel().tolist(), shape=array.shape)
    async with grpc.aio.insecure_channel(
        addresses["grpc"], options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        predict = channel.unary_unary("/predict.Predictor/Predict")
        for _ in range(3):  # pooled buffers are filled with NaN when they go back
            answer = proton.InferenceResponse.FromString(
                await predict(request.SerializeToString(), timeout=60)
            )
            np.testing.assert_array_equal(np.reshape(answer.data, answer.shape), array * 2)


async def test_rest(addresses):
    async with aiohttp.ClientSession(f"http://{addresses['http']}") as session:
        document = {"model_name": "ranker", "data": {"v": 1, "dim": [2, 2], "data": X.ravel().tolist()}}
        async with session.post("/predict", json=document) as response:
            assert response.status == 200
            answer = await response.json()
        assert answer["data"]["dim"] == [2, 2]
        np.testing.assert_array_equal(np.float32(answer["data"]["data"]).reshape(2, 2), X * 2)

        async with session.post("/predict", data=json.dumps(document)) as response:
            assert (response.status, response.content_type) == (415, "text/plain")
        async with session.get("/predict") as response:
            assert response.status == 405
        async with session.get("/models") as response:
            assert await response.json() == {"models": [{"name": "ranker"}, {"name": "other"}]}
        async with session.get("/ready") as response:
            assert await response.json() == {"healthy": True}
        async with session.get("/metrics") as response:
            assert 'service="proton"' in await response.text()
