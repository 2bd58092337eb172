"""Streams that a service answers ahead, over the ASGI application: messages are read in a task beside the handler's."""

from __future__ import annotations

import asyncio
import struct

import pytest

from navi_core.answering_ahead import AnswerAhead
from navi_core.budget import MemoryBudget
from navi_core.clock import ManualClock
from navi_core.contracts.service import Operation, Response, RpcKind, RpcMethod, Service
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.transports.asgi.app import AsgiApp
from navi_core.transports.asgi.options import AsgiOptions

PATH = "/navi.Ahead/Upper"


class Upper(Service):
    """Answers each message in capitals; the shorter it is, the longer that takes."""

    name = "upper"

    def __init__(self, budget):
        self._ahead = AnswerAhead(budget)
        self.cancelled = []

    @classmethod
    def create(cls, context):
        return cls(MemoryBudget())

    def rpc_methods(self):
        return {PATH: RpcMethod(kind=RpcKind.BIDI, handler=self._handle, operation=Operation.INFER)}

    async def _handle(self, call):
        return Response(status=0, stream=self._ahead(call.messages, self._answer, limit=4))

    async def _answer(self, message):
        try:
            if bytes(message) == b"never":
                await asyncio.Event().wait()
            for _ in range(10 - len(message)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(bytes(message))
            raise
        return bytes(message).upper()


@pytest.fixture
def budget():
    return MemoryBudget(1 << 20)


@pytest.fixture
def service(budget):
    return Upper(budget)


def framed(message):
    return struct.pack(">BI", 0, len(message)) + message


async def run(service, budget, events):
    """Give the application the events of one call, whose client waits then; return what it sent."""
    app = AsgiApp("asgi")
    options = TransportOptions(
        budget=budget, now=ManualClock().now, max_message_bytes=1 << 10, options=AsgiOptions()
    )
    app.bind(HostRouter([service]), options)
    sent = []

    async def receive():
        if events:
            return events.pop(0)
        return await asyncio.get_running_loop().create_future()

    async def send(event):
        sent.append(event)

    scope = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": PATH,
        "headers": [(b"content-type", b"application/grpc")],
    }
    async with asyncio.timeout(60):
        await app(scope, receive, send)
    return sent


def piece(data, *, more=True):
    return {"type": "http.request", "body": data, "more_body": more}


def answers(sent):
    return b"".join(event.get("body", b"") for event in sent)


def status(sent):
    return int({**dict(sent[0]["headers"]), **dict(sent[-1].get("headers", ()))}[b"grpc-status"])


async def test_they_come_in_order(service, budget):
    messages = [b"a", b"longer", b"bb", b"c", b"longest", b"d"]
    sent = await run(
        service,
        budget,
        [
            piece(b"".join(map(framed, messages[:3]))),
            *(piece(framed(each)) for each in messages[3:]),
            piece(b"", more=False),
        ],
    )
    assert answers(sent) == b"".join(framed(each.upper()) for each in messages)
    assert status(sent) == 0
    assert budget.in_use_bytes == 0


async def test_a_message_that_is_refused_comes_after_the_answers(service, budget):
    sent = await run(service, budget, [piece(framed(b"a") + framed(b"x" * 2000), more=False)])
    assert answers(sent).startswith(framed(b"A"))
    assert status(sent) == 8
    assert budget.in_use_bytes == 0


async def test_a_client_that_goes_ends_what_was_begun(service, budget):
    await run(service, budget, [piece(framed(b"never") + framed(b"never")), {"type": "http.disconnect"}])
    assert service.cancelled == [b"never"] * 2
    assert budget.in_use_bytes == 0
