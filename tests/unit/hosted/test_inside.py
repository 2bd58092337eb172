"""The application inside a foreign server, and its launcher, without a server: sockets and loops only."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading

import pytest
from structlog.testing import capture_logs

from navi_core.contracts.foreign import ForeignServer, LaunchPlan
from navi_core.contracts.transport import Address, Transport
from navi_core.errors import ConfigError, LifecycleError
from navi_core.hosted import inside, launcher
from navi_core.hosted.control import ControlChannel
from navi_core.hosted.inside import InsideApp, Tenant
from navi_core.hosted.launcher import Launched
from navi_core.hosted.orders import ORDERS_VARIABLE, Orders, orders_from_environment


class Lodger(Tenant):
    """Answers with the thread that it lives on; obeys what it understands."""

    refusal: Exception | None = None

    def __init__(self, orders):
        self.orders = orders
        self.stopped = False

    async def start(self):
        if self.refusal is not None:
            raise self.refusal
        return self.serve

    async def serve(self, scope, receive, send):
        event = await receive()
        await send({"body": event["body"], "thread": threading.get_ident()})

    async def obey(self, message):
        if message["do"] == "fall":
            raise ValueError("over")
        return {"event": "done", "did": message["do"]}

    async def stop(self):
        self.stopped = True


class InThread(ForeignServer):
    """A server on a thread of this process: it runs the application's lifespan, as a real one does."""

    def __init__(self, plan, app):
        self.plan = plan
        self.app = app
        self.calls = []
        self.sent = []
        self.inbox = None
        self.loop = None
        self.task = None

    async def start(self):
        os.environ[ORDERS_VARIABLE] = self.plan.environ[ORDERS_VARIABLE]
        self.inbox = asyncio.Queue()
        self.task = asyncio.create_task(self.app({"type": "lifespan"}, self.inbox.get, self._send))
        await self.inbox.put({"type": "lifespan.startup"})
        while not self.sent:
            await asyncio.sleep(0.001)
        if self.sent[0]["type"] != "lifespan.startup.complete":
            raise LifecycleError("the server says less well what was wrong")
        return [Address("grpc", "127.0.0.1", 8500)]

    async def _send(self, event):
        self.sent.append(event)

    async def begin_drain(self):
        self.calls.append("begin_drain")

    async def drain(self, timeout_s):
        self.calls.append("drain")

    async def stop(self):
        self.calls.append("stop")
        if self.task is not None and not self.task.done():
            await self.inbox.put({"type": "lifespan.shutdown"})
            await asyncio.wait({self.task}, timeout=1)
            self.task.cancel()

    async def wait(self):
        await asyncio.Event().wait()


class Landlord(Transport):
    name = "landlord"
    hosting = "hosts_us"
    carries = frozenset({"rpc"})
    default_port = 1

    def __init__(self, app):
        self.app = app
        self.server = None

    async def start(self, router, options):
        return ()

    async def drain(self, timeout_s):
        pass

    async def stop(self):
        pass

    def launch(self, plan):
        # the process of a real server has a descriptor of its own
        fd = os.dup(plan.pass_fds[-1])
        orders = Orders(control_fd=fd, extra={"colour": "red"})
        plan = LaunchPlan(app=plan.app, environ=orders.variables(), pass_fds=(fd,))
        self.server = InThread(plan, self.app)
        return self.server


def launched(kind=Lodger):
    tenants = []

    def make(orders):
        tenants.append(kind(orders))
        return tenants[-1]

    landlord = Landlord(InsideApp(make))
    return Launched(landlord, LaunchPlan(app="a:b"), Orders(control_fd=-1)), landlord, tenants


async def test_it_starts_obeys_drains_and_stops_in_order():
    there, landlord, tenants = launched()
    (address,) = await there.start()
    assert str(address) == "grpc://127.0.0.1:8500"
    assert tenants[0].orders.extra == {"colour": "red"}
    assert (await there.ask(do="dance"))["did"] == "dance"
    with pytest.raises(LifecycleError, match="ValueError: over"):
        await there.ask(do="fall")
    await there.drain(1.0)
    await there.stop()
    assert landlord.server.calls == ["begin_drain", "drain", "stop"]
    assert tenants[0].stopped


@pytest.mark.parametrize("error", [ConfigError("bad", path="models[0]"), LifecycleError("bad luck")])
async def test_why_it_does_not_start_comes_from_inside_as_it_was_said(error, monkeypatch):
    monkeypatch.setattr(inside, "_KILL_WAIT_S", 0.01)

    class Picky(Lodger):
        refusal = error

    there, landlord, _ = launched(Picky)
    with pytest.raises(type(error)) as caught:
        await there.start()
    assert caught.value.message == error.message
    assert landlord.server.calls == ["stop"]


