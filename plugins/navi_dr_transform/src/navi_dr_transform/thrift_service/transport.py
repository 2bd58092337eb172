"""ThriftTransport: thrift messages over TCP."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from navi_core import Address, Router, ServeFlag, Transport, TransportOptions
from navi_dr_transform.thrift_service.options import THRIFT, ThriftOptions

if TYPE_CHECKING:
    from navi_dr_transform.thrift_service.server import ThriftServer

__all__ = ["ThriftTransport"]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise ValueError(f"expected a port, 0 to 65535, got '{text}'")
    return int(text)


class ThriftTransport(Transport):
    """Carries unary RPCs of one service as thrift messages in TBinaryProtocol, framed or not.

    The body of a call is the arguments struct as it came, and that of its answer the result struct. A status other than
    OK with a body is a declared exception, without one it becomes a TApplicationException. Messages have neither
    deadlines nor metadata nor compression. While draining the port is closed.
    """

    name: ClassVar[str] = "thrift"
    carries: ClassVar[frozenset[Literal["rpc", "http"]]] = frozenset({"rpc"})
    rpc_protocol: ClassVar[str] = THRIFT
    default_port: ClassVar[int] = 9090
    options_type = ThriftOptions
    serve_flags: ClassVar[Sequence[ServeFlag]] = (
        ServeFlag(
            name="--thrift-port",
            option="port",
            help="Serve thrift clients too, without gRPC, on this port (0: any free one).",
            metavar="PORT",
            parse=_port,
        ),
    )

    def __init__(self) -> None:
        self._server: ThriftServer | None = None

    async def start(self, router: Router, options: TransportOptions) -> Sequence[Address]:
        """Listen; the kernel that finds the ends of messages is compiled or loaded before."""
        module = await asyncio.to_thread(importlib.import_module, "navi_dr_transform.thrift_service.server")
        server: ThriftServer = module.ThriftServer(router, options, self.name)
        addresses = await server.start()
        self._server = server
        return addresses

    async def drain(self, timeout_s: float) -> None:
        """Finish what runs; new calls on open connections are answered, never reset."""
        if self._server is not None:
            await self._server.drain(timeout_s)

    async def stop(self) -> None:
        """Close what is left. Idempotent."""
        if self._server is not None:
            await self._server.stop()
