"""Bare servers that send every body back: what a transport costs before anything is done with the bytes.

    python benchmarks/echo_servers.py grpc|http

Prints the port and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import sys


class _Echo:
    """One grpcio method handler for every path."""

    request_streaming = False
    response_streaming = False
    request_deserializer = None
    response_serializer = None

    async def unary_unary(self, body, _context):
        return body


async def serve_grpc() -> None:
    import grpc.aio

    class Everything(grpc.GenericRpcHandler):
        def service(self, _details):
            return _Echo()

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def serve_http() -> None:
    from aiohttp import web

    async def echo(request):
        return web.Response(body=await request.read(), content_type="application/json")

    runner = web.ServerRunner(web.Server(echo))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    import uvloop

    uvloop.run(serve_grpc() if sys.argv[1] == "grpc" else serve_http())


if __name__ == "__main__":
    main()
