"""Service: a protocol. It turns a Call into a Response and knows no sockets and no event loop.

A service words errors and maps their codes with its own total table; it never lets a
:class:`~navi_core.errors.NaviError` out of a handler. What does get out is a bug: the transport
answers INTERNAL with an opaque text and logs it.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, ClassVar, Final, TypeAlias

import msgspec

from navi_core.contracts.service_context import ServiceContext
from navi_core.types import Bytes

__all__ = [
    "GRPC",
    "Call",
    "Handler",
    "Headers",
    "HttpRoute",
    "Operation",
    "Response",
    "RpcKind",
    "RpcMethod",
    "Service",
    "StreamError",
]

GRPC: Final = "grpc"
"""The protocol of RPCs that say none."""

Headers: TypeAlias = Sequence[tuple[str, str | bytes]]
"""(name, value) pairs; names in lower case, values ``bytes`` only for ``-bin`` metadata."""


class RpcKind(StrEnum):
    """Which sides of an RPC are streams."""

    UNARY = "unary"
    SERVER_STREAM = "server_stream"
    CLIENT_STREAM = "client_stream"
    BIDI = "bidi"

    @property
    def streams_requests(self) -> bool:
        """The client sends any number of messages (``call.messages``)."""
        return self in (RpcKind.CLIENT_STREAM, RpcKind.BIDI)

    @property
    def streams_responses(self) -> bool:
        """The server answers with any number of messages (``response.stream``)."""
        return self in (RpcKind.SERVER_STREAM, RpcKind.BIDI)


class Operation(StrEnum):
    """What a handler does, for the one authorisation check and for draining.

    INFER is refused while draining; READ is answered until the end; ADMIN needs to be allowed.
    """

    INFER = "infer"
    READ = "read"
    ADMIN = "admin"


class _NoMessages(AsyncIterator[Bytes]):
    """The messages of a call that has none; it knows nothing, so all such calls share one."""

    async def __anext__(self) -> Bytes:
        raise StopAsyncIteration


class Call(msgspec.Struct, kw_only=True):
    """One call, as the transport read it. A struct: every request makes one, and a dataclass takes ten times as long.

    Parameters
    ----------
    path
        RPC: ``/package.Service/Method``. HTTP: the raw path, still percent-encoded, without the query.
    body
        The whole message (unary, server stream) or HTTP body, inflated. Never written to.
    messages
        The client's messages, where it streams them; ends at half-close.
    verb
        HTTP method in capitals; empty for an RPC.
    query
        HTTP: the raw query string, without ``?``.
    match
        HTTP: the named groups of the route's pattern, raw.
    metadata
        Lower-case header or metadata name -> value; the last of repeated ones. Binary metadata
        (``-bin``) is ``bytes``.
    peer
        The client's address, for logs.
    deadline
        Seconds on the monotonic clock; None: none. The handler is cancelled when the client
        goes; a deadline that passes is the handler's to answer.
    transport
        The transport's name, for metrics.
    compression
        The encoding that the request came in (``gzip``...); empty: none.
    wire_size_bytes
        Bytes of the body as received, before inflating.
    """

    path: str
    body: Bytes = b""
    messages: AsyncIterator[Bytes] = _NoMessages()
    verb: str = ""
    query: str = ""
    match: Mapping[str, str] = {}
    metadata: Mapping[str, str | bytes] = {}
    peer: str = ""
    deadline: float | None = None
    transport: str = ""
    compression: str = ""
    wire_size_bytes: int = 0
    _on_cancel: list[Callable[[], None]] = []

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once if the client goes away before the answer is written."""
        self._on_cancel.append(callback)

    def cancelled(self) -> None:
        """Run the callbacks: for transports, when the client has gone."""
        callbacks, self._on_cancel[:] = list(self._on_cancel), []
        for callback in callbacks:
            callback()


