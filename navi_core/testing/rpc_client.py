"""How the transport suite speaks as an RPC client; and that client over grpcio."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = ["GrpcioClient", "Metadata", "RpcClient", "RpcReply", "RpcStream"]

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcReply:
    """How a call ended.

    Parameters
    ----------
    status, message
        The gRPC status.
    messages
        What came before it.
    headers, trailers
        Initial and trailing metadata.
    was_compressed
        An answer was compressed on the wire; None: the client cannot tell.
    """

    status: int
    message: str
    messages: Sequence[bytes] = ()
    headers: dict[str, str | bytes] = field(default_factory=dict)
    trailers: dict[str, str | bytes] = field(default_factory=dict)
    was_compressed: bool | None = None


class RpcStream(ABC):
    """One call that is open."""

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Send a message."""

    @abstractmethod
    async def half_close(self) -> None:
        """Say that no more messages come."""

    @abstractmethod
    async def receive(self) -> bytes | None:
        """Return the next answer; None: the call has ended."""

    @abstractmethod
    async def end(self) -> RpcReply:
        """Read what is left and return how it ended; ``messages`` are those read here."""

    @abstractmethod
    async def cancel(self) -> None:
        """Reset the call."""


class RpcClient(ABC):
    """A client of one server."""

    @abstractmethod
    async def open(
        self, path: str, *, metadata: Metadata = (), timeout_s: float | None = None, gzip: bool = False
    ) -> RpcStream:
        """Begin a call of any kind."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""

    async def unary(
        self,
        path: str,
        body: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout_s: float | None = None,
        gzip: bool = False,
    ) -> RpcReply:
        """Send one message and return how the call ended."""
        stream = await self.open(path, metadata=metadata, timeout_s=timeout_s, gzip=gzip)
        await stream.send(body)
        await stream.half_close()
        return await stream.end()


_LOST: Final = "Internal error from Core"
"""grpc.aio's own words where a server ended a call before its message was written, whatever the server said."""

_TRIES: Final = 5


class GrpcioClient(RpcClient):
    """A channel of its own to a real server.

    Parameters
    ----------
    target
        ``host:port`` or ``unix:path``.
    credentials
        grpcio's channel credentials; None: plain text.
    retries
        Have grpcio repeat, unseen, calls that the server cannot have begun, as it does by default. Off,
        so that the suite sees every call that a server loses.
    """

    def __init__(self, target: str, credentials: Any = None, *, retries: bool = False) -> None:
        import grpc  # noqa: PLC0415 - the suite is imported by plugins that have nothing to do with gRPC

        self._grpc = grpc
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", int(retries)),
        ]
        self._channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )

    async def open(
        self, path: str, *, metadata: Metadata = (), timeout_s: float | None = None, gzip: bool = False
    ) -> RpcStream:
        """Begin a call of any kind."""
        compression = self._grpc.Compression.Gzip if gzip else None
        call = self._channel.stream_stream(path)(
            timeout=timeout_s, metadata=tuple(metadata), compression=compression
        )
        return _GrpcioStream(call, self._grpc)

    async def unary(
        self,
        path: str,
        body: bytes = b"",
        *,
        metadata: Metadata = (),
        timeout_s: float | None = None,
        gzip: bool = False,
    ) -> RpcReply:
        """Send one message and return how the call ended; again, where grpc.aio lost that."""
        for _ in range(_TRIES):
            reply = await super().unary(path, body, metadata=metadata, timeout_s=timeout_s, gzip=gzip)
            if reply.message != _LOST:
                break
        return reply

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class _GrpcioStream(RpcStream):
    def __init__(self, call: Any, grpc: Any) -> None:
        self._call = call
        self._grpc = grpc

    async def send(self, message: bytes) -> None:
        # a call that has ended already refuses this: end() says how it ended
        with suppress(self._grpc.RpcError, asyncio.InvalidStateError):
            await self._call.write(message)

    async def half_close(self) -> None:
        with suppress(self._grpc.RpcError, asyncio.InvalidStateError):
            await self._call.done_writing()

    async def receive(self) -> bytes | None:
        try:
            message = await self._call.read()
        except self._grpc.RpcError:
            return None
        return None if message is self._grpc.aio.EOF else message

    async def end(self) -> RpcReply:
        messages: list[bytes] = []
        while (message := await self.receive()) is not None:
            messages.append(message)
        code = await self._call.code()
        return RpcReply(
            status=code.value[0],
            message=await self._call.details() or "",
            messages=messages,
            headers=_pairs(await self._call.initial_metadata()),
            trailers=_pairs(await self._call.trailing_metadata()),
        )

    async def cancel(self) -> None:
        self._call.cancel()


def _pairs(metadata: Any) -> dict[str, str | bytes]:
    # grpcio's class looks like a mapping to dict() in some versions, and is not one
    return {name: value for name, value in metadata or ()}  # noqa: C416 - see above
