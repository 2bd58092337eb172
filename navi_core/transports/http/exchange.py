"""One HTTP request and its answer: find the route, read, run the handler, write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from navi_core.contracts.service import Call, Operation, Response
from navi_core.contracts.transport import Router, TransportOptions
from navi_core.errors import NaviError
from navi_core.transports.body import BodyHold, closing_stream, join_body, run_on_written
from navi_core.transports.http.connection import SERVER, Connection
from navi_core.transports.http.options import HttpOptions
from navi_core.transports.http.plain_answer import WRITTEN, WRITTEN_LAST, is_plain, write_plain
from navi_core.transports.http.request_body import read_body
from navi_core.transports.http_rules import (
    DEADLINE_SLACK_S,
    TIMEOUT_HEADER,
    AnswerCompression,
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
    split_target,
)
from navi_core.transports.in_flight import Ending, InFlight, RunningCall

__all__ = ["Exchanges"]

_log = logging.getLogger(__name__)


class Exchanges:
    """aiohttp's request handler.

    Parameters
    ----------
    router, options
        As the transport got them.
    own
        The transport's own settings.
    calls
        Counts what runs.
    name
        The transport's name, for ``call.transport``.
    """

    def __init__(
        self, router: Router, options: TransportOptions, own: HttpOptions, calls: InFlight, name: str
    ) -> None:
        self._router: Final = router
        self._options: Final = options
        self._own: Final = own
        self._calls: Final = calls
        self._name: Final = name
        self._compression: Final = AnswerCompression(
            own.compression == "gzip", own.compression_min_bytes, own.compression_level
        )
        self.is_draining = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; aiohttp cancels this when the client goes away."""
        if isinstance(request.protocol, Connection):
            request.protocol.has_begun()
        exchange = _Exchange(request, BodyHold(self._options.budget), self._name)
        try:
            try:
                response = await self._respond(exchange)
                if response.stream is None:
                    return await self._write(exchange, response)
                async with closing_stream(response.stream):
                    return await self._write_stream(exchange, response, response.stream)
            except EarlyAnswer as early:
                exchange.close |= early.close
                return await self._write(exchange, early.response)
        except asyncio.CancelledError:
            exchange.call.cancelled()
            raise
        finally:
            exchange.hold.release()
            if exchange.response is not None:
                run_on_written(exchange.response)
            if exchange.running is not None:
                self._calls.end(exchange.running)

    async def _respond(self, exchange: _Exchange) -> Response:
        request, call = exchange.request, exchange.call
        route = find_route(self._router, call)
        headers = {name.lower(): value for name, value in request.headers.items()}
        call.metadata = headers
        try:
            coding = headers.get("content-encoding")
            encoding = body_encoding(coding) if coding else None
            timeout_ms = headers.get(TIMEOUT_HEADER)
            if timeout_ms is not None:
                call.deadline = request_deadline(timeout_ms, self._options.now())
            body = await read_body(request, encoding, exchange.hold, self._options, self._own)
        except NaviError as error:
            raise body_refused(error) from None
        call.body = body.data
        call.wire_size_bytes = body.wire_size_bytes
        call.compression = encoding or ""
        try:
            awaitable = route.handler(call)
        except NaviError as error:
            raise refused(error) from None
        exchange.running = running = self._calls.begin(is_read=route.operation is Operation.READ)
        timer = self._watch_deadline(call, running)
        try:
            exchange.response = await awaitable
        except asyncio.CancelledError:
            raise _why_cancelled(call, running) from None
        except Exception:
            _log.exception("handler of %s %s failed", call.verb, call.path)
            raise internal_error() from None
        finally:
            if timer is not None:
                timer.cancel()
        return exchange.response

    def _watch_deadline(self, call: Call, running: RunningCall) -> asyncio.TimerHandle | None:
        if call.deadline is None:
            return None
        delay_s = call.deadline - self._options.now() + DEADLINE_SLACK_S
        return asyncio.get_running_loop().call_later(delay_s, running.interrupt, Ending.DEADLINE)

    # --- writing -----------------------------------------------------------------------------

    async def _write(self, exchange: _Exchange, response: Response) -> web.StreamResponse:
        request = exchange.request
        try:
            accepts = request.headers.get("Accept-Encoding", "")
            lines, body = await encode_answer(response, accepts, self._compression)
            if is_plain(request, response.status, body):
                return await self._write_plain(exchange, response.status, lines, body)
            answer = web.Response(status=response.status, headers=CIMultiDict(lines), body=body)
        except ValueError:
            _log.exception("answer of %s %s cannot be written", request.method, exchange.call.path)
            failure = internal_error().response
            lines, body = await encode_answer(failure, "", self._compression)
            answer = web.Response(status=failure.status, headers=CIMultiDict(lines), body=body)
        self._prepare(exchange, answer)
        try:
            await answer.prepare(request)
            await answer.write_eof()
        except ConnectionError:
            exchange.call.cancelled()
        return answer

    async def _write_plain(
        self, exchange: _Exchange, status: int, lines: list[tuple[str, str]], body: bytes
    ) -> web.StreamResponse:
        request = exchange.request
        keeps_open = request.keep_alive and not exchange.close and not self.is_draining
        try:
            await write_plain(request, status, lines, body, keeps_open=keeps_open)
        except ConnectionError:
            exchange.call.cancelled()
        return WRITTEN if keeps_open else WRITTEN_LAST

    async def _write_stream(
        self, exchange: _Exchange, response: Response, stream: AsyncIterator[bytes | memoryview]
    ) -> web.StreamResponse:
        """Write chunk by chunk; the head goes out with the first, so that an early failure has a status."""
        call, running = exchange.call, exchange.running
        try:
            answer = web.StreamResponse(status=response.status, headers=CIMultiDict(header_lines(response)))
            chunk = await anext(stream, None)
        except asyncio.CancelledError:
            if running is None:
                raise
            raise _why_cancelled(call, running) from None
        except Exception:
            _log.exception("stream of %s failed", call.path)
            raise internal_error() from None
        self._prepare(exchange, answer)
        try:
            await answer.prepare(exchange.request)
            while chunk is not None and exchange.request.method != "HEAD":
                await answer.write(join_body(chunk))
                chunk = await anext(stream, None)
            await answer.write_eof()
        except ConnectionError:
            call.cancelled()
        except asyncio.CancelledError:
            if running is None or running.ending() is Ending.CLIENT_GONE:
                raise
            _cut_off(exchange.request)
        except Exception:
            _log.exception("stream of %s failed", call.path)
            _cut_off(exchange.request)
        return answer

    def _prepare(self, exchange: _Exchange, answer: web.StreamResponse) -> None:
        answer.headers["Server"] = SERVER
        if exchange.close or self.is_draining:
            answer.force_close()


class _Exchange:
    """What is known of one request so far."""

    __slots__ = ("call", "close", "hold", "request", "response", "running")

    def __init__(self, request: web.BaseRequest, hold: BodyHold, transport: str) -> None:
        path, query = split_target(request.raw_path)
        self.request = request
        self.call = Call(
            path=path, query=query, verb=request.method, peer=request.remote or "", transport=transport
        )
        self.hold = hold
        self.running: RunningCall | None = None
        self.response: Response | None = None
        self.close = False


def _why_cancelled(call: Call, running: RunningCall) -> BaseException:
    ending = running.ending()
    if ending is Ending.CLIENT_GONE:
        return asyncio.CancelledError()
    if ending is Ending.NOBODY:
        _log.error("handler of %s raised CancelledError, nobody cancelled it", call.path)
    call.cancelled()
    return answer_for_ending(ending)


def _cut_off(request: web.BaseRequest) -> None:
    """End a connection in the middle of a stream: the client must not take it for complete."""
    if request.transport is not None:
        request.transport.abort()
