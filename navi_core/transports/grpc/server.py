"""grpcio's server: built from options, drained without a reset, stopped.

grpcio cannot stop to accept while it serves: its shutdown closes the port, asks clients to go, and
resets every call that arrives before they have understood. So a drain leaves the port open while calls
run, and every new call is answered ``draining``. Once nothing runs, new calls are held back unanswered
(a client in a closed loop waits), then the shutdown begins, and only when the clients have been told to
go are the held calls answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc

from navi_core.contracts.transport import Address, Router, TlsFiles, TransportOptions
from navi_core.errors import ConfigError
from navi_core.transports.grpc.handlers import CallHandlers
from navi_core.transports.grpc.options import GrpcOptions, channel_arguments
from navi_core.transports.in_flight import InFlight
from navi_core.transports.listener import bind_tcp, bind_unix, refuse_shared_unix
from navi_core.transports.tls import TlsWatch, read_pem, tls_context

_log = logging.getLogger(__name__)

__all__ = ["GrpcServer"]

_SETTLE_S: Final = 0.2
"""Calls that clients had begun before the hold have arrived once none came for this time."""

_MAX_SETTLE_S: Final = 3.0
"""Clients that open call after call without waiting for an answer are not waited for longer."""

_GOAWAY_S: Final = 0.02
"""grpcio tells its connections to go away on threads of its own; they take less."""

_STOP_GRACE_S: Final = 0.5


class GrpcServer:
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
        self._own: Final = own if isinstance(own, GrpcOptions) else GrpcOptions()
        self._options: Final = options
        self._name: Final = name
        self._calls: Final = InFlight()
        self._handlers: Final = CallHandlers(router, options, self._calls, name)
        self._server: Any = None

    async def start(self) -> Sequence[Address]:
        """Listen.

        Raises
        ------
        ConfigError
            An address or the TLS files cannot be used.
        """
        options = self._options
        refuse_shared_unix(self._own.unix_socket, reuse_port=options.reuse_port, transport=self._name)
        tls = options.tls
        server = grpc.aio.server(options=channel_arguments(options, self._own))
        server.add_generic_rpc_handlers((self._handlers,))
        # grpcio reports a failure to bind without the reason, so it is looked for before
        for sock in bind_tcp(options.host, options.port, reuse_port=options.reuse_port):
            sock.close()
        host = f"[{options.host}]" if ":" in options.host else options.host
        port = _add_port(server, f"{host}:{options.port}", _credentials(tls, options.now))
        addresses = [Address("grpcs" if tls else "grpc", options.host, port)]
        if self._own.unix_socket is not None:
            bind_unix(self._own.unix_socket).close()
            # credentials of its own: a second port would never be given what the first one was
            _add_port(server, f"unix:{self._own.unix_socket}", _credentials(tls, options.now))
            addresses.append(Address("unix", self._own.unix_socket, 0))
        await server.start()
        self._server = server
        return addresses

    async def drain(self, timeout_s: float) -> None:
        """Let what runs finish, then close every connection without a reset."""
        if self._server is None:
            return
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        if not await self._calls.finish(timeout_s):
            return
        self._handlers.park()
        await self._settle(min(end_s, loop.time() + _MAX_SETTLE_S))
        closing = loop.create_task(self._server.stop(max(end_s - loop.time(), _STOP_GRACE_S)))
        await asyncio.sleep(_GOAWAY_S)
        self._handlers.release_parked()
        await closing

    async def _settle(self, end_s: float) -> None:
        """Wait until no call came for a while: a client on a busy machine may be slow to ask again."""
        loop = asyncio.get_running_loop()
        quiet_since = loop.time()
        seen = self._handlers.num_parked
        while (now := loop.time()) < min(quiet_since + _SETTLE_S, end_s):
            await asyncio.sleep(min(quiet_since + _SETTLE_S, end_s) - now)
            if self._handlers.num_parked != seen:
                seen, quiet_since = self._handlers.num_parked, loop.time()

    async def stop(self) -> None:
        """End what is left: handlers are cancelled and their clients told ``draining``."""
        server, self._server = self._server, None
        if server is None:
            return
        self._handlers.release_parked()
        await self._calls.abandon()
        await server.stop(_STOP_GRACE_S)


def _credentials(files: TlsFiles | None, now: Callable[[], float]) -> Any:
    """Return a port's credentials; None: plain text."""
    if files is None:
        return None
    watch = TlsWatch(files, now)

    def renewed() -> Any:
        """Return what handshakes shall use from now on; None: what they use already. On a thread of gRPC's."""
        if not watch.has_changed():
            return None
        try:
            changed = _certificates(files)
        except ConfigError as error:
            _log.warning("TLS files kept as they were: %s", error)
            return None
        _log.info("TLS files read again: %s", files.certificate)
        return changed

    return grpc.dynamic_ssl_server_credentials(
        _certificates(files), renewed, require_client_authentication=bool(files.client_ca)
    )


def _certificates(files: TlsFiles) -> Any:
    tls_context(files)  # says what is wrong with the files; grpcio does not
    chain = () if files.chain is None else (files.chain,)
    pair = (read_pem(files.key), read_pem(files.certificate, *chain))
    return grpc.ssl_server_certificate_configuration([pair], read_pem(*files.client_ca) or None)


def _add_port(server: Any, address: str, credentials: Any) -> int:
    try:
        port = (
            server.add_insecure_port(address)
            if credentials is None
            else server.add_secure_port(address, credentials)
        )
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {address}: {error}") from None
    if not port:
        raise ConfigError(f"cannot listen on {address}")
    return int(port)
