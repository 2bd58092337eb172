"""HttpTransport: HTTP/1.1, plain requests by itself and all others over aiohttp."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from navi_core.contracts.transport import Address, Router, Transport, TransportOptions
from navi_core.transports.http.options import HttpOptions

if TYPE_CHECKING:
    from navi_core.transports.http.server import HttpServer

__all__ = ["HttpTransport"]


class HttpTransport(Transport):
    """Carries HTTP routes over HTTP/1.1.

    A request has no deadline unless it brings one in the header ``request-timeout-ms``. ``HEAD`` is
    answered by a path's ``GET``. While draining the port is closed and every answer closes its connection.
    """

    name: ClassVar[str] = "http"
    carries: ClassVar[frozenset[Literal["rpc", "http"]]] = frozenset({"http"})
    default_port: ClassVar[int] = 8501
    options_type = HttpOptions

    def __init__(self) -> None:
        self._server: HttpServer | None = None

    @classmethod
    def prepare(cls) -> None:
        """Import the server; see :meth:`~navi_core.contracts.transport.Transport.prepare`."""
        importlib.import_module("navi_core.transports.http.server")

    async def start(self, router: Router, options: TransportOptions) -> Sequence[Address]:
        """Listen; see :meth:`~navi_core.contracts.transport.Transport.start`."""
        from navi_core.transports.http.server import (  # noqa: PLC0415 - aiohttp is imported when used
            HttpServer,
        )

        server = HttpServer(router, options, self.name)
        addresses = await server.start()
        self._server = server
        return addresses

    async def drain(self, timeout_s: float) -> None:
        """Finish what runs; new requests on open connections are answered 503."""
        if self._server is not None:
            await self._server.drain(timeout_s)

    async def stop(self) -> None:
        """Close what is left. Idempotent."""
        if self._server is not None:
            await self._server.stop()
