"""The server: plain connections before aiohttp's low-level server, built from options, drained, stopped."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from navi_core.contracts.transport import Address, Router, TransportOptions
from navi_core.errors import ConfigError
from navi_core.transports.http.connection import Connection
from navi_core.transports.http.exchange import Exchanges
from navi_core.transports.http.handling import Handling
from navi_core.transports.http.options import HttpOptions
from navi_core.transports.http.plain_connection import PlainConnection
from navi_core.transports.listener import bind_tcp, bind_unix, refuse_shared_unix
from navi_core.transports.tls import renewing_context

__all__ = ["HttpServer"]

_BACKLOG: Final = 1024
_READ_BUFFER_BYTES: Final = 1 << 18

_SETTLE_S: Final = 0.1
"""A client in a closed loop sends its next request within this time, and is told to close."""

_HANDOVER_S: Final = 1.0
"""Connections that came just before the port was closed get so long to be set up."""

_LINGER_S: Final = 2.0
"""After an early answer the rest of a body is read so long, so that the client gets to read the answer."""

_STOP_GRACE_S: Final = 0.5


class HttpServer:
    """One running server.

    Parameters
    ----------
    router, options
        As the transport got them.
    name
        The transport's name.
    """

    def __init__(self, router: Router, options: TransportOptions, name: str) -> None:
        own = options.options
        self._own: Final = own if isinstance(own, HttpOptions) else HttpOptions()
        self._options: Final = options
        self._name: Final = name
        self._handling: Final = Handling(router, options, self._own, name)
        self._plain: Final[set[PlainConnection]] = set()
        self._web: web.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._sockets: list[socket.socket] = []
        self._listeners: Final[list[asyncio.Server]] = []

    async def start(self) -> Sequence[Address]:
        """Listen.

        Raises
        ------
        ConfigError
            An address or the TLS files cannot be used.
        """
        options, own = self._options, self._own
        refuse_shared_unix(own.unix_socket, reuse_port=options.reuse_port, transport=self._name)
        self._tls = tls = None if options.tls is None else renewing_context(options.tls, options.now)
        self._sockets = sockets = list(bind_tcp(options.host, options.port, reuse_port=options.reuse_port))
        port = sockets[0].getsockname()[1]
        scheme = "http" if tls is None else "https"
        addresses = [Address(scheme, options.host, port)]
        if own.unix_socket is not None:
            sockets.append(bind_unix(own.unix_socket))
            addresses.append(Address("unix", own.unix_socket, 0))
        loop = asyncio.get_running_loop()
        self._web = web.Server(Exchanges(self._handling), handler_cancellation=True)
        try:
            for sock in sockets:
                create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
                self._listeners.append(await create(self._connect, sock=sock, ssl=tls, backlog=_BACKLOG))
        except OSError as error:
            self._close_listeners()
            for sock in sockets:
                sock.close()
            raise ConfigError(f"cannot listen on {options.host} port {port}: {error}") from None
        return addresses

    def _connect(self) -> PlainConnection:
        if self._web is None:
            raise ConnectionAbortedError("the server has stopped")
        return PlainConnection(self._handling, self._hand_over, self._plain, asyncio.get_running_loop())

    def _hand_over(self, first_request_timeout_s: float, body_began_s: float | None) -> Connection | None:
        """Return the connection that takes over what is not plain."""
        if self._web is None:
            return None
        own = self._own
        return Connection(
            self._web,
            loop=asyncio.get_running_loop(),
            first_request_timeout_s=first_request_timeout_s,
            body_began_s=body_began_s,
            access_log=None,
            auto_decompress=False,  # aiohttp's has no limits
            keepalive_timeout=own.keepalive_timeout_s,
            lingering_time=_LINGER_S,
            max_line_size=own.max_line_bytes,
            max_field_size=own.max_header_bytes,
            max_headers=own.max_headers,
            read_bufsize=_READ_BUFFER_BYTES,
        )

    async def drain(self, timeout_s: float) -> None:
        """Close the port, finish what runs, and tell clients to close their connections."""
        if self._web is None:
            return
        # The port closes before anybody is told to close a connection: whoever connects anew because of
        # that is refused, and not taken by the kernel and reset.
        await self._close_port()
        self._handling.is_draining = True
        if await self._handling.calls.finish(timeout_s):
            await asyncio.sleep(_SETTLE_S)
            await self._handling.calls.finish(_SETTLE_S)

    async def stop(self) -> None:
        """End what is left: handlers are cancelled and their clients told ``draining``."""
        server, self._web = self._web, None
        if server is None:
            return
        self._handling.is_draining = True
        self._close_listeners()
        await self._handling.calls.abandon()
        server.pre_shutdown()
        writing = [task for each in list(self._plain) if (task := each.close()) is not None]
        if writing:  # to clients that take their time
            await asyncio.wait(writing, timeout=_STOP_GRACE_S)
        for each in list(self._plain):
            each.abort()
        await server.shutdown(_STOP_GRACE_S)

    async def _close_port(self) -> None:
        """Take over the connections that the kernel has accepted already, then stop to accept."""
        if self._web is None:
            return
        waiting = [accepted for sock in self._sockets for accepted in _accept_all(sock)]
        self._close_listeners()
        loop = asyncio.get_running_loop()
        handovers = [loop.connect_accepted_socket(self._connect, sock, ssl=self._tls) for sock in waiting]
        with suppress(TimeoutError):  # a slow TLS handshake does not hold the drain up
            async with asyncio.timeout(_HANDOVER_S):
                await asyncio.gather(*handovers, return_exceptions=True)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._own.unix_socket is not None:
            with suppress(OSError):
                Path(self._own.unix_socket).unlink()


def _accept_all(sock: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            accepted, _ = sock.accept()
        except OSError:  # none is waiting, which is the usual case, or it has gone again
            return
        accepted.setblocking(False)
        yield accepted
