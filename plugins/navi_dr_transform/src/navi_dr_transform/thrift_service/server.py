"""The listener of the thrift transport: sockets, the drain, the end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from navi_core import Address, ConfigError, Router, TransportOptions, bind_tcp, renewing_context
from navi_dr_transform.thrift_service.connection import Connection, Shared
from navi_dr_transform.thrift_service.options import ThriftOptions

__all__ = ["ThriftServer"]

_BACKLOG: Final = 1024
_HANDSHAKE_S: Final = 10.0

_SETTLE_S: Final = 0.1
"""A client in a closed loop sends its next call within this time, and is told ``draining``."""

_HANDOVER_S: Final = 1.0
"""Connections that came just before the port was closed get so long to be set up."""

_STOP_GRACE_S: Final = 0.5
"""Answers that are on their way get so long to go out."""


class ThriftServer:
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
        self._options: Final = options
        self._shared: Final = Shared(
            router=router,
            options=options,
            own=own if isinstance(own, ThriftOptions) else ThriftOptions(),
            name=name,
        )
        self._tls: ssl.SSLContext | None = None
        self._sockets: list[socket.socket] = []
        self._listeners: Final[list[asyncio.Server]] = []
        self._has_stopped = False

    async def start(self) -> Sequence[Address]:
        """Listen.

        Raises
        ------
        ConfigError
            An address or the TLS files cannot be used.
        """
        options = self._options
        self._tls = None if options.tls is None else renewing_context(options.tls, options.now)
        self._sockets = list(bind_tcp(options.host, options.port, reuse_port=options.reuse_port))
        port = self._sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        handshake_s = None if self._tls is None else _HANDSHAKE_S
        try:
            for sock in self._sockets:
                self._listeners.append(
                    await loop.create_server(
                        self._connect,
                        sock=sock,
                        ssl=self._tls,
                        backlog=_BACKLOG,
                        ssl_handshake_timeout=handshake_s,
                    )
                )
        except OSError as error:
            self._close_listeners()
            for sock in self._sockets:
                sock.close()
            raise ConfigError(f"cannot listen on {options.host} port {port}: {error}") from None
        return [Address("thrift" if self._tls is None else "thrifts", options.host, port)]

    def _connect(self) -> Connection:
        return Connection(self._shared)

    async def drain(self, timeout_s: float) -> None:
        """Close the port, and finish what runs; what comes on open connections is the router's to refuse."""
        if self._has_stopped:
            return
        await self._close_port()
        if await self._shared.calls.finish(timeout_s):
            await asyncio.sleep(_SETTLE_S)
            await self._shared.calls.finish(_SETTLE_S)

    async def stop(self) -> None:
        """End what is left: handlers are cancelled and their clients told ``draining``."""
        if self._has_stopped:
            return
        self._has_stopped = True
        self._close_listeners()
        shared = self._shared
        await shared.calls.abandon()
        for connection in tuple(shared.connections):
            connection.close()
        await shared.wait_closed(_STOP_GRACE_S)
        for connection in tuple(shared.connections):
            connection.abort()
        await shared.wait_closed(_STOP_GRACE_S)  # the loop tells the connections that they are lost

    async def _close_port(self) -> None:
        """Take over the connections that the kernel has accepted already, then stop to accept."""
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


def _accept_all(sock: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            accepted, _ = sock.accept()
        except OSError:  # none is waiting, which is the usual case, or it has gone again
            return
        accepted.setblocking(False)
        yield accepted
