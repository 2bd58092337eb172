"""One HTTP request over ASGI."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from navi_core.contracts.service import Call, Operation, Response
from navi_core.errors import InvalidRequestError, NaviError, RequestTooLargeError
from navi_core.transports.asgi.channel import Channel, ClientGoneError, Scope
from navi_core.transports.asgi.headers import HttpHeaders, RawHeaders
from navi_core.transports.asgi.skin import Skin, peer_of
from navi_core.transports.body import BodyHold, closing_stream, join_body, run_on_written
from navi_core.transports.http_rules import (
    TIMEOUT_HEADER,
    EarlyAnswer,
    answer_for_ending,
    body_encoding,
    body_refused,
    encode_answer,
    find_route,
    header_lines,
    internal_error,
    refused,
    request_deadline,
)
from navi_core.transports.in_flight import Ending, RunningCall
from navi_core.transports.inflate import Encoding, Inflater

__all__ = ["HttpExchange"]

_OWN_HEADERS: Final = frozenset({b"content-encoding", b"content-length", TIMEOUT_HEADER.encode()})
"""What the transport reads itself."""

_MAX_LENGTH_DIGITS: Final = 18
_CLOSE: Final = ((b"connection", b"close"),)

_log = logging.getLogger(__name__)


class HttpExchange:
    """One request.

    Parameters
    ----------
    skin
        The application's.
    scope, channel
        The request's.
    """

    __slots__ = (
        "_call",
        "_channel",
        "_closes",
        "_headers",
        "_hold",
        "_is_head",
        "_response",
        "_running",
        "_skin",
        "_version",
    )

    def __init__(self, skin: Skin, scope: Scope, channel: Channel) -> None:
        raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:!$&'()*+,;=@~").encode()
        verb: str = scope["method"]
        query: bytes = scope.get("query_string", b"")
        self._headers: RawHeaders = scope["headers"]
        self._call = Call(
            path=(raw.partition(b"?")[0] if b"?" in raw else raw).decode("latin-1"),
            query=query.decode("latin-1") if query else "",
            verb=verb,
            peer=peer_of(scope),
            transport=skin.name,
            metadata=HttpHeaders(self._headers),
        )
        self._skin = skin
        self._channel = channel
        self._is_head = verb == "HEAD"
        self._version: str = scope.get("http_version", "1.1")
        self._hold = BodyHold(skin.options.budget)
        self._closes = False
        self._running: RunningCall | None = None
        self._response: Response | None = None

    async def run(self) -> None:
        """Answer the request."""
        try:
            try:
                response = await self._respond()
                if response.stream is None:
                    await self._write(response)
                else:
                    async with closing_stream(response.stream):
                        await self._write_stream(response, response.stream)
            except EarlyAnswer as early:
                self._closes |= early.close
                await self._write(early.response)
        except ClientGoneError:
            self._call.cancelled()
        except asyncio.CancelledError:
            self._call.cancelled()
            raise
        finally:
            self._channel.close()
            self._hold.release()
            if self._response is not None and self._response.on_written is not None:
                run_on_written(self._response)
            if self._running is not None:
                self._skin.calls.end(self._running)

    async def _respond(self) -> Response:
        call, skin = self._call, self._skin
        route = find_route(skin.router, call)
        try:
            encoding, announced_bytes = self._read_headers()
            if announced_bytes is not None:
                if announced_bytes > skin.options.max_message_bytes:
                    raise self._too_large()
                if encoding is None:
                    self._hold.grow(announced_bytes)
            piece = self._channel.take(await self._channel.receive())
            if self._channel.body_ended and encoding is None and len(piece) == announced_bytes:
                # as almost always: it came whole
                call.wire_size_bytes = announced_bytes
                call.body = piece
            else:
                call.body = await self._read_pieces(piece, encoding, announced_bytes)
        except NaviError as error:
            raise body_refused(error) from None
        call.compression = encoding or ""
        try:
            awaitable = route.handler(call)
        except NaviError as error:
            raise refused(error) from None
        self._running = running = skin.calls.begin(is_read=route.operation is Operation.READ)
        self._channel.interrupt_when_gone(running)
        timer = None if call.deadline is None else skin.watch_deadline(call, running)
        try:
            self._response = await awaitable
        except asyncio.CancelledError:
            raise self._why_cancelled(running) from None
        except Exception:
            _log.exception("handler of %s %s failed", call.verb, call.path)
            raise internal_error(call) from None
        finally:
            if timer is not None:
                timer.cancel()
        return self._response

    def _read_headers(self) -> tuple[Encoding | None, int | None]:
        """Read what the transport needs; returns the body's encoding and its announced length, None for none."""
        encoding: Encoding | None = None
        announced_bytes: int | None = None
        for raw_name, value in self._headers:
            name = raw_name.lower()
            if name not in _OWN_HEADERS or not value:
                continue
            text = value.decode("latin-1")
            match name:
                case b"content-encoding":
                    encoding = body_encoding(text)
                case b"content-length":
                    if not text.isascii() or not text.isdecimal() or len(text) > _MAX_LENGTH_DIGITS:
                        raise InvalidRequestError("content-length: expected a number of bytes")
                    announced_bytes = int(text)
                case _:
                    self._call.deadline = request_deadline(text, self._skin.options.now())
        return encoding, announced_bytes

    async def _read_pieces(
        self, piece: bytes, encoding: Encoding | None, announced_bytes: int | None
    ) -> bytes:
        """Read a body of several pieces, of unknown length, or compressed; ``piece`` came already."""
        options, call = self._skin.options, self._call
        inflater = None if encoding is None else self._inflater(encoding)
        pieces: list[bytes] = []
        while True:
            call.wire_size_bytes += len(piece)
            if call.wire_size_bytes > options.max_message_bytes:
                raise self._too_large()
            if inflater is None:
                if announced_bytes is None or call.wire_size_bytes > announced_bytes:
                    self._hold.grow(len(piece))
                pieces.append(piece)
            else:
                for inflated in inflater.feed(piece):
                    self._hold.grow(len(inflated))
                    pieces.append(inflated)
                    await asyncio.sleep(0)  # inflating is work: others get their turn
            if self._channel.body_ended:
                break
            piece = await self._channel.next_piece()
        if inflater is not None:
            inflater.finish()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _inflater(self, encoding: Encoding) -> Inflater:
        options = self._skin.options
        return Inflater(
            encoding,
            max_inflated_bytes=min(options.max_inflated_bytes, options.max_message_bytes),
            max_inflate_ratio=options.max_inflate_ratio,
        )

    def _too_large(self) -> RequestTooLargeError:
        limit = self._skin.options.max_message_bytes
        return RequestTooLargeError(f"request body: expected at most {limit} bytes, got more")

    def _why_cancelled(self, running: RunningCall) -> BaseException:
        ending = running.ending()
        if ending is Ending.CLIENT_GONE:
            task = asyncio.current_task()
            # the server's own cancellation goes on; ours is over
            return asyncio.CancelledError() if task is not None and task.cancelling() else ClientGoneError()
        if ending is Ending.NOBODY:
            _log.error("handler of %s raised CancelledError, nobody cancelled it", self._call.path)
        self._call.cancelled()
        return answer_for_ending(ending)

    # --- writing -----------------------------------------------------------------------------

    async def _write(self, response: Response) -> None:
        compression = self._skin.compression
        try:
            if compression.enabled:
                accepted = str(self._call.metadata.get("accept-encoding", ""))
                lines, body = await encode_answer(response, accepted, compression)
                head = tuple(map(_encoded, lines))
            else:
                head, body = _head_of(response.status, tuple(response.headers)), join_body(response.body)
        except ValueError:
            _log.exception("answer of %s cannot be written", self._call.path)
            response = internal_error().response
            head, body = _head_of(response.status, tuple(response.headers)), join_body(response.body)
        head = (*head, *self._farewell(), (b"content-length", b"%d" % len(body)))
        await self._channel.answer(response.status, head, b"" if self._is_head else body)

    async def _write_stream(self, response: Response, stream: AsyncIterator[bytes | memoryview]) -> None:
        """Write chunk by chunk; the head goes out with the first, so that an early failure has a status."""
        running = self._running
        try:
            lines = header_lines(response)
            chunk = await anext(stream, None)
        except asyncio.CancelledError:
            if running is None:
                raise
            raise self._why_cancelled(running) from None
        except Exception:
            _log.exception("stream of %s failed", self._call.path)
            raise internal_error() from None
        await self._channel.start(response.status, (*map(_encoded, lines), *self._farewell()))
        try:
            while chunk is not None and not self._is_head:
                await self._channel.body(join_body(chunk), more=True)
                chunk = await anext(stream, None)
        except asyncio.CancelledError:
            if running is None or running.ending() is Ending.CLIENT_GONE:
                raise ClientGoneError from None
            raise _CutOffError from None
        except ClientGoneError:
            raise
        except Exception:
            _log.exception("stream of %s failed", self._call.path)
            raise _CutOffError from None
        await self._channel.body(b"", more=False)

    def _farewell(self) -> tuple[tuple[bytes, bytes], ...]:
        ends = (self._closes or self._skin.is_draining) and self._version.startswith("1")
        return _CLOSE if ends else ()


@lru_cache(maxsize=256)
def _head_of(status: int, headers: tuple[tuple[str, str | bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of an answer that is not compressed: the same few over and over."""
    return tuple(map(_encoded, header_lines(Response(status=status, headers=headers))))


def _encoded(line: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = line
    return name.encode("latin-1"), value.encode("latin-1")


class _CutOffError(Exception):
    """Ends the application without ending the body: the server resets, the client sees it is incomplete."""
