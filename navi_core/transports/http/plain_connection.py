"""A connection's plain requests, one at a time, without aiohttp; what is not plain is handed over to it.

aiohttp takes two tasks, three turns of the loop and a dozen objects for a request: most of what a small one costs over
REST. Almost all requests need none of it: their head is plain (:mod:`~navi_core.transports.http.plain_request`), their body
comes soon, and their client waits for the answer. These are answered here. Anything else, from the first byte
that is unusual, is aiohttp's, and so is the connection from then on: with its bytes as they came, so that clients see
one server, whose limits and refusals are aiohttp's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from navi_core.contracts.service import Call
from navi_core.errors import MemoryBudgetError, NaviError
from navi_core.transports.body import BodyHold, closing_stream
from navi_core.transports.http.handling import Exchange, Handling
from navi_core.transports.http.plain_request import HEAD_END, PlainHead, read_head
from navi_core.transports.http.plain_writer import PlainWriter
from navi_core.transports.http_rules import (
    EarlyAnswer,
    body_refused,
    find_route,
)

__all__ = ["HandOver", "PlainConnection"]

_MAX_AWAITED_BYTES: Final = 1 << 18
_PATIENCE_S: Final = 1.0
"""A body that did not come with its head may be so long, and take so long."""

_MAX_AHEAD_BYTES: Final = 1 << 18
"""So much of later requests is taken before reading pauses."""

_log = logging.getLogger(__name__)

HandOver = Callable[[float, float | None], asyncio.Protocol | None]
"""Makes aiohttp's connection; told how long the first request's head may take, and when its body began, if it has.
None: the server has stopped."""


class _Awaited(NamedTuple):
    """A request whose body has not come whole; ``came`` has the head too."""

    head: PlainHead
    came: list[bytes]
    hold: BodyHold
    began_s: float
    timer: asyncio.TimerHandle


class PlainConnection(asyncio.Protocol):
    """One connection, until something comes that is not plain.

    Parameters
    ----------
    handling
        What all connections share.
    hand_over
        Makes the protocol that takes the connection over.
    connections
        Those that are open; this one is among them while it is.
    loop
        The event loop.
    """

    __slots__ = (
        "_ahead",
        "_awaited",
        "_connections",
        "_hand_over",
        "_handling",
        "_held",
        "_idle_since_s",
        "_idle_timer",
        "_loop",
        "_max_head_bytes",
        "_missing_bytes",
        "_peer",
        "_task",
        "_transport",
        "_writer",
    )

    def __init__(
        self,
        handling: Handling,
        hand_over: HandOver,
        connections: set[PlainConnection],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        own = handling.own
        self._handling = handling
        self._hand_over = hand_over
        self._connections = connections
        self._loop = loop
        self._max_head_bytes = min(own.max_line_bytes, own.max_header_bytes)
        self._peer = ""
        self._transport: asyncio.Transport | None = None
        self._idle_since_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._awaited: _Awaited | None = None
        self._missing_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._held: BodyHold | None = None
        self._ahead: list[bytes] = []
        self._writer: PlainWriter | None = None

    # --- the connection --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        transport = cast(asyncio.Transport, transport)  # uvloop's say that they are none
        self._transport = transport
        self._writer = PlainWriter(transport, self._handling, self._loop)
        self._connections.add(self)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else str(peer or "")
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._idle_since_s = self._loop.time()
        self._idle_timer = self._loop.call_later(self._handling.own.keepalive_timeout_s, self._check_idle)

    def connection_lost(self, _error: BaseException | None) -> None:
        """Cancel the handler: its client has gone."""
        if self._awaited is not None:
            self._awaited.hold.release()
        if self._held is not None:  # a task that is cancelled before its first step does nothing at all
            self._held.release()
        self._leave()
        if self._task is not None:
            self._task.cancel()

    def close(self) -> asyncio.Task[None] | None:
        """Close the connection once its answer is written; returns the task that writes it, if there is one."""
        if self._task is None and self._transport is not None:
            self._transport.close()
        return self._task

    def abort(self) -> None:
        """Close the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        """Have whoever writes wait: the client takes too little."""
        if self._writer is not None:
            self._writer.pause()

    def resume_writing(self) -> None:
        """Let them go on."""
        if self._writer is not None:
            self._writer.resume()

    def _check_idle(self) -> None:
        timeout_s = self._handling.own.keepalive_timeout_s
        is_busy = self._task is not None or self._awaited is not None
        due_s = (self._loop.time() if is_busy else self._idle_since_s) + timeout_s
        if due_s <= self._loop.time():
            self.close()
        else:
            self._idle_timer = self._loop.call_at(due_s, self._check_idle)

    def _leave(self) -> None:
        """Have nothing to do with the connection from now on."""
        self._connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._awaited is not None:
            self._awaited.timer.cancel()
            self._awaited = None
        self._transport = None

    # --- reading -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take a request, or what is next of its body."""
        if self._task is not None:
            self._came_ahead(data)
        elif self._awaited is not None:
            self._came_late(self._awaited, data)
        else:
            self._came(data)

    def _came(self, data: bytes) -> None:
        """Take the first bytes of a request, which are almost always all of it."""
        handling = self._handling
        size = data.find(HEAD_END) + len(HEAD_END)
        if not len(HEAD_END) <= size <= self._max_head_bytes:
            self._pass_on(data)
            return
        head = read_head(data[:size], handling.own.max_headers)
        if head is None or head.body_bytes > handling.options.max_message_bytes:
            self._pass_on(data)
            return
        missing_bytes = head.body_bytes + size - len(data)
        if missing_bytes < 0 or (missing_bytes and not self._may_await(head)):
            self._pass_on(data)
            return
        hold = BodyHold(handling.options.budget)
        try:
            hold.grow(head.body_bytes)
        except MemoryBudgetError:  # aiohttp gets the client to read the answer
            self._pass_on(data)
            return
        if missing_bytes:
            patience_s = min(_PATIENCE_S, handling.own.body_timeout_s)
            timer = self._loop.call_later(patience_s, self._pass_on, b"")
            self._missing_bytes = missing_bytes
            self._awaited = _Awaited(head, [data[:size], data[size:]], hold, self._loop.time(), timer)
            return
        self._begin(head, data[size:], hold)

    def _may_await(self, head: PlainHead) -> bool:
        """Tell whether a body may come later; one that is long, or that nobody will read, is aiohttp's."""
        if head.body_bytes > _MAX_AWAITED_BYTES:
            return False
        return self._handling.router.http(head.verb, head.path, head.query).route is not None

    def _came_late(self, awaited: _Awaited, data: bytes) -> None:
        """Take what is next of a body."""
        self._missing_bytes -= len(data)
        if self._missing_bytes < 0:
            self._pass_on(data)
            return
        awaited.came.append(data)
        if not self._missing_bytes:
            awaited.timer.cancel()
            self._awaited = None
            self._begin(awaited.head, b"".join(awaited.came[1:]), awaited.hold)

    def _begin(self, head: PlainHead, body: bytes, hold: BodyHold) -> None:
        self._held = hold
        self._task = self._loop.create_task(self._answer(head, body, hold))

    def _came_ahead(self, data: bytes) -> None:
        """Keep what comes before the answer is written."""
        self._ahead.append(data)
        if self._transport is not None and sum(map(len, self._ahead)) > _MAX_AHEAD_BYTES:
            self._transport.pause_reading()

    def _pass_on(self, data: bytes) -> None:
        """Hand the connection over, with what came of the request that is not answered."""
        transport, awaited = self._transport, self._awaited
        if transport is None or transport.is_closing():
            return
        body_began_s = None
        if awaited is not None:
            awaited.hold.release()
            body_began_s = awaited.began_s
            data = b"".join((*awaited.came, data))
        self._leave()
        head_due_s = self._idle_since_s + self._handling.own.keepalive_timeout_s
        successor = self._hand_over(max(0.0, head_due_s - self._loop.time()), body_began_s)
        if successor is None:
            transport.abort()
            return
        transport.set_protocol(successor)
        successor.connection_made(transport)
        if not transport.is_reading():
            transport.resume_reading()
        successor.data_received(data)

    # --- answering ---------------------------------------------------------------------------------

    async def _answer(self, head: PlainHead, body: bytes, hold: BodyHold) -> None:
        handling, transport, writer = self._handling, self._transport, self._writer
        assert transport is not None  # noqa: S101 - something came through it
        assert writer is not None  # noqa: S101 - it is made with the transport
        self._held = None
        call = Call(
            path=head.path,
            query=head.query,
            verb=head.verb,
            peer=self._peer,
            transport=handling.name,
            metadata=head.metadata,
            body=body,
            wire_size_bytes=len(body),
        )
        exchange = Exchange(call, hold)
        exchange.close = not head.keeps_open
        try:
            try:
                route = find_route(handling.router, call)
                try:
                    call.deadline = handling.deadline(head.metadata)
                except NaviError as error:
                    raise body_refused(error) from None
                response = await handling.respond(exchange, route)
                if response.stream is None:
                    await writer.write(exchange, response)
                else:
                    async with closing_stream(response.stream):
                        await writer.write_stream(exchange, response, response.stream)
            except EarlyAnswer as early:
                exchange.close |= early.close
                await writer.write(exchange, early.response)
        except asyncio.CancelledError:
            call.cancelled()
            transport.abort()
            raise
        except Exception:
            _log.exception("exchange with %s failed", self._peer)
            transport.abort()
        finally:
            handling.finish(exchange)
            self._task = None
        if exchange.close:
            transport.close()
        elif self._ahead:
            self._pass_on(b"".join(self._ahead))
        else:
            self._idle_since_s = self._loop.time()
