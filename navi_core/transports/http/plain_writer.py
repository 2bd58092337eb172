"""Writing the answers of plain requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from navi_core.contracts.service import Response
from navi_core.transports.body import join_body
from navi_core.transports.http.handling import Exchange, Handling
from navi_core.transports.http.plain_answer import answer_head, has_body, stream_head
from navi_core.transports.http_rules import encode_answer, internal_error
from navi_core.types import Bytes

__all__ = ["PlainWriter"]

_JOINED_BYTES: Final = 1 << 16
"""Up to so many bytes, to join a head and a body costs less than a second write."""

_log = logging.getLogger(__name__)


class PlainWriter:
    """Writes to one connection, no faster than its client takes what is written.

    Parameters
    ----------
    transport
        The connection.
    handling
        What all connections share.
    loop
        The event loop.
    """

    __slots__ = ("_handling", "_loop", "_transport", "_writable")

    def __init__(
        self, transport: asyncio.Transport, handling: Handling, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport = transport
        self._handling = handling
        self._loop = loop
        self._writable: asyncio.Future[None] | None = None

    def pause(self) -> None:
        """Have whoever writes wait: the client takes too little."""
        self._writable = self._loop.create_future()

    def resume(self) -> None:
        """Let them go on."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    async def write(self, exchange: Exchange, response: Response) -> None:
        """Write an answer that is no stream, and wait until the client has taken most of what was written."""
        handling, transport = self._handling, self._transport
        exchange.close |= handling.is_draining
        keeps_open = not exchange.close
        try:
            body, headers = response.body, response.headers
            if not isinstance(body, bytes) or len(body) >= handling.compression.min_bytes:
                accepts = str(exchange.call.metadata.get("accept-encoding", ""))
                headers, body = await encode_answer(response, accepts, handling.compression)
            head = answer_head(response.status, headers, len(body), keeps_open=keeps_open)
        except ValueError:
            _log.exception("answer of %s %s cannot be written", exchange.call.verb, exchange.call.path)
            response = internal_error().response
            body = join_body(response.body)
            head = answer_head(response.status, response.headers, len(body), keeps_open=keeps_open)
        if not has_body(response.status):
            body = b""
        if transport.is_closing():
            exchange.call.cancelled()
        elif len(body) <= _JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        if self._writable is not None:
            await self._writable

    async def write_stream(
        self, exchange: Exchange, response: Response, stream: AsyncIterator[Bytes]
    ) -> None:
        """Write chunk by chunk; the head goes out with the first, so that an early failure has a status."""
        handling, transport = self._handling, self._transport
        exchange.close |= handling.is_draining
        try:
            head = stream_head(response.status, response.headers, keeps_open=not exchange.close)
        except ValueError:
            _log.exception("answer of %s %s cannot be written", exchange.call.verb, exchange.call.path)
            raise internal_error() from None
        chunk = await handling.first_chunk(exchange, stream)
        try:
            while chunk is not None:
                if len(chunk):  # an empty one would be the end
                    transport.write(b"%b%x\r\n%b\r\n" % (head, memoryview(chunk).nbytes, join_body(chunk)))
                    head = b""
                if self._writable is not None:
                    await self._writable
                chunk = await anext(stream, None)
            transport.write(head + b"0\r\n\r\n")
        except (Exception, asyncio.CancelledError) as error:
            if not handling.is_cut_off(exchange, error):
                raise
            transport.abort()
