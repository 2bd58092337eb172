"""The access log: one line a request, whatever becomes of it, and an id that goes to the client."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from contextlib import aclosing

import pytest

from navi_core.access_log import AccessLog
from navi_core.contracts.events import RequestFinished
from navi_core.contracts.service import (
    Call,
    HttpRoute,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    StreamError,
)
from navi_core.errors import DrainingError, ErrorCode
from navi_core.request_ids import current_request_id
from navi_core.routing import HostRouter

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Clock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def access_log(clock, lines):
    def write(level, event, fields):
        lines.append({"level": level, "event": event, **fields})

    return AccessLog(write, quiet=("probes",), now=clock)


def finished(**changes):
    values = {
        "model": "m",
        "version": 7,
        "signature": "serving_default",
        "service": "tf_serving",
        "transport": "grpc",
        "method": "Predict",
        "code": ErrorCode.OK,
        "reason": "",
        "num_rows": 3,
        "batch_rows": 3,
        "queue_seconds": 0.0,
        "run_seconds": 0.0,
        "total_seconds": 0.0,
    }
    return RequestFinished(**{**values, **changes})


def router(handler, access_log, *, name="svc", kind=RpcKind.UNARY, operation=Operation.INFER):
    class Fake(Service):
        def rpc_methods(self):
            return {"/a.B/C": RpcMethod(kind=kind, handler=handler, operation=operation)}

        def http_routes(self):
            return [
                HttpRoute(verb="POST", pattern=re.compile("/m/(.*)"), handler=handler, operation=operation)
            ]

        @classmethod
        def create(cls, context):
            return cls()

    Fake.name = name
    return HostRouter([Fake()], access_log=access_log)


def rpc(handler, access_log, **more):
    return router(handler, access_log, **more).rpc("/a.B/C").handler


def route(handler, access_log, **more):
    return router(handler, access_log, **more).http("POST", "/m/x", "").route.handler


def rpc_call(**more):
    return Call(path="/a.B/C", transport="grpc", peer="ipv4:10.0.0.7:1234", **more)


async def test_a_request__is_one_line_with_what_service_and_data_plane_know(access_log, clock, lines):
    async def handler(call):
        access_log.request_finished(finished())
        clock.seconds += 0.0125
        return Response(status=0, body=b"12345")

    metadata = {"x-request-id": "mine-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    response = await rpc(handler, access_log)(rpc_call(body=b"123", wire_size_bytes=2, metadata=metadata))
    assert lines == [
        {
            "event": "request",
            "level": logging.INFO,
            "service": "svc",
            "transport": "grpc",
            "path": "/a.B/C",
            "status": 0,
            "code": "OK",
            "request_id": "mine-1",
            "trace_id": TRACE,
            "duration_ms": 12.5,
            "request_bytes": 2,
            "response_bytes": 5,
            "peer": "ipv4:10.0.0.7:1234",
            "model": "m",
            "version": 7,
            "rows": 3,
        }
    ]
    assert response.body == b"12345"
    assert response.trailers == (("x-request-id", "mine-1"),)
    assert response.headers == ()


async def test_over_http__the_id_is_a_header_and_the_line_has_the_method(access_log, lines):
    shared = Response(status=404, body=[b"12", memoryview(b"345")], headers=(("content-type", "text/plain"),))

    async def handler(call):
        return shared

    call = Call(path="/m/x", verb="POST", query="token=secret", metadata={"x-request-id": "mine"})
    response = await route(handler, access_log)(call)
    assert response.headers == (("content-type", "text/plain"), ("x-request-id", "mine"))
    assert shared.headers == (("content-type", "text/plain"),)
    (line,) = lines
    assert (line["method"], line["path"], line["status"]) == ("POST", "/m/x", 404)
    assert line["response_bytes"] == 5
    assert "secret" not in repr(line)
    assert None not in line.values()


@pytest.mark.parametrize("metadata", [{}, {"x-request-id": "two words"}, {"x-request-id": "x" * 500}])
async def test_without_a_sane_id__one_is_made_and_everybody_sees_the_same(access_log, lines, metadata):
    seen = []

    async def handler(call):
        seen.append((call.metadata["x-request-id"], current_request_id.get()))
        return Response(status=0)

    response = await rpc(handler, access_log)(rpc_call(metadata=metadata))
    made = lines[0]["request_id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert seen == [(made, made)]
    assert response.trailers == (("x-request-id", made),)
    assert current_request_id.get() is None


async def test_what_the_router_refuses__is_refused_at_once_and_logged(access_log, lines):
    async def handler(call):
        raise AssertionError("it is not asked")

    drained = router(handler, access_log)
    drained.begin_drain()
    with pytest.raises(DrainingError):
        drained.rpc("/a.B/C").handler(rpc_call())
    (line,) = lines
    assert line["code"] == "UNAVAILABLE"
    assert "status" not in line


async def test_a_bug__is_logged_and_its_traceback_has_the_id(access_log, lines):
    async def handler(call):
        raise KeyError("of ours")

    with pytest.raises(KeyError) as raised:
        await rpc(handler, access_log)(rpc_call(metadata={"x-request-id": "mine"}))
    assert lines[0]["code"] == "INTERNAL"
    assert "request id: mine" in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("deadline", "code"), [(None, "CANCELLED"), (101.0, "CANCELLED"), (99.0, "DEADLINE_EXCEEDED")]
)
async def test_a_request_that_is_given_up__is_logged_as_such(access_log, lines, deadline, code):
    begun = asyncio.Event()

    async def handler(call):
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(rpc(handler, access_log)(rpc_call(deadline=deadline)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [line["code"] for line in lines] == [code]


async def test_several_inferences_of_one_request__are_one_line_and_the_failed_one_is_named(access_log, lines):
    async def handler(call):
        access_log.request_finished(finished())
        access_log.request_finished(
            finished(
                model="bad", version=2, code=ErrorCode.RESOURCE_EXHAUSTED, reason="queue_rows", num_rows=0
            )
        )
        access_log.request_finished(finished(num_rows=4))
        return Response(status=8)

    await rpc(handler, access_log)(rpc_call())
    (line,) = lines
    assert (line["model"], line["version"], line["code"], line["reason"]) == (
        "bad",
        2,
        "RESOURCE_EXHAUSTED",
        "queue_rows",
    )
    assert (line["rows"], line["inferences"]) == (7, 3)


async def stream_of(access_log, *pieces, error=None, closed=None):
    try:
        for piece in pieces:
            access_log.request_finished(finished(num_rows=1))
            yield piece
        if error is not None:
            raise error
    finally:
        if closed is not None:
            closed.append(True)


async def test_a_stream__is_one_line_at_its_end(access_log, clock, lines):
    async def handler(call):
        return Response(status=0, stream=stream_of(access_log, b"12", [b"3", b"45"]))

    response = await rpc(handler, access_log, kind=RpcKind.BIDI)(rpc_call())
    pieces = []
    async for piece in response.stream:
        assert current_request_id.get() is None  # whoever writes the pieces is somebody else
        assert lines == []
        clock.seconds += 1
        pieces.append(piece)
    assert pieces == [b"12", [b"3", b"45"]]
    (line,) = lines
    assert (line["status"], line["response_bytes"], line["rows"], line["inferences"]) == (0, 5, 2, 2)
    assert line["duration_ms"] == 2000.0


@pytest.mark.parametrize(
    ("error", "outcome"), [(StreamError(3, "no"), {"status": 3}), (KeyError("bug"), {"code": "INTERNAL"})]
)
async def test_a_stream_that_fails__is_logged_with_how_it_ended(access_log, lines, error, outcome):
    async def handler(call):
        return Response(status=0, stream=stream_of(access_log, error=error))

    response = await rpc(handler, access_log, kind=RpcKind.SERVER_STREAM)(rpc_call())
    with pytest.raises(type(error)):
        await anext(response.stream)
    (line,) = lines
    assert {key: line[key] for key in ("status", "code") if key in line} == outcome


async def test_a_stream_that_nobody_takes_to_its_end__is_closed_and_logged(access_log, lines):
    closed = []

    async def handler(call):
        return Response(status=0, stream=stream_of(access_log, b"1", b"2", closed=closed))

    response = await rpc(handler, access_log, kind=RpcKind.SERVER_STREAM)(rpc_call())
    async with aclosing(response.stream) as stream:
        assert await anext(stream) == b"1"
    assert closed == [True]
    assert [line["code"] for line in lines] == ["CANCELLED"]


async def test_requests_at_once__do_not_mix(access_log, lines):
    turn = asyncio.Event()

    async def handler(call):
        await turn.wait()
        access_log.request_finished(finished(model=call.metadata["x-request-id"]))
        return Response(status=0)

    ask = rpc(handler, access_log)
    asked = [asyncio.ensure_future(ask(rpc_call(metadata={"x-request-id": f"id{i}"}))) for i in range(8)]
    await asyncio.sleep(0)
    turn.set()
    await asyncio.gather(*asked)
    assert [(line["request_id"], line["model"]) for line in lines] == [(f"id{i}", f"id{i}") for i in range(8)]


async def test_probes__are_logged_for_those_who_want_all(access_log, lines):
    async def handler(call):
        return Response(status=200)

    await rpc(handler, access_log, name="probes", operation=Operation.READ)(rpc_call())
    assert [line["level"] for line in lines] == [logging.DEBUG]


async def test_a_path__cannot_write_on_the_terminal_and_has_an_end(access_log, lines):
    async def handler(call):
        return Response(status=200)

    for path in ("/m/\x1b[31m\n", "/m/" + "x" * 10_000):
        await route(handler, access_log)(Call(path=path, verb="POST"))
    assert lines[0]["path"] == r"/m/\x1b[31m\n"
    assert len(lines[1]["path"]) == 259


async def test_without_it__handlers_are_what_they_were():
    async def handler(call):
        return Response(status=0)

    assert rpc(handler, None, operation=Operation.READ) is handler


def test_an_event_without_a_request__is_nobodys(access_log, lines):
    access_log.request_finished(finished())
    assert lines == []
