"""From grpcio's calls to handlers and back: generic handlers on raw bytes.

grpcio runs a handler in a task of the call's own and cancels that task when the client goes away or
its deadline passes. A message that a client sends after it went away reads as the end of its stream
for an instant, until that cancellation comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Protocol, cast

import grpc

from navi_core.contracts.service import (
    Call,
    Headers,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    StreamError,
)
from navi_core.contracts.transport import Router, TransportOptions
from navi_core.errors import ErrorCode, NaviError
from navi_core.request_ids import id_headers
from navi_core.transports.body import BodyHold, closing_stream, join_body, run_on_written
from navi_core.transports.early_errors import GRPC_STATUS, INTERNAL_TEXT, AnswerTooLargeError, grpc_status
from navi_core.transports.in_flight import DRAINING_TEXT, Ending, InFlight, RunningCall
from navi_core.transports.metadata import checked_metadata, status_text
from navi_core.types import Bytes

__all__ = ["CallHandlers"]

_log = logging.getLogger(__name__)

_STATUS_CODES: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}
"""grpcio takes numbers too, and turns the largest one, UNAUTHENTICATED, into UNKNOWN."""

_GONE_WAIT_S: Final = 5.0
"""After a failed write the cancellation is on its way; it takes a turn of the loop, not this long."""


class _Context(Protocol):
    """What is used of ``grpc.aio.ServicerContext``."""

    async def read(self) -> Any: ...
    async def write(self, message: bytes) -> None: ...
    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Sequence[Any]) -> None: ...
    async def send_initial_metadata(self, metadata: Sequence[Any]) -> None: ...
    def set_trailing_metadata(self, metadata: Sequence[Any]) -> None: ...
    def peer(self) -> str: ...
    def time_remaining(self) -> float | None: ...


class _Details(Protocol):
    """What is used of ``grpc.HandlerCallDetails``."""

    method: str
    invocation_metadata: Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class _Failure:
    """A call that ends with another status than OK."""

    status: int
    message: str
    trailers: Headers = ()


_INTERNAL: Final = _Failure(GRPC_STATUS[ErrorCode.INTERNAL], INTERNAL_TEXT)
_DRAINING: Final = _Failure(GRPC_STATUS[ErrorCode.UNAVAILABLE], DRAINING_TEXT)


class CallHandlers:
    """grpcio's generic handler: finds the method of each call and makes what runs it.

    Parameters
    ----------
    router
        Where the methods are.
    options
        Budget and clock.
    calls
        Counts what runs.
    name
        The transport's name, for ``call.transport``.
    """

    def __init__(self, router: Router, options: TransportOptions, calls: InFlight, name: str) -> None:
        self.options: Final = options
        self.calls: Final = calls
        self.name: Final = name
        self._methods: Final = {
            path: _Method(method) for path in router.rpc_paths() if (method := router.rpc(path)) is not None
        }
        self.parked: asyncio.Event | None = None
        self.num_parked = 0

    def service(self, details: _Details) -> object:
        """Return a method handler, as grpcio wants it, for one call."""
        method = self._methods.get(details.method)
        return _UnknownMethod(details.method) if method is None else method.call_type(self, details, method)

    def park(self) -> None:
        """Hold new calls from now on, until :meth:`release_parked`; then they are told ``draining``."""
        if self.parked is None:
            self.parked = asyncio.Event()

    def release_parked(self) -> None:
        """Answer the calls that are held, and all later ones, with ``draining``."""
        self.park()
        if self.parked is not None:
            self.parked.set()


class _Method:
    """What every call of a method needs to know of it, looked up once."""

    __slots__ = ("call_type", "handler", "is_read", "streams_responses")

    def __init__(self, method: RpcMethod) -> None:
        self.call_type: Final = _KINDS[method.kind]
        self.handler: Final = method.handler
        self.is_read: Final = method.operation is Operation.READ
        self.streams_responses: Final = method.kind.streams_responses


class _Inbound:
    """The client's messages; each is held in the budget until the next one is asked for."""

    __slots__ = ("_context", "_ended", "_hold", "refusal")

    def __init__(self, context: _Context, hold: BodyHold) -> None:
        self._context = context
        self._hold = hold
        self._ended = False
        self.refusal: NaviError | None = None

    def release(self) -> None:
        """Hold nothing any more."""
        self._hold.release()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._hold.release()
        if self._ended:
            raise StopAsyncIteration
        message = await self._context.read()
        if message is grpc.aio.EOF:
            self._ended = True
            raise StopAsyncIteration
        try:
            self._hold.grow(len(message))
        except NaviError as error:
            self.refusal = error
            raise
        return cast("bytes", message)


