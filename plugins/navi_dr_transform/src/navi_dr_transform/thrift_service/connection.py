"""One client's connection: messages in, one call after the other, answers out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from navi_core import (
    BodyHold,
    Call,
    Ending,
    ErrorCode,
    InFlight,
    NaviError,
    Operation,
    Response,
    Router,
    RpcKind,
    RpcMethod,
    TransportOptions,
    join_body,
    run_on_written,
)
from navi_dr_transform.thrift_service.inbound import Inbound, Message, Refusal
from navi_dr_transform.thrift_service.messages import (
    AppError,
    Framing,
    Header,
    MessageType,
    app_exception,
    message_start,
)
from navi_dr_transform.thrift_service.options import THRIFT, ThriftOptions

__all__ = ["SERVICE_METADATA", "Connection", "Shared"]

_log = logging.getLogger(__name__)

SERVICE_METADATA: Final = "thrift-service"
"""The metadata that holds the service's name of a multiplexed call (``NAME:method``)."""

_LINGER_S: Final = 2.0
"""What a client still sends is read so long after the last answer, so that it gets to read that."""

_COPIED_BYTES: Final = 1 << 16
"""Smaller answers are joined with their header: one system call is more than a copy."""

_INTERNAL_TEXT: Final = "internal error"
_DRAINING_TEXT: Final = "draining"

_APP_ERRORS: Final = {
    3: AppError.PROTOCOL_ERROR,  # INVALID_ARGUMENT
    12: AppError.UNKNOWN_METHOD,  # UNIMPLEMENTED
}
"""gRPC status -> the type of the exception that says it; INTERNAL_ERROR for all others."""


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the connections of one listener have in common.

    Parameters
    ----------
    router, options, own
        As the transport got them.
    name
        The transport's name, for ``call.transport``.
    calls
        Counts what runs.
    connections
        Those that are open.
    """

    router: Router
    options: TransportOptions
    own: ThriftOptions
    name: str
    calls: InFlight = field(default_factory=InFlight)
    connections: set[Connection] = field(default_factory=set)
    _waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def closed(self, connection: Connection) -> None:
        """Count a connection no longer."""
        self.connections.discard(connection)
        if not self.connections:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait_closed(self, timeout_s: float) -> None:
        """Wait until no connection is open, or time is up."""
        if not self.connections:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await waiter
        self._waiters.remove(waiter)

    def new_hold(self) -> BodyHold:
        """Return a message's share of the memory budget."""
        return BodyHold(self.options.budget)


