"""Requests that aiohttp reads: all that are not plain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from navi_core.contracts.service import Call, Response
from navi_core.errors import NaviError
from navi_core.transports.body import BodyHold, closing_stream, join_body
from navi_core.transports.http.connection import SERVER, Connection
from navi_core.transports.http.handling import Exchange, Handling
from navi_core.transports.http.request_body import read_body
from navi_core.transports.http_rules import (
    EarlyAnswer,
    body_encoding,
    body_refused,
    encode_answer,
    find_route,
    header_lines,
    internal_error,
    split_target,
)
from navi_core.types import Bytes

__all__ = ["Exchanges"]

_log = logging.getLogger(__name__)


class Exchanges:
    """aiohttp's request handler.

    Parameters
    ----------
    handling
        What all connections share.
    """

    def __init__(self, handling: Handling) -> None:
        self._handling: Final = handling

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; aiohttp cancels this when the client goes away."""
        handling = self._handling
        path, query = split_target(request.raw_path)
        call = Call(
            path=path,
            query=query,
            verb=request.method,
            peer=request.remote or "",
            transport=handling.name,
            metadata={name.lower(): value for name, value in request.headers.items()},
        )
        exchange = Exchange(call, BodyHold(handling.options.budget))
        try:
            try:
                response = await self._respond(request, exchange)
                if response.stream is None:
                    return await self._write(request, exchange, response)
                async with closing_stream(response.stream):
                    return await self._write_stream(request, exchange, response, response.stream)
            except EarlyAnswer as early:
                exchange.close |= early.close
                return await self._write(request, exchange, early.response)
        except asyncio.CancelledError:
            call.cancelled()
            raise
        finally:
            handling.finish(exchange)

    async def _respond(self, request: web.BaseRequest, exchange: Exchange) -> Response:
        handling, call = self._handling, exchange.call
        body_began_s = None
        if isinstance(request.protocol, Connection):
            body_began_s = request.protocol.has_begun()
        route = find_route(handling.router, call)
        try:
            coding = request.headers.get("Content-Encoding")
            encoding = body_encoding(coding) if coding else None
            call.deadline = handling.deadline(call.metadata)
            body = await read_body(
                request, encoding, exchange.hold, handling.options, handling.own, body_began_s
            )
        except NaviError as error:
            raise body_refused(error) from None
        call.body = body.data
        call.wire_size_bytes = body.wire_size_bytes
        call.compression = encoding or ""
        return await handling.respond(exchange, route)

    # --- writing -----------------------------------------------------------------------------

    async def _write(
        self, request: web.BaseRequest, exchange: Exchange, response: Response
    ) -> web.StreamResponse:
        handling = self._handling
        try:
            accepts = request.headers.get("Accept-Encoding", "")
            lines, body = await encode_answer(response, accepts, handling.compression)
            answer = web.Response(status=response.status, headers=CIMultiDict(lines), body=body)
        except ValueError:
            _log.exception("answer of %s %s cannot be written", request.method, exchange.call.path)
            failure = internal_error().response
            lines, body = await encode_answer(failure, "", handling.compression)
            answer = web.Response(status=failure.status, headers=CIMultiDict(lines), body=body)
        self._prepare(exchange, answer)
        try:
            await answer.prepare(request)
            await answer.write_eof()
        except ConnectionError:
            exchange.call.cancelled()
        return answer

    async def _write_stream(
        self, request: web.BaseRequest, exchange: Exchange, response: Response, stream: AsyncIterator[Bytes]
    ) -> web.StreamResponse:
        """Write chunk by chunk; the head goes out with the first, so that an early failure has a status."""
        try:
            answer = web.StreamResponse(status=response.status, headers=CIMultiDict(header_lines(response)))
        except ValueError:
            _log.exception("answer of %s %s cannot be written", request.method, exchange.call.path)
            raise internal_error() from None
        chunk = await self._handling.first_chunk(exchange, stream)
        self._prepare(exchange, answer)
        try:
            await answer.prepare(request)
            while chunk is not None and request.method != "HEAD":
                await answer.write(join_body(chunk))
                chunk = await anext(stream, None)
            await answer.write_eof()
        except ConnectionError:
            exchange.call.cancelled()
        except (Exception, asyncio.CancelledError) as error:
            if not self._handling.is_cut_off(exchange, error):
                raise
            if request.transport is not None:
                request.transport.abort()
        return answer

    def _prepare(self, exchange: Exchange, answer: web.StreamResponse) -> None:
        answer.headers["Server"] = SERVER
        if exchange.close or self._handling.is_draining:
            answer.force_close()
