"""Transports hand over the very bytes that came, and write the very bytes that a service answers."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import pytest

from navi_core.budget import MemoryBudget
from navi_core.clock import ManualClock
from navi_core.contracts.service import Call, Operation, Response, RpcKind, RpcMethod, Service
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.transports.asgi.app import AsgiApp
from navi_core.transports.asgi.options import AsgiOptions
from navi_core.transports.grpc.handlers import CallHandlers
from navi_core.transports.in_flight import InFlight

PATH = "/test.Keeper/Keep"
LARGE = 1 << 20


class Keeper(Service):
    """Keeps what it is called with, and answers what it is given."""

    name = "keeper"

    def __init__(self, answer):
        self.answer = answer
        self.calls = []
        self.written = 0

    @classmethod
    def create(cls, context):
        return cls(b"")

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        return {PATH: RpcMethod(kind=RpcKind.UNARY, handler=self.keep, operation=Operation.INFER)}

    async def keep(self, call: Call) -> Response:
        self.calls.append(call)
        return Response(status=0, body=self.answer, on_written=self.count)

    def count(self):
        self.written += 1


def options_of(clock):
    return TransportOptions(
        budget=MemoryBudget(LARGE << 2), now=clock.now, max_message_bytes=LARGE << 1, options=AsgiOptions()
    )


class Context:
    """What the gRPC skin asks of grpcio."""

    def __init__(self):
        self.done = []

    def add_done_callback(self, callback):
        self.done.append(callback)

    def peer(self):
        return "ipv4:127.0.0.1:1"

    def time_remaining(self):
        return None


class Details:
    method = PATH
    invocation_metadata = ()


async def over_grpc(service, request):
    """Return what grpcio is given to write."""
    handlers = CallHandlers(HostRouter([service]), options_of(ManualClock()), InFlight(), "grpc")
    context = Context()
    method = handlers.service(Details())
    assert method.request_deserializer is None
    assert method.response_serializer is None
    answer = await method.unary_unary(request, context)
    for callback in context.done:
        callback(context)
    return answer


async def over_asgi(service, request):
    """Return the bodies of the events that a foreign server is given."""
    app = AsgiApp("asgi")
    app.bind(HostRouter([service]), options_of(ManualClock()))
    sent = []

    async def receive():
        return {"type": "http.request", "body": request, "more_body": False}

    async def send(event):
        sent.append(event)

    scope = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": PATH,
        "headers": [(b"content-type", b"application/grpc")],
    }
    await app(scope, receive, send)
    return [event["body"] for event in sent if event["type"] == "http.response.body"]


@pytest.mark.parametrize("as_list", [False, True])
async def test_grpc__neither_request_nor_answer_is_copied(as_list):
    request, answer = bytes(LARGE), bytes(LARGE)
    service = Keeper([answer] if as_list else answer)
    assert await over_grpc(service, request) is answer
    assert service.calls[0].body is request
    assert service.written == 1


async def test_grpc__pieces_are_joined_once():
    values = np.arange(LARGE // 8, dtype=np.int64)
    service = Keeper([b"head", values.view(np.uint8).data, b"tail"])
    answer = await over_grpc(service, b"")
    assert type(answer) is bytes
    assert answer[4:12] == values[:1].tobytes()
    values[0] = 7  # the buffer is free once it is said to be
    assert service.written == 1
    assert answer[4:12] == bytes(8)


@pytest.mark.parametrize("size", [16, LARGE])
async def test_asgi__a_request_is_a_view_of_what_came(size):
    request = struct.pack(">BI", 0, size) + bytes(size)
    service = Keeper(b"ok")
    await over_asgi(service, request)
    found = np.frombuffer(service.calls[0].body, np.uint8)
    assert found.size == size
    assert np.shares_memory(found, np.frombuffer(request, np.uint8))


async def test_asgi__a_large_answer_is_not_copied():
    answer = bytes(LARGE)
    bodies = await over_asgi(Keeper(answer), struct.pack(">BI", 0, 0))
    assert bodies[0] == struct.pack(">BI", 0, LARGE)
    assert bodies[1] is answer
