"""REST requests played to the transports without a socket: microseconds of processor time, skin by skin.

The HTTP transport's connection and the ASGI application get what a client's bytes would become; so nothing of the kernel is in
the figures. "A constant" is a service that answers the same bytes always: what the skin costs alone.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from rest_requests import TARGETS, message

from navi_core import AsgiTransport, Host, TransportOptions
from navi_core.budget import MemoryBudget
from navi_core.contracts.service import HttpRoute, Operation, Response
from navi_core.contracts.transport import HttpMatch
from navi_core.transports.http.transport import HttpTransport

TIMES = 400


class Wire(asyncio.Transport):
    """A transport of a connection that nobody is at the other end of."""

    def __init__(self, written: Callable[[bytes], None]) -> None:
        super().__init__()
        self.write = written

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 4242) if name == "peername" else default

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...


async def play_http(connect: Callable[[], asyncio.Protocol], asked: bytes) -> float:
    """Return microseconds a request on one connection."""
    loop = asyncio.get_running_loop()
    done, left = loop.create_future(), TIMES

    def written(answer: bytes) -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(protocol.data_received, asked)
        else:
            done.set_result(answer)

    protocol = connect()
    protocol.connection_made(Wire(written))
    await asyncio.sleep(0)
    started = time.process_time()
    protocol.data_received(asked)
    answer = await done
    took = time.process_time() - started
    assert answer.startswith(b"HTTP/1.1 200"), answer
    await asyncio.sleep(0.001)
    protocol.connection_lost(None)
    await asyncio.sleep(0.001)
    return took / TIMES * 1e6


async def play_asgi(app: Any, path: str, body: bytes) -> float:
    """Return microseconds a request over ASGI."""
    given = {b"content-type": b"application/json", b"accept": b"*/*", b"content-length": b"%d" % len(body)}
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        if "status" in event:
            statuses.append(event["status"])

    started = time.process_time()
    for _ in range(TIMES):
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": list(given.items()),
            "http_version": "1.1",
            "client": ("127.0.0.1", 4242),
        }
        await asyncio.get_running_loop().create_task(app(scope, receive, send))
    took = time.process_time() - started
    assert statuses == [200] * TIMES
    return took / TIMES * 1e6


class Constant:
    """A router whose one service answers the same always."""

    def __init__(self) -> None:
        async def answer(_call: object) -> Response:
            return Response(
                status=200,
                headers=(("content-type", "application/json"),),
                body=b'{"predictions":[[0.1,0.2,0.3,0.4]]}',
            )

        self.match = HttpMatch(
            route=HttpRoute(verb="*", pattern=re.compile(".*"), handler=answer, operation=Operation.INFER)
        )

    def http(self, _verb: str, _path: str, _query: str) -> HttpMatch:
        return self.match


async def echo(request: web.BaseRequest) -> web.Response:
    return web.Response(body=await request.content.read(), content_type="application/json")


async def played(host: Host, rounds: int) -> dict[str, float]:
    """Return what is played -> microseconds a request: the best of several rounds, in turns."""
    options = TransportOptions(budget=MemoryBudget(1 << 30), now=time.monotonic)
    servers = {}
    apps = {}
    for name, router in (("a constant", Constant()), ("the model", host.router)):
        servers[name] = HttpTransport()
        await servers[name].start(router, options)
        asgi = AsgiTransport()
        await asgi.start(router, options)
        apps[name] = asgi.app
    bare = web.Server(echo)

    def over_http(name: str, form: str) -> Callable[[], Awaitable[float]]:
        connect = servers[name]._server._connect  # noqa: SLF001 - a connection without a socket
        return lambda: play_http(connect, message(form))

    cases: dict[str, Callable[[], Awaitable[float]]] = {
        "aiohttp alone, an echo": lambda: play_http(bare, message("v1")),
        "navi over HTTP, a constant": over_http("a constant", "v1"),
        "navi over HTTP, v1": over_http("the model", "v1"),
        "navi over HTTP, v2": over_http("the model", "v2"),
        "navi over ASGI, a constant": lambda: play_asgi(apps["a constant"], *TARGETS["v1"]),
        "navi over ASGI, v1": lambda: play_asgi(apps["the model"], *TARGETS["v1"]),
        "navi over ASGI, v2": lambda: play_asgi(apps["the model"], *TARGETS["v2"]),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, case in cases.items():
            best[name] = min(best[name], await case())
    for server in servers.values():
        await server.stop()
    return {name: round(value, 1) for name, value in best.items()}
