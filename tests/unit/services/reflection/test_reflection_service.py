from __future__ import annotations

import asyncio

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

from navi_core.clock import ManualClock
from navi_core.contracts.service import Call, Operation, RpcKind, StreamError
from navi_core.contracts.service_context import ServiceContext
from navi_core.services.health import HealthService
from navi_core.services.reflection.service import ReflectionService
from navi_core.wire import grpc_reflection

V1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
V1ALPHA = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
NAMES = ("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "a.stranger.Service")


@pytest.fixture
def service():
    return make()


def make():
    def descriptor_sets():
        return {each.name: each.descriptor_set for each in (HealthService, ReflectionService)}

    return ReflectionService.create(
        ServiceContext(
            plane=None,
            admin=None,
            now=ManualClock().now,
            new_signal=None,
            rpc_services=lambda: NAMES,
            descriptor_sets=descriptor_sets,
        )
    )


async def ask_bytes(service, *bodies, path=V1):
    async def messages():
        for body in bodies:
            yield memoryview(body)

    response = await service.rpc_methods()[path].handler(Call(path=path, messages=messages()))
    assert response.status == 0
    return [grpc_reflection.ServerReflectionResponse.FromString(each) async for each in response.stream]


async def ask(service, path=V1, **request):
    message = grpc_reflection.ServerReflectionRequest(host="h:1", **request)
    [answer] = await ask_bytes(service, message.SerializeToString(), path=path)
    assert answer.valid_host == "h:1"
    assert answer.original_request == message
    return answer


def file_names(answer):
    files = answer.file_descriptor_response.file_descriptor_proto
    return [FileDescriptorProto.FromString(each).name for each in files]


def test_both_versions_are_offered_and_describe_themselves(service):
    methods = service.rpc_methods()
    assert set(methods) == {V1, V1ALPHA}
    assert {(each.kind, each.operation) for each in methods.values()} == {(RpcKind.BIDI, Operation.READ)}
    described = FileDescriptorSet.FromString(service.descriptor_set)
    assert {f"/{file.package}.ServerReflection/ServerReflectionInfo" for file in described.file} == set(
        methods
    )


@pytest.mark.parametrize("path", [V1, V1ALPHA])
async def test_services_are_listed_whether_described_or_not(service, path):
    answer = await ask(service, path, list_services="*")
    assert [each.name for each in answer.list_services_response.service] == sorted(NAMES)


@pytest.mark.parametrize("path", [V1, V1ALPHA])
@pytest.mark.parametrize(
    "symbol", ["grpc.health.v1.Health", "grpc.health.v1.Health.Check", "grpc.health.v1.HealthCheckRequest"]
)
async def test_a_symbol_gives_its_file(service, symbol, path):
    assert file_names(await ask(service, path, file_containing_symbol=symbol)) == [
        "grpc/health/v1/health.proto"
    ]


async def test_a_file_by_its_name(service):
    name = "grpc/reflection/v1alpha/reflection.proto"
    assert file_names(await ask(service, file_by_filename=name)) == [name]


async def test_extensions_of_a_message_without_any(service):
    answer = await ask(service, all_extension_numbers_of_type="grpc.health.v1.HealthCheckRequest")
    numbers = answer.all_extension_numbers_response
    assert (numbers.base_type_name, list(numbers.extension_number)) == (
        "grpc.health.v1.HealthCheckRequest",
        [],
    )


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"file_by_filename": "no.proto"}, "file 'no.proto'"),
        ({"file_containing_symbol": "a.stranger.Service"}, "symbol 'a.stranger.Service'"),
        ({"all_extension_numbers_of_type": "no.Message"}, "message 'no.Message'"),
        (
            {"file_containing_extension": {"containing_type": "no.Message", "extension_number": 3}},
            "extension 3 of message 'no.Message'",
        ),
        ({"file_containing_symbol": "x" * 100_000}, "symbol 'xxx"),
    ],
    ids=["file", "symbol", "message", "extension", "long"],
)
async def test_what_is_not_found_is_said_inside_the_stream(service, request_, words):
    answer = await ask(service, **request_)
    assert answer.error_response.error_code == 5
    assert words in answer.error_response.error_message
    assert len(answer.error_response.error_message) < 400


async def test_a_request_that_asks_nothing(service):
    assert (await ask(service)).error_response.error_code == 3


async def test_one_answer_a_request_in_order_and_errors_do_not_end_it(service):
    kind = grpc_reflection.ServerReflectionRequest
    requests = [kind(file_by_filename="no"), kind(list_services=""), kind(), kind(file_by_filename="no")]
    answers = await ask_bytes(service, *(each.SerializeToString() for each in requests))
    assert [each.original_request for each in answers] == requests
    assert [each.WhichOneof("message_response") for each in answers] == [
        "error_response",
        "list_services_response",
        "error_response",
        "error_response",
    ]


async def test_bytes_that_are_no_request_end_the_stream(service):
    with pytest.raises(
        StreamError, match=r"expected a grpc\.reflection\.v1\.ServerReflectionRequest"
    ) as caught:
        await ask_bytes(service, b"\x0a\xff")
    assert caught.value.status == 3


@given(st.lists(st.binary(max_size=30), max_size=3))
def test_any_bytes_are_answered_or_refused(bodies):
    async def run():
        try:
            answers = await ask_bytes(make(), *bodies)
        except StreamError:
            return
        assert len(answers) == len(bodies)

    asyncio.run(run())
