"""The ASGI application event by event: what a foreign server hands over and gets."""

from __future__ import annotations

import asyncio
import gzip
import struct

import pytest

from navi_core.budget import MemoryBudget
from navi_core.clock import ManualClock
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.testing.transport_probe import RPC_PREFIX, ProbeService
from navi_core.transports.asgi.app import AsgiApp
from navi_core.transports.asgi.options import AsgiOptions
from navi_core.transports.asgi.rpc import is_grpc


def bound_app(**more):
    app = AsgiApp("asgi")
    clock, budget = ManualClock(), MemoryBudget(1 << 20)
    router = HostRouter([ProbeService(clock.now, lambda: budget.in_use_bytes)])
    options = {"max_message_bytes": 1 << 16, "options": AsgiOptions(), **more}
    app.bind(router, TransportOptions(budget=budget, now=clock.now, **options))
    return app


def framed(message, flag=0):
    return struct.pack(">BI", flag, len(message)) + message


async def run(app, body, *headers, path=RPC_PREFIX + "Echo", content_type="application/grpc", **more):
    """Give the application one request; return the events it sent."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    received, sent = [], []

    async def receive():
        received.append(None)
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event):
        sent.append(event)

    scope = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": path,
        "headers": [(b"content-type", content_type.encode()), *headers],
        **more,
    }
    await app(scope, receive, send)
    return sent


def status_of(events):
    """Return grpc-status and grpc-message, from wherever they are."""
    pairs = dict(events[0]["headers"]) | dict(events[-1].get("headers", ()))
    return int(pairs[b"grpc-status"]), pairs.get(b"grpc-message", b"").decode()


async def test_an_ok_answer_is_head_message_and_trailers():
    events = await run(bound_app(), framed(b"hello"))
    assert [event["type"] for event in events] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert events[0]["status"] == 200
    assert events[0]["trailers"] is True
    assert (b"content-type", b"application/grpc") in events[0]["headers"]
    assert events[1] == {"type": "http.response.body", "body": framed(b"hello"), "more_body": False}
    assert list(events[2]["headers"]) == [(b"grpc-status", b"0")]


@pytest.mark.parametrize("offers", [False, True])
async def test_an_error_is_trailers_only_unless_the_server_offers_trailers(offers):
    extensions = {"http.response.trailers": {}} if offers else {}
    events = await run(bound_app(), framed(b""), path="/no.Such/Method", extensions=extensions)
    assert status_of(events) == (12, "unknown method /no.Such/Method")
    assert [event["type"].rpartition(".")[2] for event in events] == [
        "start",
        "body",
        *(["trailers"] * offers),
    ]
    in_head = b"grpc-status" in dict(events[0]["headers"])
    assert in_head is not offers
    assert events[1]["body"] == b""


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"", (), 12, "expected one message, got none"),
        (framed(b"a") + framed(b"b"), (), 12, "expected one message, got more"),
        (framed(b"abc")[:-1], (), 13, "1 bytes more"),
        (b"\0\0", (), 13, "a prefix of 5 bytes, got 2"),
        (framed(b"abc", flag=2), (), 13, "flag 0 or 1"),
        (b"\0\xff\xff\xff\xff", (), 8, "at most 65536 bytes"),
        (framed(b"abc", flag=1), (), 13, "grpc-encoding"),
        (framed(b"abc", flag=1), ((b"grpc-encoding", b"gzip"),), 3, "expected gzip data"),
        (framed(b"abc"), ((b"grpc-encoding", b"br"),), 12, "grpc-encoding"),
        (framed(b"abc"), ((b"grpc-timeout", b"soon"),), 3, "grpc-timeout"),
        (framed(b"abc"), ((b"x-bin", b"!!!"),), 3, "x-bin"),
        (framed(gzip.compress(bytes(1 << 17)), flag=1), ((b"grpc-encoding", b"gzip"),), 8, "after inflating"),
    ],
)
async def test_what_a_client_may_get_wrong(body, headers, status, text):
    seen, message = status_of(await run(bound_app(), body, *headers))
    assert seen == status
    assert text in message


@pytest.mark.parametrize("cut", [1, 3, 7])
async def test_a_body_may_come_in_any_pieces(cut):
    data = framed(b"hello world")
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    events = await run(bound_app(), [*pieces, b""])
    assert events[1]["body"] == data


async def test_a_compressed_request_and_an_uncompressed_message_beside_an_encoding():
    header = (b"grpc-encoding", b"gzip")
    for data in (framed(gzip.compress(b"hello"), flag=1), framed(b"hello")):
        events = await run(bound_app(), data, header)
        assert events[1]["body"] == framed(b"hello")


@pytest.mark.parametrize(("accepts", "compressed"), [(b"gzip", True), (b"identity", False), (b"", False)])
async def test_answers_are_compressed_for_those_who_accept_it(accepts, compressed):
    app = bound_app(options=AsgiOptions(compression="gzip", compression_min_bytes=100))
    body = b"x" * 1000
    events = await run(app, framed(body), (b"grpc-accept-encoding", accepts))
    assert ((b"grpc-encoding", b"gzip") in events[0]["headers"]) is compressed
    answer = events[1]["body"]
    assert answer[0] == compressed
    assert (gzip.decompress(answer[5:]) if compressed else answer[5:]) == body


async def test_an_answer_over_the_limit_is_an_error():
    limits = {"max_message_bytes": 600}
    events = await run(bound_app(**limits), framed(b""), path=RPC_PREFIX + "Facts")
    assert status_of(events)[0] == 0
    tight = {"max_message_bytes": 100}
    status, text = status_of(await run(bound_app(**tight), framed(b""), path=RPC_PREFIX + "Facts"))
    assert status == 8
    assert "answer: expected at most 100 bytes" in text


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;x=y", True),
        (b"application/grpc-web", False),
        (b"application/grpcx", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_content_types_of_grpc(content_type, expected):
    assert is_grpc(content_type) is expected


async def test_other_content_types_are_http():
    events = await run(bound_app(), b"{}", content_type="application/grpc-web", path="/nowhere")
    assert events[0]["status"] == 404


async def test_before_it_is_bound_it_asks_to_come_again():
    events = await run(AsgiApp("asgi"), framed(b""))
    assert events[0]["status"] == 503
    assert (b"retry-after", b"1") in events[0]["headers"]


async def test_a_web_socket_is_closed_and_other_scopes_are_refused():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(event):
        sent.append(event)

    await bound_app()({"type": "websocket"}, receive, send)
    assert [event["type"] for event in sent] == ["websocket.close"]
    with pytest.raises(NotImplementedError, match=r"'smoke\.signals'"):
        await bound_app()({"type": "smoke.signals"}, receive, send)


async def lifespan(app):
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent = []

    async def receive():
        return next(events)

    async def send(event):
        sent.append(event)

    await app({"type": "lifespan"}, receive, send)
    return sent


async def test_the_lifespan_starts_and_stops_the_host():
    done = []

    async def up():
        done.append("up")

    async def down():
        done.append("down")

    sent = await lifespan(AsgiApp("asgi", on_startup=up, on_shutdown=down))
    assert [event["type"] for event in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert done == ["up", "down"]
    assert len(await lifespan(AsgiApp("asgi"))) == 2


async def test_a_host_that_cannot_start_says_why():
    async def up():
        raise RuntimeError("models[0].path: no such directory")

    sent = await lifespan(AsgiApp("asgi", on_startup=up))
    assert sent == [{"type": "lifespan.startup.failed", "message": "models[0].path: no such directory"}]


async def test_short_calls_never_look_for_a_disconnect():
    looks = []
    pieces = [framed(b"x")]

    async def receive():
        looks.append(None)
        return {"type": "http.request", "body": pieces.pop() if pieces else b"", "more_body": False}

    async def send(event):
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": RPC_PREFIX + "Echo",
        "headers": [(b"content-type", b"application/grpc")],
    }
    await bound_app()(scope, receive, send)
    assert len(looks) == 1


async def test_a_send_that_fails_is_the_end_of_the_call_and_not_an_error():
    class GoneError(Exception):
        pass

    pieces = [framed(b"x")]

    async def receive():
        return {"type": "http.request", "body": pieces.pop() if pieces else b"", "more_body": False}

    async def send(event):
        raise GoneError

    scope = {
        "type": "http",
        "method": "POST",
        "path": RPC_PREFIX + "Echo",
        "headers": [(b"content-type", b"application/grpc")],
    }
    app = bound_app()
    await app(scope, receive, send)
    # what was written and what was not, both let go of their buffers
    events = await run(app, framed(b""), path=RPC_PREFIX + "Counters")
    assert b'"answered": 1, "written": 1' in events[1]["body"]
    await asyncio.sleep(0)
