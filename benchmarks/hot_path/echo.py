"""A bare server that sends every body back: what the transport costs before anything is done with the bytes.

python echo.py grpc|aiohttp; prints its port.
"""

from __future__ import annotations

import asyncio
import sys

import grpc.aio
import uvloop
from aiohttp import web


class Echo:
    """One method handler for every path."""

    request_streaming = False
    response_streaming = False
    request_deserializer = None
    response_serializer = None

    async def unary_unary(self, body: bytes, _context: object) -> bytes:
        return body


class Everything(grpc.GenericRpcHandler):
    def service(self, _details: object) -> Echo:
        return Echo()


async def serve_grpc() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


async def serve_aiohttp() -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=await request.content.read(), content_type="application/json")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_aiohttp() if sys.argv[1:] == ["aiohttp"] else serve_grpc())
