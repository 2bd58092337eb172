"""A client that has no protos but those of reflection itself: it learns every message from the host it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from navi_core import (
    Call,
    Host,
    HostConfig,
    ModelConfig,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    ServiceContext,
    TransportSettings,
)
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of
from navi_core.wire import grpc_reflection

pytestmark = pytest.mark.integration

VERSIONS = ("v1", "v1alpha")


def described_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="stranger/echo.proto", package="stranger", syntax="proto3")
    message = file.message_type.add(name="Word")
    message.field.add(name="text", number=1, type=9, label=1)
    method = file.service.add(name="Echo").method.add(name="Say")
    method.input_type = method.output_type = ".stranger.Word"
    return file


class StrangerService(Service):
    """A plugin's service with a descriptor set of its own."""

    name = "stranger"
    descriptor_set = descriptor_pb2.FileDescriptorSet(file=[described_file()]).SerializeToString()

    @classmethod
    def create(cls, context: ServiceContext) -> Service:
        return cls()

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        return {"/stranger.Echo/Say": RpcMethod(kind=RpcKind.UNARY, handler=_say, operation=Operation.READ)}


async def _say(call: Call) -> Response:
    return Response(status=0, body=call.body)


class Reflected:
    """What reflection tells, in a pool of the client's own."""

    def __init__(self, channel: grpc.aio.Channel, version: str) -> None:
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool()
        self._ask = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        self._added: set[str] = set()

    async def ask(self, *requests: Mapping[str, str]) -> Sequence[grpc_reflection.ServerReflectionResponse]:
        bodies = [grpc_reflection.ServerReflectionRequest(**each).SerializeToString() for each in requests]
        stream = self._ask(iter(bodies), timeout=60)
        return [grpc_reflection.ServerReflectionResponse.FromString(each) async for each in stream]

    async def services(self) -> list[str]:
        [answer] = await self.ask({"list_services": ""})
        return [each.name for each in answer.list_services_response.service]

    async def learn(self, symbol: str) -> None:
        [answer] = await self.ask({"file_containing_symbol": symbol})
        files = {
            file.name: file
            for file in map(
                descriptor_pb2.FileDescriptorProto.FromString,
                answer.file_descriptor_response.file_descriptor_proto,
            )
        }
        assert files, answer.error_response.error_message
        for name in files:
            self._add(name, files)

    def _add(self, name: str, files: Mapping[str, descriptor_pb2.FileDescriptorProto]) -> None:
        if name in self._added:
            return
        self._added.add(name)
        for dependency in files[name].dependency:
            self._add(dependency, files)
        self.pool.Add(files[name])

    def messages(self, method: str):
        """Return the classes of a method's request and answer."""
        service, _, name = method.rpartition(".")
        found = self.pool.FindServiceByName(service).methods_by_name[name]
        return tuple(message_factory.GetMessageClass(each) for each in (found.input_type, found.output_type))

    async def call(self, method: str, request):
        service, _, name = method.rpartition(".")
        _, answers = self.messages(method)
        unary = self.channel.unary_unary(f"/{service}/{name}")
        return answers.FromString(await unary(request.SerializeToString(), timeout=60))


@pytest.fixture
async def channel(tmp_path):
    write_affine(tmp_path / "ranker", 7, scale=2.0, bias=1.0)
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "ranker"), stable_ms=0),),
        transports={"grpc": TransportSettings(port=0)},
    )
    registry = registry_of(runtimes=[AffineRuntime], services=[StrangerService])
    async with Host(config, registry=registry) as host:
        [address] = host.addresses["grpc"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{address.port}") as channel:
            yield channel


@pytest.mark.parametrize("version", VERSIONS)
async def test_predict_from_reflection_alone(channel, version):
    client = Reflected(channel, version)
    assert "tensorflow.serving.PredictionService" in await client.services()
    method = "tensorflow.serving.PredictionService.Predict"
    await client.learn(method)
    request_class, _ = client.messages(method)

    request = request_class(output_filter=["y"])
    request.model_spec.name = "ranker"
    tensor = request.inputs["x"]
    tensor.dtype = client.pool.FindEnumTypeByName("tensorflow.DataType").values_by_name["DT_FLOAT"].number
    for size in (2, 2):
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend([1, 2, 3, 4])
    answer = await client.call(method, request)

    assert answer.model_spec.version.value == 7
    np.testing.assert_array_equal(answer.outputs["y"].float_val, [3, 5, 7, 9])


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_service_that_is_listed_can_be_described(channel, version):
    client = Reflected(channel, version)
    names = await client.services()
    assert {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "stranger.Echo",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    } <= set(names)
    for name in names:
        await client.learn(name)
        assert client.pool.FindServiceByName(name).methods


async def test_a_plugins_service_from_reflection_alone(channel):
    client = Reflected(channel, "v1")
    await client.learn("stranger.Echo")
    request_class, _ = client.messages("stranger.Echo.Say")
    assert (await client.call("stranger.Echo.Say", request_class(text="hello"))).text == "hello"


async def test_a_stream_goes_on_after_what_is_not_there(channel):
    client = Reflected(channel, "v1")
    missing, found = await client.ask({"file_containing_symbol": "no.Such"}, {"list_services": ""})
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert found.list_services_response.service
