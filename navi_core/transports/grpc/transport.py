"""GrpcTransport: gRPC over grpcio's asyncio server."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from navi_core.contracts.transport import Address, Router, Transport, TransportOptions
from navi_core.transports.grpc.options import GrpcOptions

if TYPE_CHECKING:
    from navi_core.transports.grpc.server import GrpcServer

__all__ = ["GrpcTransport"]


class GrpcTransport(Transport):
    """Carries RPCs over HTTP/2, and nothing else.

    grpcio inflates requests itself: the limit of the inflated size holds, the limit of the ratio and
    ``call.compression`` do not exist here. It reads a message before anybody can count it, so the budget
    is asked when the message is complete. While draining the port stays open, and new connections are
    answered ``draining`` like old ones, until the last call has ended.
    """

    name: ClassVar[str] = "grpc"
    carries: ClassVar[frozenset[Literal["rpc", "http"]]] = frozenset({"rpc"})
    default_port: ClassVar[int] = 8500
    options_type = GrpcOptions

    def __init__(self) -> None:
        self._server: GrpcServer | None = None

    @classmethod
    def prepare(cls) -> None:
        """Import the server; see :meth:`~navi_core.contracts.transport.Transport.prepare`."""
        importlib.import_module("navi_core.transports.grpc.server")

    async def start(self, router: Router, options: TransportOptions) -> Sequence[Address]:
        """Listen; see :meth:`~navi_core.contracts.transport.Transport.start`."""
        from navi_core.transports.grpc.server import GrpcServer  # noqa: PLC0415 - grpc is imported when used

        server = GrpcServer(router, options, self.name)
        addresses = await server.start()
        self._server = server
        return addresses

    async def drain(self, timeout_s: float) -> None:
        """Finish what runs; new calls are answered, never reset."""
        if self._server is not None:
            await self._server.drain(timeout_s)

    async def stop(self) -> None:
        """Close what is left. Idempotent."""
        if self._server is not None:
            await self._server.stop()
