"""gRPC over ASGI as a table: frames, flags, timeouts, metadata, and where a status is written."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import struct
from urllib.parse import unquote

import pytest

from navi_core.budget import MemoryBudget
from navi_core.clock import ManualClock
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.testing.transport_probe import RPC_PREFIX, ProbeService
from navi_core.transports.asgi.app import AsgiApp
from navi_core.transports.asgi.disconnects import DisconnectWatch
from navi_core.transports.asgi.options import AsgiOptions


def framed(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


def bound_app(budget_bytes=1 << 20, **more):
    app, clock, budget = AsgiApp("asgi"), ManualClock(), MemoryBudget(budget_bytes)
    router = HostRouter([ProbeService(clock.now, lambda: budget.in_use_bytes)])
    options = {"max_message_bytes": 1 << 16, "options": AsgiOptions(), **more}
    app.bind(router, TransportOptions(budget=budget, now=clock.now, **options))
    return app, budget


async def call(method, events, *headers, extensions=None, **more):
    """Give the application one call; return what it sent: status, text, messages, head, trailers."""
    app, budget = bound_app(**more)
    left = list(events)
    sent = []

    async def receive():
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(event):
        sent.append(event)

    scope = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": RPC_PREFIX + method,
        "headers": [(b"content-type", b"application/grpc"), *headers],
        "extensions": extensions or {},
    }
    await app(scope, receive, send)
    assert budget.in_use_bytes == 0
    head = dict(sent[0]["headers"])
    trailers = dict(sent[-1]["headers"]) if sent[-1]["type"] == "http.response.trailers" else {}
    said = trailers or head
    body = b"".join(event.get("body", b"") for event in sent)
    messages = []
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        messages.append(gzip.decompress(body[5 : 5 + size]) if flag else body[5 : 5 + size])
        body = body[5 + size :]
    return (
        int(said[b"grpc-status"]),
        unquote(said.get(b"grpc-message", b"").decode()),
        messages,
        head,
        trailers,
    )


A, B = framed(b"a" * 3), framed(b"b" * 5)
GZIP = (b"grpc-encoding", b"gzip")


@pytest.mark.parametrize(
    ("events", "headers", "expected"),
    [
        pytest.param([A + B], (), [3, 5], id="two frames in one event"),
        pytest.param([A, B, b""], (), [3, 5], id="an event for each, and the end in one of its own"),
        pytest.param([A[:2], A[2:] + B[:6], B[6:]], (), [3, 5], id="cut within prefix and message"),
        pytest.param([b"", A, b"", B], (), [3, 5], id="empty events between"),
        pytest.param([framed(b"") * 3], (), [0, 0, 0], id="empty messages"),
        pytest.param([b""], (), [], id="no message"),
        pytest.param(
            [framed(gzip.compress(b"c" * 9), 1) + A], (GZIP,), [9, 3], id="each message has a flag of its own"
        ),
    ],
)
async def test_messages_of_a_client_that_streams(events, headers, expected):
    status, _, messages, _, _ = await call("Sizes", events, *headers)
    assert (status, json.loads(messages[0])) == (0, expected)


@pytest.mark.parametrize(
    ("events", "status", "text"),
    [
        pytest.param([A[:-1]], 13, "expected 1 bytes more", id="a length beyond the body"),
        pytest.param([A + B[:3]], 13, "a prefix of 5 bytes, got 3", id="a prefix beyond the body"),
        pytest.param([A + b"\x02\0\0\0\0"], 13, "the flag 0 or 1, got 2", id="an unknown flag"),
        pytest.param([A + framed(b"x", 1)], 13, "expected grpc-encoding", id="compressed by nothing"),
        pytest.param([A + b"\0\0\1\0\1"], 8, "at most 65536 bytes, got 65537", id="over the limit"),
    ],
)
async def test_a_stream_that_goes_wrong_after_its_first_message(events, status, text):
    seen, message, _, _, _ = await call("Sizes", events)
    assert seen == status
    assert text in message


@pytest.mark.parametrize("size_bytes", [1 << 16, (1 << 16) + 1])
async def test_the_limit_holds_for_a_message_that_comes_whole(size_bytes):
    status, _, messages, _, _ = await call("Echo", [framed(b"x" * size_bytes)], max_message_bytes=1 << 16)
    assert status == (0 if size_bytes == 1 << 16 else 8)
    assert [len(message) for message in messages] == ([size_bytes] if status == 0 else [])


async def test_the_budget_holds_for_a_message_that_comes_whole():
    status, text, _, _, _ = await call("Echo", [framed(bytes(1 << 21))], max_message_bytes=1 << 22)
    assert status == 8
    assert "bodies in flight" in text


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (b"2H", 7200.0),
        (b"3M", 180.0),
        (b"30S", 30.0),
        (b"501m", 0.501),
        (b"250000u", 0.25),
        (b"99999999n", 0.099999999),
    ],
)
async def test_timeouts_of_every_unit_become_deadlines(said, seconds):
    _, _, messages, _, _ = await call("Facts", [framed(b"")], (b"grpc-timeout", said))
    assert json.loads(messages[0])["deadline_in_s"] == pytest.approx(seconds)


@pytest.mark.parametrize("said", [b"", b"1", b"S", b"1s", b"123456789S", b"-1S", b"1.5S"])
async def test_timeouts_that_are_none_are_refused(said):
    status, text, _, _, _ = await call("Facts", [framed(b"")], (b"grpc-timeout", said))
    assert status == 3
    assert "grpc-timeout" in text


async def test_a_deadline_passes_while_the_message_comes():
    """No server enforces it for us; a client that sends slowly is not waited for longer than it asked."""
    app, _ = bound_app()
    sent = []

    async def receive():
        await asyncio.Event().wait()

    async def send(event):
        sent.append(event)

    headers = [(b"content-type", b"application/grpc"), (b"grpc-timeout", b"1m")]
    scope = {"type": "http", "method": "POST", "path": RPC_PREFIX + "Echo", "headers": headers}
    await asyncio.wait_for(app(scope, receive, send), 60)
    assert dict(sent[0]["headers"])[b"grpc-status"] == b"4"


@pytest.mark.parametrize("pad", [b"", b"=="])
async def test_binary_metadata_is_base64_both_ways(pad):
    encoded = base64.b64encode(b"\0\xffab").rstrip(b"=") + pad
    _, _, _, head, trailers = await call("Echo", [framed(b"")], (b"probe-raw-bin", encoded))
    assert head[b"probe-raw-bin"] == trailers[b"probe-raw-bin"] == base64.b64encode(b"\0\xffab").rstrip(b"=")


async def test_a_header_in_another_case_is_the_same_header():
    _, _, messages, _, _ = await call("Facts", [framed(b"")], (b"X-Probe", b"text"), (b"Grpc-Timeout", b"1S"))
    facts = json.loads(messages[0])
    assert facts["metadata"]["x-probe"] == "text"
    assert facts["deadline_in_s"] == 1.0


@pytest.mark.parametrize("offers_trailers", [False, True])
async def test_an_error_without_a_message_is_in_the_head_or_in_real_trailers(offers_trailers):
    asked = json.dumps({"status": 9, "message": "größer als 100 %\n"}).encode()
    extensions = {"http.response.trailers": {}} if offers_trailers else {}
    status, text, messages, head, trailers = await call("Fail", [framed(asked)], extensions=extensions)
    assert (status, text, messages) == (9, "größer als 100 %\n", [])
    assert (b"grpc-status" in head) is not offers_trailers
    said = trailers if offers_trailers else head
    assert said[b"grpc-message"] == b"gr%C3%B6%C3%9Fer als 100 %25%0A"
    assert said[b"probe-reason"] == b"as-asked"


async def test_a_large_answer_is_compressed_whole():
    body = b"0123456789abcdef" * (1 << 17)
    limits = {"max_message_bytes": 1 << 22, "budget_bytes": 1 << 23}
    status, _, messages, head, _ = await call(
        "Echo",
        [framed(gzip.compress(body), 1)],
        GZIP,
        (b"grpc-accept-encoding", b"gzip"),
        options=AsgiOptions(compression="gzip"),
        **limits,
    )
    assert (status, head[b"grpc-encoding"], [message == body for message in messages]) == (0, b"gzip", [True])


# --- when clients are looked for ------------------------------------------------------------------------


class Looking:
    """A call that notes when it begins to look for its client."""

    def __init__(self, begun):
        self._begun = begun

    def begin_to_look(self):
        self._begun.append(self)


async def test_what_ends_before_the_second_look_is_never_looked_for():
    watch, begun = DisconnectWatch(0.001), []
    short, long = Looking(begun), Looking(begun)
    watch.add(long)
    for _ in range(5):
        watch.add(short)
        watch.discard(short)
        watch.discard(short)
        await asyncio.sleep(0.002)
    assert begun == [long]


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_every_call_is_looked_for_once():
    watch, begun = DisconnectWatch(0.001), []
    calls = [Looking(begun) for _ in range(3)]
    for each in calls:
        watch.add(each)
    await until(lambda: len(begun) == 3)
    watch.add(calls[0])
    await until(lambda: len(begun) == 4)
    await asyncio.sleep(0.02)
    assert [begun.count(each) for each in calls] == [2, 1, 1]
