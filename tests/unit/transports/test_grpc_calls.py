"""What grpcio's calls hold, and for how long. grpcio itself is played by a task of the test's."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from contextlib import nullcontext

import pytest

from navi_core.budget import MemoryBudget
from navi_core.clock import ManualClock
from navi_core.contracts.service import Call, Operation, Response, RpcKind, RpcMethod, Service
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.transports.grpc.handlers import CallHandlers
from navi_core.transports.in_flight import InFlight

PATH = "/test.Answerer/Answer"
STREAM = "/test.Answerer/Stream"
BODY = bytes(100)
MAX_BYTES = 2000


class AbortedError(Exception):
    """What grpcio ends a call with."""


class Answerer(Service):
    """Does what the body says."""

    name = "answerer"

    @classmethod
    def create(cls, context):
        return cls()

    def rpc_methods(self):
        return {
            PATH: RpcMethod(kind=RpcKind.UNARY, handler=self.answer, operation=Operation.INFER),
            STREAM: RpcMethod(kind=RpcKind.SERVER_STREAM, handler=self.stream, operation=Operation.READ),
        }

    async def stream(self, _call: Call) -> Response:
        async def messages():
            for size_bytes in (MAX_BYTES, MAX_BYTES + 1, 1):
                yield bytes(size_bytes)

        return Response(status=0, stream=messages())

    async def answer(self, call: Call) -> Response:
        await asyncio.sleep(0)
        if call.body.startswith(b"fail"):
            return Response(status=5, message="not here")
        if call.body.startswith(b"long"):
            return Response(status=0, body=[bytes(MAX_BYTES), b"x"])
        if call.body.startswith(b"break"):
            raise RuntimeError("a bug")
        return Response(status=0, body=[b"an", b"swer"])


class Context:
    """What the skin asks of grpcio."""

    def __init__(self):
        self.written = []

    async def write(self, message):
        self.written.append(len(message))

    async def abort(self, code, details, trailing_metadata):
        raise AbortedError(code.name, details)

    def peer(self):
        return "ipv4:127.0.0.1:1"

    def time_remaining(self):
        return None


class Details:
    method = PATH
    invocation_metadata = (("user-agent", "a test"), ("user-agent", "the last one counts"))


class Grpcio:
    """Runs calls as grpcio does: lookup, handler and the writing of the answer are one task."""

    def __init__(self, budget_bytes=1000):
        self.budget = MemoryBudget(budget_bytes)
        self.calls = InFlight()
        self.router = HostRouter([Answerer()])
        options = TransportOptions(budget=self.budget, now=ManualClock().now, max_message_bytes=MAX_BYTES)
        self.handlers = CallHandlers(self.router, options, self.calls, "grpc")
        self.while_written = []

    async def ask(self, body=BODY):
        async def rpc():
            answer = await self.handlers.service(Details()).unary_unary(body, Context())
            self.while_written.append((self.budget.in_use_bytes, len(self.calls)))
            await asyncio.sleep(0)
            return answer

        return await asyncio.create_task(rpc())


async def test_body_and_call_count_until_the_answer_is_written():
    grpcio = Grpcio()
    assert await grpcio.ask() == b"answer"
    await asyncio.sleep(0)
    assert grpcio.while_written == [(len(BODY), 1)]
    assert grpcio.budget.in_use_bytes == 0
    assert len(grpcio.calls) == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"fail", ("NOT_FOUND", "not here")),
        (b"break", ("INTERNAL", "internal error")),
        (b"long", ("RESOURCE_EXHAUSTED", "answer: expected at most 2000 bytes, got 2001")),
        (bytes(1001), ("RESOURCE_EXHAUSTED", "bodies in flight: expected at most 1000 bytes, got 1001 more")),
    ],
    ids=["failed", "broken", "too long", "refused"],
)
async def test_failures_give_everything_back(body, told, caplog):
    caplog.set_level(logging.CRITICAL)
    grpcio = Grpcio()
    with pytest.raises(AbortedError) as ended:
        await grpcio.ask(body)
    await asyncio.sleep(0)
    assert ended.value.args[0] == told[0]
    assert ended.value.args[1].startswith(told[1])
    assert grpcio.budget.in_use_bytes == 0
    assert len(grpcio.calls) == 0


async def test_a_stream_ends_at_a_message_that_is_too_long():
    class StreamDetails(Details):
        method = STREAM

    grpcio, context = Grpcio(), Context()

    async def rpc():
        await grpcio.handlers.service(StreamDetails()).unary_stream(BODY, context)

    with pytest.raises(AbortedError, match="answer: expected at most 2000 bytes, got 2001"):
        await asyncio.create_task(rpc())
    assert context.written == [MAX_BYTES]


async def test_a_drain_refuses_and_counts_nothing():
    grpcio = Grpcio()
    grpcio.router.begin_drain()
    with pytest.raises(AbortedError, match="UNAVAILABLE"):
        await grpcio.ask()
    await asyncio.sleep(0)
    assert len(grpcio.calls) == 0


@pytest.mark.parametrize(
    "body", [BODY, b"fail", b"break", bytes(1001)], ids=["answered", "failed", "broken", "refused"]
)
async def test_a_call_leaves_nothing_to_the_garbage_collector(body, caplog):
    """Or its body would live until a collection, while the budget counts it no longer."""
    caplog.set_level(logging.CRITICAL)
    grpcio = Grpcio()
    gc.collect()
    gc.disable()
    try:
        before = Counter(type(each).__name__ for each in gc.get_objects())  # other tests' modules keep some
        for _ in range(20):
            with nullcontext() if body is BODY else pytest.raises(AbortedError):
                await grpcio.ask(body)
        await asyncio.sleep(0)
        left = Counter(type(each).__name__ for each in gc.get_objects())
        left.subtract(before)
    finally:
        gc.enable()
    assert left["_Unary"] <= 1  # the last exception of the loop may hold one
    assert left["Call"] <= 1
