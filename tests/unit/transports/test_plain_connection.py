"""Connections whose requests are plain: what is answered without aiohttp, and what is handed over to it."""

from __future__ import annotations

import asyncio
import re

import pytest

from navi_core.budget import MemoryBudget
from navi_core.clock import ManualClock
from navi_core.contracts.service import HttpRoute, Operation, Response, Service
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.transports.http.handling import Handling
from navi_core.transports.http.options import HttpOptions
from navi_core.transports.http.plain_connection import PlainConnection

BUDGET_BYTES = 1 << 20


class Scripted(Service):
    """Answers each call as it is told to."""

    name = "scripted"

    def __init__(self, handler):
        self.handler = handler

    @classmethod
    def create(cls, context):
        raise NotImplementedError

    def http_routes(self):
        pattern = re.compile("/v1/.*")
        return (HttpRoute(verb="POST", pattern=pattern, handler=self.handler, operation=Operation.READ),)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.pieces = []
        self.ended = ""
        self.reading = True
        self.protocol = None

    def get_extra_info(self, name, default=None):
        return ("10.0.0.1", 4242) if name == "peername" else default

    def write(self, data):
        assert not self.ended
        self.pieces.append(data)

    def is_closing(self):
        return bool(self.ended)

    def close(self):
        self.ended = self.ended or "closed"

    def abort(self):
        self.ended = "aborted"

    def is_reading(self):
        return self.reading

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def set_protocol(self, protocol):
        self.protocol = protocol


class Aiohttp(asyncio.Protocol):
    """Stands where aiohttp's connection would."""

    def __init__(self, head_timeout_s, body_began_s):
        self.head_timeout_s = head_timeout_s
        self.body_began_s = body_began_s
        self.got = b""

    def data_received(self, data):
        self.got += data


class Loop:
    """The running loop, with timers that go off when they are told to."""

    def __init__(self, clock):
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.timers = []
        self.create_task = self.loop.create_task
        self.create_future = self.loop.create_future
        self.time = clock.now

    def call_later(self, delay_s, callback, *arguments):
        return self.call_at(self.time() + delay_s, callback, *arguments)

    def call_at(self, when_s, callback, *arguments):
        timer = asyncio.TimerHandle(when_s, callback, arguments, self.loop)
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        self.clock.advance(seconds)
        for timer in [each for each in self.timers if each.when() <= self.time()]:
            self.timers.remove(timer)
            if not timer.cancelled():
                timer._run()


class Played:
    """One connection of a server, played event by event."""

    def __init__(self, handler, **own):
        clock = ManualClock(100.0)
        self.budget = MemoryBudget(BUDGET_BYTES)
        self.options = TransportOptions(
            budget=self.budget, now=clock.now, max_message_bytes=BUDGET_BYTES << 1
        )
        self.handling = Handling(HostRouter([Scripted(handler)]), self.options, HttpOptions(**own), "http")
        self.loop = Loop(clock)
        self.open = set()
        self.wire = Wire()
        self.successor = None
        self.connection = PlainConnection(self.handling, self.hand_over, self.open, self.loop)
        self.connection.connection_made(self.wire)

    def hand_over(self, head_timeout_s, body_began_s):
        self.successor = Aiohttp(head_timeout_s, body_began_s)
        return self.successor

    async def send(self, data, turns=5):
        self.connection.data_received(data)
        for _ in range(turns):
            await asyncio.sleep(0)

    @property
    def written(self):
        return b"".join(self.wire.pieces)

    @property
    def handed_over(self):
        if self.successor is None:
            return None
        assert self.wire.protocol is self.successor
        assert not self.open
        return self.successor.got


def request(body=b"", *headers, target="/v1/x", announced=None):
    lines = [f"POST {target} HTTP/1.1", "Host: x", *headers]
    lines.append(f"Content-Length: {len(body) if announced is None else announced}")
    return "\r\n".join((*lines, "", "")).encode() + body


async def echo(call):
    return Response(status=200, headers=(("content-type", "x/y"),), body=call.body)


