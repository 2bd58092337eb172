"""``python -m navi_core.bench.echo``: a server that answers every request with the same bytes.

What a load generator reaches against it is the generator's own ceiling, or this server's: it does less for a request
than any generator does, and has a process of its own. It reads how it is to answer from stdin, writes its port, and
ends when stdin does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, Literal, Self, cast

import msgspec

from navi_core.bench.children import Child
from navi_core.bench.echo_http1 import FixedHttp1
from navi_core.bench.echo_http2 import FixedHttp2
from navi_core.bench.worker import run_on_fast_loop
from navi_core.errors import ErrorCode, RemoteError

__all__ = ["EchoServer"]

_HOST: Final = "127.0.0.1"


class _Order(msgspec.Struct, frozen=True):
    scheme: Literal["grpc", "http"]
    answer: bytes


class EchoServer:
    """The server as a process; a context manager.

    Parameters
    ----------
    scheme
        What it speaks.
    answer
        What it answers with.
    """

    def __init__(self, scheme: Literal["grpc", "http"], answer: bytes) -> None:
        self._child = Child("navi_core.bench.echo")
        self._child.tell(_Order(scheme, answer))
        line = self._child.said.readline()
        if not line:
            self._child.end()
            words = self._child.last_words()
            self._child.close()
            raise RemoteError(f"the echo server does not start: {words}", code=ErrorCode.INTERNAL)
        self.host = _HOST
        self.port = int(line)

    def close(self) -> None:
        """End it."""
        self._child.end()
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Connection(asyncio.Protocol):
    def __init__(self, order: _Order) -> None:
        self._fixed = FixedHttp2(order.answer) if order.scheme == "grpc" else FixedHttp1(order.answer)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # it is TCP
        if opening := self._fixed.opening():
            self._transport.write(opening)

    def data_received(self, data: bytes) -> None:
        out = self._fixed.feed(data)
        if out and self._transport is not None:
            self._transport.write(out)


async def _serve() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Order)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(order), _HOST, 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stopped.set)  # readable: at its end
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    run_on_fast_loop(_serve())
