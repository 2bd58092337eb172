"""Registers the transport ``toy_line``: ``PATH LENGTH\\n`` and a body in, ``STATUS LENGTH\\n`` and a body out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from navi_core import (
    Address,
    Call,
    ConfigError,
    MemoryBudgetError,
    Router,
    RpcKind,
    Transport,
    TransportOptions,
    hookimpl,
)

_OK, _INVALID_ARGUMENT, _RESOURCE_EXHAUSTED, _UNIMPLEMENTED, _INTERNAL = 0, 3, 8, 12, 13


class ToyLine(Transport):
    """Carries unary RPCs over a TCP connection, one after the other."""

    name = "toy_line"
    carries = frozenset({"rpc"})
    default_port = 8599

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, router: Router, options: TransportOptions) -> Sequence[Address]:
        """Listen."""
        self._router, self._options = router, options
        try:
            self._server = await asyncio.start_server(self._connected, options.host, options.port)
        except OSError as error:
            raise ConfigError(f"cannot listen on {options.host}:{options.port}: {error}") from error
        return [Address("toy", *socket.getsockname()[:2]) for socket in self._server.sockets]

    async def drain(self, timeout_s: float) -> None:
        """Let running calls end; new ones on open connections are the router's to refuse."""
        if self._server is not None:
            self._server.close()
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    async def stop(self) -> None:
        """Close what is left."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while line := await reader.readline():
                path, length = line.split()
                self._running.add(task)
                status, body = await self._answer(path.decode(), int(length), reader)
                writer.write(b"%d %d\n%b" % (status, len(body), body))
                await writer.drain()
                self._running.discard(task)
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the client is gone or speaks another protocol, or the transport was stopped
        finally:
            self._running.discard(task)
            self._connections.discard(task)
            writer.close()

    async def _answer(self, path: str, length: int, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        if not 0 <= length <= self._options.max_message_bytes:
            raise ValueError(length)  # the rest of the connection cannot be understood
        try:
            with self._options.budget.reserve(length):
                body = await reader.readexactly(length)
                return await self._dispatch(path, body)
        except MemoryBudgetError as error:
            await reader.readexactly(length)
            return _RESOURCE_EXHAUSTED, error.message.encode()

    async def _dispatch(self, path: str, body: bytes) -> tuple[int, bytes]:
        method = self._router.rpc(path)
        if method is None or method.kind is not RpcKind.UNARY:
            return _UNIMPLEMENTED, f"no unary method {path}".encode()
        response = await method.handler(
            Call(path=path, body=body, transport=self.name, wire_size_bytes=len(body))
        )
        pieces = response.body if isinstance(response.body, list | tuple) else [response.body]
        answer = response.message.encode() if response.status else b"".join(pieces)
        if response.on_written is not None:
            response.on_written()
        return response.status, answer


@hookimpl
def navi_register_transports() -> Sequence[type[Transport]]:
    """Register the transport."""
    return [ToyLine]