class _Rpc(RunningCall):
    """One call, from its task's first step. The subclasses have the attributes by which grpcio knows its kind."""

    __slots__ = ("_body_bytes", "_call", "_details", "_handlers", "_inbound", "_method", "_response")

    request_streaming: ClassVar[bool] = False
    response_streaming: ClassVar[bool] = False
    request_deserializer: ClassVar[None] = None
    response_serializer: ClassVar[None] = None

    def __init__(self, handlers: CallHandlers, details: _Details, method: _Method) -> None:
        # grpcio looks a method up in the task that will run it
        super().__init__(asyncio.current_task(), is_read=method.is_read)
        self._handlers = handlers
        self._details = details
        self._method = method
        self._body_bytes = 0
        self._inbound: _Inbound | None = None
        self._call: Call | None = None
        self._response: Response | None = None

    async def _run(self, context: _Context, body: bytes | None) -> bytes | _Failure | None:
        """Run the handler and write what it answers; returns what grpcio is to write at the end."""
        handlers = self._handlers
        if handlers.parked is not None:
            handlers.num_parked += 1
            await handlers.parked.wait()
            return _DRAINING
        # the context would keep its callbacks, and they the call's bodies, until a garbage collection
        assert self._task is not None  # noqa: S101 - grpcio runs a call in a task of its own
        self._task.add_done_callback(self._finished)
        try:
            awaitable = self._start(context, body)
        except NaviError as refusal:
            return _Failure(grpc_status(refusal), refusal.message)
        handlers.calls.add(self)
        try:
            self._response = response = await awaitable
            if response.status:
                return _Failure(response.status, response.message, response.trailers)
            if response.headers:
                await context.send_initial_metadata(checked_metadata(response.headers))
            if response.trailers:
                context.set_trailing_metadata(checked_metadata(response.trailers))
            if self._method.streams_responses:
                return await self._write_stream(context, response)
            answer = self._joined(response.body)
            run_on_written(response)
        except asyncio.CancelledError:
            return self._cancelled()
        except grpc.aio.InternalError:
            # the answer could not be written: the client has gone
            return await self._await_cancellation()
        except AnswerTooLargeError as error:
            return _Failure(grpc_status(error), error.message)
        except Exception as error:
            if self._inbound is not None and error is self._inbound.refusal:
                return _Failure(grpc_status(self._inbound.refusal), self._inbound.refusal.message)
            _log.exception("handler of %s failed", self._details.method)
            metadata = {} if self._call is None else self._call.metadata
            return replace(_INTERNAL, trailers=id_headers(metadata))
        return answer

    def _start(self, context: _Context, body: bytes | None) -> Awaitable[Response]:
        handlers, details = self._handlers, self._details
        remaining_s = context.time_remaining()
        call = Call(
            path=details.method,
            metadata=dict(details.invocation_metadata),
            peer=context.peer(),
            deadline=None if remaining_s is None else handlers.options.now() + remaining_s,
            transport=handlers.name,
        )
        if body is None:
            self._inbound = call.messages = _Inbound(context, BodyHold(handlers.options.budget))
        else:
            handlers.options.budget.take(len(body))
            self._body_bytes = call.wire_size_bytes = len(body)
            call.body = body
        self._call = call
        return self._method.handler(call)

    async def _write_stream(self, context: _Context, response: Response) -> _Failure | None:
        if response.stream is None:
            return None
        async with closing_stream(response.stream):
            try:
                async for message in response.stream:
                    await context.write(self._joined(message))
            except StreamError as error:
                return _Failure(error.status, error.message, response.trailers)
        return None

    def _joined(self, body: Bytes | Sequence[Bytes]) -> bytes:
        """Return an answer as grpcio wants it; grpcio itself would log a traceback for one that is too long."""
        answer = join_body(body)
        limit = self._handlers.options.max_message_bytes
        if len(answer) > limit:
            raise AnswerTooLargeError(len(answer), limit)
        return answer

    def _cancelled(self) -> _Failure:
        """Answer for our own interruption; the client's going goes on as a cancellation."""
        match self.ending():
            case Ending.CLIENT_GONE:
                self._client_gone()
                raise asyncio.CancelledError
            case Ending.NOBODY:
                _log.error("handler of %s raised CancelledError, nobody cancelled it", self._details.method)
                return _INTERNAL
            case _:
                return _DRAINING

    async def _await_cancellation(self) -> _Failure:
        try:
            await asyncio.sleep(_GONE_WAIT_S)
        except asyncio.CancelledError:
            return self._cancelled()
        self._client_gone()
        return _INTERNAL

    def _client_gone(self) -> None:
        if self._call is not None:
            self._call.cancelled()

    def _finished(self, _task: object) -> None:
        """Let go of everything, once the answer is written or cannot be written any more."""
        if self._inbound is None:
            self._handlers.options.budget.give_back(self._body_bytes)
        else:
            self._inbound.release()
        if self._response is not None:
            run_on_written(self._response)
        self._handlers.calls.end(self)


