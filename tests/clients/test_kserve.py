"""KServe's own client, unchanged: REST and gRPC, success and error."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

kserve = pytest.importorskip("kserve", reason="kserve is not installed")
httpx = pytest.importorskip("httpx", reason="httpx, which kserve requires, is not installed")

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

X = np.arange(6, dtype=np.float32).reshape(3, 2)
Y = [[0, 2], [6, 12], [20, 30]]


def request_of(model="mul_1", *, binary=False, array=X, **kwargs):
    made = kserve.InferInput("X", list(array.shape), "FP32")
    made.set_data_from_numpy(array, binary_data=binary)
    return kserve.InferRequest(model_name=model, infer_inputs=[made], request_id="seven", **kwargs)


@pytest.fixture
async def rest(managed):
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", retries=1))
    client.host = f"http://{managed.http}"
    yield client
    await client.close()


@pytest.fixture
async def by_grpc(managed):
    client = kserve.InferenceGRPCClient(managed.grpc)
    yield client
    await client.close()


@pytest.mark.parametrize("binary", [False, True])
async def test_rest(rest, binary):
    answer = await rest.infer(rest.host, request_of(binary=binary), model_name="mul_1")
    assert answer.id == "seven"
    assert answer.model_name == "mul_1"
    assert answer.outputs[0].as_numpy().tolist() == Y


async def test_rest__health(rest):
    assert await rest.is_server_live(rest.host)
    assert await rest.is_server_ready(rest.host)
    assert await rest.is_model_ready(rest.host, "mul_1")


async def test_rest__errors(rest):
    for request, status, text in (
        (request_of("nobody"), 404, "Model with name nobody does not exist."),
        (request_of(array=X[:2]), 400, "unexpected shape for input 'X' for model 'mul_1'"),
    ):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            await rest.infer(rest.host, request, model_name=request.model_name)
        assert caught.value.response.status_code == status
        assert text in caught.value.response.json()["error"]


@pytest.mark.parametrize("binary", [False, True])
async def test_grpc(by_grpc, binary):
    answer = await by_grpc.infer(request_of(binary=binary))
    assert answer.id == "seven"
    assert answer.outputs[0].as_numpy().tolist() == Y


async def test_grpc__health(by_grpc):
    assert await by_grpc.is_server_live()
    assert await by_grpc.is_server_ready()
    assert await by_grpc.is_model_ready("mul_1")


async def test_grpc__errors(by_grpc):
    with pytest.raises(grpc.RpcError) as caught:
        await by_grpc.infer(request_of("nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "Model with name nobody does not exist."


async def test_repository(managed):
    """KServe's requests have the model in field 1, and its answers say what was done."""
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
    from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as stubs

    async with grpc.aio.insecure_channel(managed.grpc) as channel:
        stub = stubs.GRPCInferenceServiceStub(channel)
        unloaded = await stub.RepositoryModelUnload(
            messages.RepositoryModelUnloadRequest(model_name="same_bool")
        )
        assert (unloaded.model_name, unloaded.isUnloaded) == ("same_bool", True)
        with pytest.raises(grpc.RpcError) as caught:
            await stub.ModelReady(messages.ModelReadyRequest(name="same_bool"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        loaded = await stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name="same_bool"))
        assert (loaded.model_name, loaded.isLoaded) == ("same_bool", True)
        assert (await stub.ModelReady(messages.ModelReadyRequest(name="same_bool"))).ready