async def test_a_request_that_comes_whole_is_answered_in_one_write():
    calls = []

    async def keep(call):
        calls.append(call)
        return await echo(call)

    played = Played(keep)
    for number in range(3):
        await played.send(request(b"body", "X-A: b", target=f"/v1/x?n={number}"))
    assert len(played.wire.pieces) == 3
    head, _, body = played.wire.pieces[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: x/y\r\n")
    assert b"\r\nContent-Length: 4\r\n" in head
    assert body == b"body"
    assert [call.query for call in calls] == ["n=0", "n=1", "n=2"]
    call = calls[0]
    assert (call.verb, call.path, call.peer, call.transport) == ("POST", "/v1/x", "10.0.0.1", "http")
    assert (call.body, call.wire_size_bytes, call.metadata["x-a"], call.deadline) == (b"body", 4, "b", None)
    assert played.wire.ended == ""
    assert played.handed_over is None
    assert not len(played.handling.calls)
    assert not played.budget.in_use_bytes


async def test_a_body_may_come_later():
    played = Played(echo)
    whole = request(b"some body")
    await played.send(whole[:-5])
    assert played.budget.in_use_bytes == 9
    await played.send(whole[-5:-2])
    assert not played.written
    await played.send(whole[-2:])
    assert played.written.endswith(b"\r\n\r\nsome body")
    assert not played.budget.in_use_bytes
    played.loop.advance(2.0)
    assert played.handed_over is None


async def test_a_body_that_does_not_come_soon_is_handed_over_with_its_beginning():
    played = Played(echo)
    part = request(b"some body")[:-5]
    await played.send(part)
    played.loop.advance(1.1)
    assert played.handed_over == part
    assert played.successor.body_began_s == 100.0
    assert not played.budget.in_use_bytes


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/x HT",
        b"\x16\x03\x01",
        b"HEAD /v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
        request(b"x" * 9000, "X: " + "y" * 9000),
        request(b"{}", "Expect: 100-continue"),
        request(b"{}", announced=(BUDGET_BYTES << 1) + 1),  # over the limit
        request(b"{}", announced=(1 << 18) + 1),  # long, and not here
        request(b"{}", announced=3, target="/nowhere"),
        request(b"x" * (BUDGET_BYTES + 1)),  # over the budget
        request(b"one") + request(b"two"),
    ],
    ids=range(10),
)
async def test_what_is_not_plain_is_handed_over_as_it_came(data):
    played = Played(echo)
    played.loop.advance(10.0)
    await played.send(data)
    assert played.handed_over == data
    assert played.successor.head_timeout_s == 65.0
    assert not played.written
    assert not played.budget.in_use_bytes


async def test_more_than_was_announced_is_handed_over():
    played = Played(echo)
    await played.send(request(b"ab", announced=3))
    await played.send(b"cPOST ")
    assert played.handed_over == request(b"ab", announced=3) + b"cPOST "


async def test_what_comes_before_the_answer_is_handed_over_after_it():
    go = asyncio.Event()

    async def wait(call):
        await go.wait()
        return await echo(call)

    played = Played(wait)
    await played.send(request(b"one"))
    await played.send(request(b"two")[:20])
    await played.send(request(b"two")[20:])
    assert played.handed_over is None
    assert played.wire.reading
    await played.send(b"x" * (1 << 18))
    assert not played.wire.reading
    go.set()
    await asyncio.sleep(0.01)
    assert played.written.endswith(b"\r\n\r\none")
    assert played.handed_over == request(b"two") + b"x" * (1 << 18)
    assert played.wire.reading


async def test_a_connection_without_requests_is_closed():
    played = Played(echo)
    played.loop.advance(70.0)
    await played.send(request(b"x"))
    played.loop.advance(70.0)
    assert played.wire.ended == ""
    played.loop.advance(5.1)
    assert played.wire.ended == "closed"


async def test_a_connection_whose_handler_runs_stays_open():
    async def never(call):
        await asyncio.Event().wait()

    played = Played(never)
    await played.send(request(b"x"))
    played.loop.advance(1000.0)
    assert played.wire.ended == ""
    assert played.connection.close() is not None
    played.connection.connection_lost(None)
    await asyncio.sleep(0.01)
    assert not len(played.handling.calls)


async def test_a_client_that_goes_cancels_the_handler():
    told = []

    async def never(call):
        call.on_cancel(lambda: told.append(1))
        await asyncio.Event().wait()

    played = Played(never)
    await played.send(request(b"x"))
    played.connection.connection_lost(ConnectionResetError())
    await asyncio.sleep(0.01)
    assert told == [1]
    assert not played.written
    assert not played.budget.in_use_bytes
    assert not played.open
    played.loop.advance(1000.0)


async def test_a_client_that_goes_before_its_body_has_come_holds_nothing():
    played = Played(echo)
    await played.send(request(b"x", announced=100))
    played.connection.connection_lost(None)
    assert not played.budget.in_use_bytes
    played.loop.advance(1000.0)
    assert played.successor is None


async def test_a_client_that_goes_before_the_handler_has_begun_holds_nothing():
    played = Played(echo)
    await played.send(request(b"x"), turns=0)
    assert played.budget.in_use_bytes == 1
    played.connection.connection_lost(None)
    await asyncio.sleep(0.01)
    assert not played.budget.in_use_bytes
    assert not played.written
    assert not len(played.handling.calls)