async def _abort(context: _Context, failure: _Failure) -> None:
    """End the call with a status; grpcio stops the task by an exception of its own."""
    try:
        trailers = checked_metadata(failure.trailers)
    except ValueError:
        _log.exception("trailers of an answer are not metadata")
        failure, trailers = _INTERNAL, ()
    await context.abort(
        _STATUS_CODES.get(failure.status, grpc.StatusCode.UNKNOWN), status_text(failure.message), trailers
    )


class _Unary(_Rpc):
    __slots__ = ()

    async def unary_unary(self, request: bytes, context: _Context) -> bytes | None:
        outcome = await self._run(context, request)
        if isinstance(outcome, _Failure):
            await _abort(context, outcome)
            return None
        return outcome


class _ServerStream(_Rpc):
    __slots__ = ()

    response_streaming = True

    async def unary_stream(self, request: bytes, context: _Context) -> None:
        outcome = await self._run(context, request)
        if isinstance(outcome, _Failure):
            await _abort(context, outcome)


class _ClientStream(_Rpc):
    __slots__ = ()

    request_streaming = True

    async def stream_unary(self, _messages: object, context: _Context) -> bytes | None:
        outcome = await self._run(context, None)
        if isinstance(outcome, _Failure):
            await _abort(context, outcome)
            return None
        return outcome


class _Bidi(_Rpc):
    __slots__ = ()

    request_streaming = True
    response_streaming = True

    async def stream_stream(self, _messages: object, context: _Context) -> None:
        outcome = await self._run(context, None)
        if isinstance(outcome, _Failure):
            await _abort(context, outcome)


class _UnknownMethod:
    """Refuses without reading what the client sends."""

    request_streaming = True
    response_streaming = True
    request_deserializer = None
    response_serializer = None

    def __init__(self, path: str) -> None:
        self._path = path

    async def stream_stream(self, _messages: object, context: _Context) -> None:
        failure = _Failure(GRPC_STATUS[ErrorCode.UNIMPLEMENTED], f"unknown method {self._path}")
        await _abort(context, failure)


_KINDS: Final[dict[RpcKind, type[_Rpc]]] = {
    RpcKind.UNARY: _Unary,
    RpcKind.SERVER_STREAM: _ServerStream,
    RpcKind.CLIENT_STREAM: _ClientStream,
    RpcKind.BIDI: _Bidi,
}