class Response(msgspec.Struct, kw_only=True):
    """One answer, as the service wants it written.

    Parameters
    ----------
    status
        RPC: the gRPC status number, 0 is OK. HTTP: the status code.
    message
        RPC: the status text. HTTP: unused.
    body
        The message (unary, client stream) or HTTP body: one piece, or pieces to be written one
        after the other as one message. Beside an RPC's status other than OK: the failure as the protocol
        itself declares it, for transports that can carry one; gRPC does not.
    stream
        The messages of a streaming RPC, or the chunks of a streamed HTTP body; then ``body`` is unused. The
        generator may raise :class:`StreamError` to end an RPC with another status.
    headers, trailers
        Extra metadata. HTTP: ``content-type`` belongs here.
    on_written
        Called once when the answer is on its way or the client is gone: buffers may be reused.
    """

    status: int
    message: str = ""
    body: Bytes | Sequence[Bytes] = b""
    stream: AsyncIterator[Bytes] | None = None
    headers: Headers = ()
    trailers: Headers = ()
    on_written: Callable[[], None] | None = None


class StreamError(Exception):
    """Ends a streaming RPC with a status other than OK.

    Parameters
    ----------
    status
        The gRPC status number.
    message
        Its text.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]
"""A coroutine function. It is cancelled when the client goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcMethod:
    """One RPC of a service.

    Parameters
    ----------
    kind
        Which sides are streams.
    handler
        Answers a call.
    operation
        What it does.
    protocol
        How its messages are framed: transports of that ``rpc_protocol`` carry it and no others. Reflection and
        health list what gRPC carries.
    """

    kind: RpcKind
    handler: Handler
    operation: Operation
    protocol: str = GRPC


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRoute:
    """One HTTP route of a service.

    Routes are tried in the order of registration, those with ``fallback`` after all others.

    Parameters
    ----------
    verb
        ``GET``, ``POST``...; ``*`` matches every verb. A path that matches with another verb only is 405.
    pattern
        Matched against the whole raw path; its named groups become ``call.match``.
    handler, operation
        See :class:`RpcMethod`.
    with_query
        Match the path together with ``?query`` (TensorFlow Serving's grammar does so).
    fallback
        Tried only when nothing else matched.
    advertised
        The OpenAPI document has it. False: it is there to refuse by name what others have; fallback routes are not
        advertised either.
    """

    verb: str
    pattern: re.Pattern[str]
    handler: Handler
    operation: Operation
    with_query: bool = False
    fallback: bool = False
    advertised: bool = True


class Service(ABC):
    """A protocol: RPC methods, HTTP routes, or both. Built by the host with a data plane.

    Attributes
    ----------
    name
        The word used in configuration and metrics; unique.
    descriptor_set
        A serialized ``FileDescriptorSet`` that describes its RPCs, for reflection; None: none.
    model_options_type
        A ``msgspec.Struct`` (unknown fields forbidden) for its table in a model's ``service_options``; None: models
        have nothing to say to it.
    openapi_file
        The file beside the class's module that describes its HTTP routes: JSON, with the keys ``paths`` and
        ``components`` of an OpenAPI 3.0 document; None: nothing does.
    """

    name: ClassVar[str]
    descriptor_set: ClassVar[bytes | None] = None
    model_options_type: ClassVar[type[msgspec.Struct] | None] = None
    openapi_file: ClassVar[str | None] = None

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return ``/package.Service/Method`` -> method."""
        return {}

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the routes, most specific first."""
        return ()

    def openapi(self) -> dict[str, Any]:
        """Return what its settings make of ``openapi_file``, a new object each time; asked for when a client asks.

        Only what the service answers by itself: the host adds tokens, its own refusals and the service's name.
        """
        return {} if self.openapi_file is None else self._read_json(self.openapi_file)

    @classmethod
    def _read_json(cls, name: str) -> dict[str, Any]:
        """Return the object in a file beside the module of the class that names ``openapi_file``."""
        module = next(base.__module__ for base in cls.__mro__ if "openapi_file" in vars(base))
        package = sys.modules[module].__package__ or module
        return msgspec.json.decode((files(package) / name).read_bytes(), type=dict[str, Any])

    @classmethod
    @abstractmethod
    def create(cls, context: ServiceContext) -> Service:
        """Build the service for one host."""