async def test_early_answers_and_the_last_one():
    played = Played(echo)
    await played.send(request(b"x", target="/nowhere"))
    assert played.written.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert played.wire.ended == ""
    await played.send(request(b"x", "Connection: close"))
    assert b"\r\nConnection: close\r\n" in played.wire.pieces[-1]
    assert played.wire.ended == "closed"


async def test_a_deadline_that_cannot_be_read():
    played = Played(echo)
    await played.send(request(b"x", "Request-Timeout-Ms: soon"))
    assert played.written.startswith(b"HTTP/1.1 400 ")
    assert b"request-timeout-ms: expected a number above 0" in played.written


async def test_while_draining_every_answer_is_the_last():
    played = Played(echo)
    played.handling.is_draining = True
    await played.send(request(b"x"))
    assert b"\r\nConnection: close\r\n" in played.written
    assert played.wire.ended == "closed"


@pytest.mark.parametrize("headers", [(("x", "\n"),), (("x y", "z"),)])
async def test_an_answer_that_cannot_be_written_is_an_internal_error(headers, caplog):
    async def bad(call):
        return Response(status=200, headers=headers, body=b"secret")

    played = Played(bad)
    await played.send(request(b"x"))
    assert played.written.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in played.written
    assert "cannot be written" in caplog.text


async def test_a_handler_that_breaks(caplog):
    async def broken(call):
        raise RuntimeError("secret")

    played = Played(broken)
    await played.send(request(b"x"))
    assert played.written.endswith(b'{"error":"internal error"}')
    assert "failed" in caplog.text


async def test_a_large_answer_is_not_joined_to_its_head():
    large = b"x" * 100_000

    async def answer(call):
        return Response(status=200, body=large)

    played = Played(answer, compression="none")
    await played.send(request())
    assert played.wire.pieces[1] is large


async def test_an_answer_is_compressed_for_those_who_take_it():
    async def answer(call):
        return Response(status=200, body=b"x" * 5000)

    played = Played(answer)
    await played.send(request(b"", "Accept-Encoding: gzip"))
    assert b"\r\ncontent-encoding: gzip\r\n" in played.written
    await played.send(request())
    assert played.wire.pieces[-1].endswith(b"\r\n\r\n" + b"x" * 5000)


async def test_no_content_has_none():
    async def nothing(call):
        return Response(status=204, body=b"ignored")

    played = Played(nothing)
    await played.send(request())
    assert played.written.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"ignored" not in played.written
    assert b"ontent-" not in played.written


async def test_the_next_request_waits_until_the_client_takes_the_answer():
    written = []

    async def answer(call):
        return Response(status=200, body=b"x", on_written=lambda: written.append(1))

    played = Played(answer)
    played.connection.pause_writing()
    await played.send(request())
    assert played.written
    assert not written
    played.connection.resume_writing()
    await asyncio.sleep(0.01)
    assert written == [1]


def streaming(*chunks, failure=None):
    async def produce():
        for chunk in chunks:
            yield chunk
        if failure is not None:
            raise failure

    async def answer(call):
        return Response(status=200, stream=produce())

    return answer


async def test_a_stream_goes_out_in_chunks():
    played = Played(streaming(b"one", b"", memoryview(b"two" * 7)))
    await played.send(request(), turns=20)
    head, _, body = played.written.partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert body == b"3\r\none\r\n15\r\n" + b"two" * 7 + b"\r\n0\r\n\r\n"
    assert played.wire.ended == ""


async def test_a_stream_of_nothing():
    played = Played(streaming())
    await played.send(request(), turns=20)
    assert played.written.endswith(b"\r\n\r\n0\r\n\r\n")


async def test_a_stream_that_breaks_at_once_is_an_internal_error(caplog):
    played = Played(streaming(failure=RuntimeError("secret")))
    await played.send(request(), turns=20)
    assert played.written.startswith(b"HTTP/1.1 500 ")


async def test_a_stream_that_breaks_is_cut_off(caplog):
    played = Played(streaming(b"one", failure=RuntimeError("secret")))
    await played.send(request(), turns=20)
    assert played.written.endswith(b"3\r\none\r\n")
    assert played.wire.ended == "aborted"


async def test_nobody_takes_over_once_the_server_has_stopped():
    played = Played(echo)
    played.connection._hand_over = lambda *_: None
    await played.send(b"HEAD / HTTP/1.1\r\n\r\n")
    assert played.wire.ended == "aborted"