class Connection(asyncio.BufferedProtocol):
    """Answers a client's messages in their order, as thrift clients expect it.

    The answer has the form of its request: framed or not, with a strict or an old header. A client that closes its
    connection does not want the answer any more: thrift has no half-closed connections.

    Parameters
    ----------
    shared
        What all connections have in common.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared: Final = shared
        self._loop: Final = asyncio.get_running_loop()
        self._inbound: Final = Inbound(shared.options.max_message_bytes, shared.new_hold)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began_s: float | None = None
        self._is_reading = True
        self._is_ending = False
        self._writable: asyncio.Future[None] | None = None
        self._peer = ""

    # --- what asyncio calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many already."""
        self._transport = opened = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        shared = self._shared
        if len(shared.connections) >= shared.own.max_connections:
            _log.warning("thrift connection refused: %d are open", len(shared.connections))
            opened.abort()
            return
        shared.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer or "")
        self._watch()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        del sizehint
        return self._inbound.free()

    def buffer_updated(self, nbytes: int) -> None:
        """Take in bytes."""
        self._inbound.put(nbytes)
        if self._task is None:
            self._advance()
        elif self._inbound.is_full:
            self._set_reading(wanted=False)

    def eof_received(self) -> bool:
        """Close: the client has gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what runs, and give everything back."""
        del exc
        self._shared.closed(self)
        self._stop_timer()
        self._inbound.close()
        self._transport = None
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Wait before more is written: the client reads slowly."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # --- from message to message ---------------------------------------------------------------------------

    def close(self) -> None:
        """Close once what was written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _advance(self) -> None:
        """Go on with what has come: a call is started, a refusal answered, or more bytes are waited for."""
        while self._transport is not None and not self._is_ending:
            taken = self._inbound.take()
            if taken is None:
                self._set_reading(wanted=True)
                self._watch()
                return
            self._stop_timer()
            if isinstance(taken, Message):
                self._set_reading(wanted=not self._inbound.is_full)
                self._start(self._serve(taken), taken.hold)
                return
            self._refuse(taken)
            if self._writable is not None:
                self._start(self._flush(), None)
                return

    def _start(self, work: Coroutine[Any, Any, None], hold: BodyHold | None) -> None:
        """Do what takes a while; nothing is read from what has come until it is done."""
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(lambda task: self._done(task, hold))

    def _refuse(self, refusal: Refusal) -> None:
        header = refusal.header
        if refusal.is_last:
            self._is_ending = True
            self._inbound.skip_rest()
        if header is None:
            _log.debug("thrift connection of %s closed: %s", self._peer, refusal.error.message)
            self.close()
            return
        if header.type != MessageType.ONEWAY:
            malformed = refusal.error.code is ErrorCode.INVALID_ARGUMENT
            kind = AppError.PROTOCOL_ERROR if malformed else AppError.INTERNAL_ERROR
            self._fail(header, kind, refusal.error.message)
        if refusal.is_last and self._transport is not None:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._timer = self._loop.call_later(_LINGER_S, self.abort)

    def _done(self, task: asyncio.Task[None], hold: BodyHold | None) -> None:
        self._task = None
        if hold is not None:  # not in the task: one that is cancelled before it begins does nothing
            hold.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("thrift connection of %s failed", self._peer, exc_info=error)
            self.abort()
        self._advance()

    async def _serve(self, message: Message) -> None:
        """Answer one message."""
        header = message.header
        if header.type in (MessageType.CALL, MessageType.ONEWAY):
            await self._call(header, message.body)
        else:
            text = f"expected a call, got a message of type {header.type}"
            self._fail(header, AppError.INVALID_MESSAGE_TYPE, text)
        await self._flush()

    # --- one call --------------------------------------------------------------------------------------------

    async def _call(self, header: Header, body: bytes | memoryview) -> None:
        shared = self._shared
        service, _, method_name = header.name.decode("utf-8", "replace").rpartition(":")
        path = f"/{shared.own.service}/{method_name}"
        method = shared.router.rpc(path, THRIFT)
        if method is None or method.kind is not RpcKind.UNARY:
            text = f"Invalid method name: '{method_name}'"
            self._fail(header, AppError.UNKNOWN_METHOD, text)
            return
        timeout_s = shared.own.call_timeout_ms / 1000
        call = Call(
            path=path,
            body=body,
            metadata={SERVICE_METADATA: service} if service else {},
            peer=self._peer,
            deadline=shared.options.now() + timeout_s if timeout_s else None,
            transport=shared.name,
            wire_size_bytes=len(body),
        )
        await self._run(header, call, method)

    async def _run(self, header: Header, call: Call, method: RpcMethod) -> None:
        calls = self._shared.calls
        try:
            awaitable = method.handler(call)
        except NaviError as refusal:
            self._fail(header, AppError.INTERNAL_ERROR, refusal.message)
            return
        running = calls.begin(is_read=method.operation is Operation.READ)
        response: Response | None = None
        try:
            response = await awaitable
            self._answer(header, call, response)
        except asyncio.CancelledError:
            ending = running.ending()
            call.cancelled()
            if ending is Ending.CLIENT_GONE:
                raise
            if ending is Ending.NOBODY:
                _log.error("handler of %s raised CancelledError, nobody cancelled it", call.path)
            text = _INTERNAL_TEXT if ending is Ending.NOBODY else _DRAINING_TEXT
            self._fail(header, AppError.INTERNAL_ERROR, text)
        except Exception:
            _log.exception("handler of %s failed", call.path)
            self._fail(header, AppError.INTERNAL_ERROR, _INTERNAL_TEXT)
        finally:
            if response is not None:
                run_on_written(response)
            calls.end(running)

    def _answer(self, header: Header, call: Call, response: Response) -> None:
        """Write what a handler answered: a result, which may be a declared exception, or why there is none."""
        body = join_body(response.body)
        limit = self._shared.options.max_message_bytes
        if len(body) > limit:
            _log.error("answer of %s has %d bytes, over the limit of %d", call.path, len(body), limit)
            text = f"answer: expected at most {limit} bytes, got {len(body)}"
            self._fail(header, AppError.INTERNAL_ERROR, text)
        elif response.status and not body:
            kind = _APP_ERRORS.get(response.status, AppError.INTERNAL_ERROR)
            self._fail(header, kind, response.message)
        else:
            self._write(header, MessageType.REPLY, body)

    # --- writing -----------------------------------------------------------------------------------------------

    def _fail(self, header: Header, kind: AppError, text: str) -> None:
        self._write(header, MessageType.EXCEPTION, app_exception(kind, text))

    def _write(self, header: Header, message_type: MessageType, body: bytes) -> None:
        """Write an answer; calls that are one-way get none."""
        transport, framing = self._transport, self._inbound.framing
        if transport is None or framing is None or header.type == MessageType.ONEWAY:
            return
        start = message_start(header, message_type, Framing(framing), len(body))
        if len(body) <= _COPIED_BYTES:
            transport.write(start + body)
        else:
            transport.write(start)
            transport.write(body)

    async def _flush(self) -> None:
        """Wait until the client has read enough of what was written."""
        writable = self._writable
        if writable is None:
            return
        try:
            async with asyncio.timeout(self._shared.own.write_timeout_s):
                await asyncio.shield(writable)
        except TimeoutError:
            _log.debug("thrift connection of %s cut: it does not read its answer", self._peer)
            self.abort()

    # --- reading in time ---------------------------------------------------------------------------------------

    def _set_reading(self, *, wanted: bool) -> None:
        if self._transport is None or wanted == self._is_reading:
            return
        self._is_reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _watch(self) -> None:
        """See that the next message begins, and then comes, in time."""
        has_begun = self._inbound.has_begun
        if self._timer is not None and has_begun == (self._began_s is not None):
            return
        self._stop_timer()
        own = self._shared.own
        self._began_s = self._loop.time() if has_begun else None
        self._timer = self._loop.call_later(
            own.message_timeout_s if has_begun else own.idle_timeout_s, self._late
        )

    def _late(self) -> None:
        self._timer = None
        if self._began_s is not None:
            own = self._shared.own
            granted_s = own.message_timeout_s + self._inbound.received_bytes / own.min_message_bytes_per_s
            left_s = self._began_s + granted_s - self._loop.time()
            if left_s > 0:
                self._timer = self._loop.call_later(left_s, self._late)
                return
        _log.debug("thrift connection of %s closed: no message came in time", self._peer)
        self.abort()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        self._began_s = None
        if timer is not None:
            timer.cancel()