async def test_a_start_that_takes_long_says_what_it_waits_for(monkeypatch):
    class Dreamer(Lodger):
        async def start(self):
            await asyncio.sleep(0.1)
            return self.serve

    monkeypatch.setattr(launcher, "_PATIENCE_S", 0.02)
    there, _, _ = launched(Dreamer)
    with capture_logs() as logs:
        await there.start()
    await there.stop()
    waits = [each["waits_for"] for each in logs if each["event"] == "start_takes_long"]
    assert waits[0] == "application"


async def test_a_bug_inside_ends_the_start_with_its_name(monkeypatch):
    monkeypatch.setattr(inside, "_KILL_WAIT_S", 0.01)

    class Buggy(Lodger):
        refusal = KeyError("there")

    there, _, _ = launched(Buggy)
    with pytest.raises(LifecycleError, match="KeyError: 'there'"):
        await there.start()


async def test_when_the_launcher_has_gone_the_server_is_ended(monkeypatch):
    ended = asyncio.Event()
    monkeypatch.setattr(
        os,
        "kill",
        lambda pid, number: ended.set() if (pid, number) == (os.getpid(), signal.SIGTERM) else None,
    )
    ours, theirs = socket.socketpair()
    monkeypatch.setenv(ORDERS_VARIABLE, Orders(control_fd=theirs.detach()).variables()[ORDERS_VARIABLE])
    inbox: asyncio.Queue[dict] = asyncio.Queue()
    await inbox.put({"type": "lifespan.startup"})
    outbox: asyncio.Queue[dict] = asyncio.Queue()
    living = asyncio.create_task(InsideApp(Lodger)({"type": "lifespan"}, inbox.get, outbox.put))
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    ours.close()
    await asyncio.wait_for(ended.wait(), 60)
    await inbox.put({"type": "lifespan.shutdown"})
    await living


async def test_a_further_lifespan_may_be_begun_where_no_loop_runs():
    there, landlord, _ = launched()
    await there.start()

    async def nothing(*_events):
        raise AssertionError

    await asyncio.to_thread(lambda: landlord.app({"type": "lifespan"}, nothing, nothing).close())
    await there.stop()


async def test_requests_of_other_loops_are_carried_to_the_tenant_s():
    there, landlord, _ = launched()
    await there.start()
    app = landlord.app
    sent, seen = [], []

    async def elsewhere():
        async def receive():
            seen.append(threading.get_ident())
            return {"type": "http.request", "body": b"far", "more_body": False}

        async def send(event):
            seen.append(threading.get_ident())
            sent.append(event)

        events: asyncio.Queue[dict] = asyncio.Queue()
        await events.put({"type": "lifespan.startup"})
        await events.put({"type": "lifespan.shutdown"})
        said = []

        async def say(event):
            said.append(event["type"])

        await app({"type": "lifespan"}, events.get, say)
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        await app({"type": "http"}, receive, send)
        return threading.get_ident()

    there_thread = await asyncio.to_thread(asyncio.run, elsewhere())
    assert sent == [{"body": b"far", "thread": threading.get_ident()}]
    assert seen == [there_thread] * 2
    await there.stop()


async def test_a_request_before_the_lifespan_is_a_bug_of_the_server():
    with pytest.raises(NotImplementedError, match="expected lifespan first, got 'http'"):
        await InsideApp(Lodger)({"type": "http"}, None, None)


def test_orders_undo_what_the_server_did_to_the_environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    variables = Orders(control_fd=3).variables()
    monkeypatch.setenv("PYTHONPATH", "theirs")
    monkeypatch.setenv("LD_PRELOAD", "libpython.so")
    monkeypatch.setattr(sys, "executable", "")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    python = orders_from_environment().python
    assert os.environ["PYTHONPATH"] == "mine"
    assert "LD_PRELOAD" not in os.environ
    assert sys.executable == python != ""
    with pytest.raises(RuntimeError, match="navi-host serve"):
        orders_from_environment()


@pytest.mark.parametrize("said", [b"", b'{"do": "half', b"rubbish\n", b"\xff" * (1 << 21)])
async def test_what_is_no_message_is_the_end(said):
    ours, theirs = socket.socketpair()
    channel = await ControlChannel.over(ours)

    def write():
        with theirs:
            theirs.sendall(said)

    reading = asyncio.create_task(channel.receive())
    writing = asyncio.create_task(asyncio.to_thread(write))
    assert await asyncio.wait_for(reading, 60) is None
    await channel.close()
    await asyncio.gather(writing, return_exceptions=True)
    await channel.send(do="nothing")
