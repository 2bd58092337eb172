"""Reading a request's body: bounded before and while it comes, inflated piece by piece."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from navi_core.contracts.transport import TransportOptions
from navi_core.errors import DeadlineExceededError, InvalidRequestError, RequestTooLargeError
from navi_core.transports.body import BodyHold
from navi_core.transports.http.options import HttpOptions
from navi_core.transports.inflate import Encoding, Inflater

__all__ = ["RequestBody", "read_body"]

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A body, inflated, and its size as received."""

    data: bytes
    wire_size_bytes: int


async def read_body(
    request: web.BaseRequest,
    encoding: Encoding | None,
    hold: BodyHold,
    options: TransportOptions,
    own: HttpOptions,
    began_s: float | None = None,
) -> RequestBody:
    """Read all of a body.

    Parameters
    ----------
    encoding
        What it is compressed with; None: nothing.
    hold
        Takes the bytes that are kept, before they are read where the size is known.
    began_s
        When it began to come, by the loop's clock; None: now.

    Raises
    ------
    RequestTooLargeError, MemoryBudgetError
        Before reading where the size is announced; while reading where it is not.
    InvalidRequestError
        The body is not what its headers say.
    DeadlineExceededError
        It came too slowly.
    """
    announced = request.content_length
    if announced is not None and announced > options.max_message_bytes:
        raise _too_large(options)
    if announced is not None and encoding is None:
        hold.grow(announced)
    content = request.content
    if content.at_eof():
        return RequestBody(b"", 0)
    if expected := request.headers.get(hdrs.EXPECT):
        await _encourage(request, expected)
    if content.is_eof() and encoding is None and content.exception() is None:
        # as almost always: it came whole, with its head
        body = content.read_nowait()
        if len(body) > options.max_message_bytes:
            raise _too_large(options)
        if announced is None:
            hold.grow(len(body))
        return RequestBody(body, len(body))
    reader = _Reader(request, own, began_s)
    if encoding is not None:
        return await _read_inflated(reader, encoding, hold, options)
    pieces: list[bytes] = []
    while piece := await reader.next():
        if reader.size_bytes > options.max_message_bytes:
            raise _too_large(options)
        if announced is None:
            hold.grow(len(piece))
        pieces.append(piece)
    return RequestBody(pieces[0] if len(pieces) == 1 else b"".join(pieces), reader.size_bytes)


async def _read_inflated(
    reader: _Reader, encoding: Encoding, hold: BodyHold, options: TransportOptions
) -> RequestBody:
    inflater = Inflater(
        encoding,
        max_inflated_bytes=min(options.max_inflated_bytes, options.max_message_bytes),
        max_inflate_ratio=options.max_inflate_ratio,
    )
    pieces: list[bytes] = []
    while piece := await reader.next():
        if reader.size_bytes > options.max_message_bytes:
            raise _too_large(options)
        for inflated in inflater.feed(piece):
            hold.grow(len(inflated))
            pieces.append(inflated)
            await asyncio.sleep(0)  # inflating is work: others get their turn
    inflater.finish()
    return RequestBody(b"".join(pieces), reader.size_bytes)


class _Reader:
    """Reads what has come, and gives up on a client that is too slow."""

    def __init__(self, request: web.BaseRequest, own: HttpOptions, began_s: float | None) -> None:
        self._content = request.content
        self._own = own
        self._start_s = asyncio.get_running_loop().time() if began_s is None else began_s
        self.size_bytes = 0

    async def next(self) -> bytes:
        """Return the next bytes; none at the end."""
        content, own = self._content, self._own
        try:
            # most bodies are here already: no timer is set up for those
            piece = content.read_nowait()
            if not piece and not content.at_eof():
                end_s = self._start_s + own.body_timeout_s + self.size_bytes / own.min_body_bytes_per_s
                async with asyncio.timeout_at(end_s):
                    piece = await content.readany()
        except TimeoutError:
            raise DeadlineExceededError(
                f"request body: expected at least {own.min_body_bytes_per_s} bytes a second after "
                f"{own.body_timeout_s:g} s, got {self.size_bytes} bytes",
                reason="slow_body",
            ) from None
        except web.RequestPayloadError:
            raise InvalidRequestError("request body: malformed transfer coding, or cut off") from None
        self.size_bytes += len(piece)
        return piece


async def _encourage(request: web.BaseRequest, expected: str) -> None:
    """Answer ``Expect: 100-continue``: the body may come."""
    if expected.lower() != "100-continue":
        raise InvalidRequestError("expect: expected 100-continue")
    await request.writer.write(_CONTINUE)
    # aiohttp counts what was written to tell whether an answer has begun
    request.writer.output_size = 0


def _too_large(options: TransportOptions) -> RequestTooLargeError:
    return RequestTooLargeError(f"request body: expected at most {options.max_message_bytes} bytes, got more")
