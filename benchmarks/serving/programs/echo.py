"""Bare servers that send every body back: what a transport costs before anything is done with the bytes.

python echo.py grpc|aiohttp|pyvoy PORT
"""

from __future__ import annotations

import asyncio
import signal
import sys


class _Echo:
    """One grpcio method handler for every path."""

    request_streaming = False
    response_streaming = False
    request_deserializer = None
    response_serializer = None

    async def unary_unary(self, body, _context):
        return body


async def serve_grpc(port: int) -> None:
    import grpc.aio

    class Everything(grpc.GenericRpcHandler):
        def service(self, _details):
            return _Echo()

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((Everything(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def serve_aiohttp(port: int) -> None:
    from aiohttp import web

    async def echo(request):
        body = await request.content.read()  # request.read() has a limit
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(echo))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def app(scope, receive, send):
    """Answer gRPC and HTTP alike; Envoy imports this."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    content_type = dict(scope["headers"]).get(b"content-type", b"application/json")
    is_grpc = content_type.startswith(b"application/grpc")
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]}
    await send({**start, "trailers": is_grpc})
    await send({"type": "http.response.body", "body": body, "more_body": False})
    if is_grpc:
        trailers = [(b"grpc-status", b"0")]
        await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})


async def serve_pyvoy(port: int) -> None:
    from pyvoy import PyvoyServer

    # One thread of Envoy beside Python's is the quickest on few cores.
    arguments = ["--concurrency", "1"]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with PyvoyServer(
        "echo:app", port=port, lifespan=True, additional_envoy_args=arguments, loop="uvloop"
    ):
        await stop.wait()


def main() -> None:
    import uvloop

    kind, port = sys.argv[1], int(sys.argv[2])
    uvloop.run({"grpc": serve_grpc, "aiohttp": serve_aiohttp, "pyvoy": serve_pyvoy}[kind](port))


if __name__ == "__main__":
    main()
