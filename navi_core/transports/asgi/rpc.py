"""One gRPC call over ASGI: headers, framed messages, trailers.

The protocol is that of gRPC's ``PROTOCOL-HTTP2.md``; trailers need the server's extension
``http.response.trailers``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from navi_core.contracts.service import Call, Headers, Operation, Response, RpcMethod, StreamError
from navi_core.errors import ErrorCode, NaviError, UnsupportedError
from navi_core.request_ids import id_headers
from navi_core.transports.answer_encoding import accepts_gzip, gzip_body
from navi_core.transports.asgi.channel import Channel, ClientGoneError, Scope
from navi_core.transports.asgi.framing import PREFIX_BYTES, encode_prefix, whole_message_bytes
from navi_core.transports.asgi.headers import RawHeaders, RpcMetadata
from navi_core.transports.asgi.inbound import Inbound
from navi_core.transports.asgi.skin import Skin, peer_of
from navi_core.transports.body import closing_stream, join_body, run_on_written
from navi_core.transports.early_errors import GRPC_STATUS, INTERNAL_TEXT, AnswerTooLargeError, grpc_status
from navi_core.transports.in_flight import DRAINING_TEXT, Ending, RunningCall
from navi_core.transports.inflate import Encoding, known_encoding
from navi_core.transports.metadata import (
    checked_metadata,
    decode_binary,
    encode_binary,
    parse_timeout_s,
    percent_encode,
    status_text,
)

__all__ = ["RpcExchange", "is_grpc"]

_ACCEPTED: Final = (b"grpc-accept-encoding", b"identity, deflate, gzip")
_OK: Final = (b"grpc-status", b"0")
_OK_TRAILERS: Final = (_OK,)
_CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
_HEAD: Final = (_CONTENT_TYPE, _ACCEPTED)
"""The head of almost every answer."""

_OWN, _BINARY, _OTHER = range(3)
_KINDS: Final[dict[bytes, int]] = {}
"""What names of headers that came before are; there are few. Filled by :func:`_kind_of`."""

_MAX_KINDS: Final = 256
_MAX_KNOWN_NAME_BYTES: Final = 64

_TRAILERS: Final = "http.response.trailers"
"""The extension by which a server says that it sends trailers."""

_JOIN_BELOW_BYTES: Final = 1 << 16
"""Prefix and message go out in one piece below this size; above, a copy costs more than an event."""

_THREAD_FROM_BYTES: Final = 1 << 20
"""Larger answers are compressed on another thread; the loop must not wait for zlib."""

_log = logging.getLogger(__name__)


def is_grpc(content_type: bytes) -> bool:
    """Tell whether a content type is gRPC's (and not gRPC-Web's)."""
    return content_type[:16] == b"application/grpc" and content_type[16:17] in (b"", b"+", b";")


@dataclass(frozen=True, slots=True)
class _Failure:
    """A call that ends with another status than OK."""

    status: int
    message: str
    trailers: Headers = ()


_INTERNAL: Final = _Failure(GRPC_STATUS[ErrorCode.INTERNAL], INTERNAL_TEXT)


def _refusal(error: NaviError) -> _Failure:
    return _Failure(grpc_status(error), error.message)


class RpcExchange:
    """One call.

    Parameters
    ----------
    skin
        The application's.
    scope, channel
        The request's.
    """

    __slots__ = (
        "_accepts",
        "_call",
        "_channel",
        "_encoding",
        "_headers",
        "_held_bytes",
        "_inbound",
        "_response",
        "_running",
        "_sends_trailers",
        "_skin",
    )

    def __init__(self, skin: Skin, scope: Scope, channel: Channel) -> None:
        self._skin = skin
        self._channel = channel
        self._headers: RawHeaders = scope["headers"]
        self._call = Call(
            path=scope["path"],
            peer=peer_of(scope),
            transport=skin.name,
            metadata=RpcMetadata(self._headers),
        )
        self._sends_trailers = _TRAILERS in scope.get("extensions", {})
        self._accepts = ""
        self._encoding: Encoding | None = None
        self._held_bytes = 0
        self._inbound: Inbound | None = None
        self._response: Response | None = None
        self._running: RunningCall | None = None

    async def run(self) -> None:
        """Answer the call."""
        try:
            try:
                failure = await self._answer()
            except NaviError as error:
                failure = _refusal(error)
            if failure is not None:
                await self._write_failure(failure)
        except ClientGoneError:
            self._call.cancelled()
        except asyncio.CancelledError:
            self._call.cancelled()
            raise
        finally:
            self._channel.close()
            if self._held_bytes:
                self._skin.options.budget.give_back(self._held_bytes)
            if self._inbound is not None:
                self._inbound.release()
            if self._response is not None and self._response.on_written is not None:
                run_on_written(self._response)
            if self._running is not None:
                self._skin.calls.end(self._running)

    # --- before the handler ------------------------------------------------------------------

    async def _answer(self) -> _Failure | None:
        call, skin, channel = self._call, self._skin, self._channel
        method = skin.router.rpc(call.path)
        if method is None:
            raise UnsupportedError(f"unknown method {call.path}")
        self._read_headers()
        running = RunningCall(asyncio.current_task(), is_read=method.operation is Operation.READ)
        timer = None if call.deadline is None else skin.watch_deadline(call, running)
        try:
            if method.kind.streams_requests:
                call.messages = self._inbound_for(running)
            else:
                piece = channel.take(await channel.receive())
                if not self._is_whole(piece):
                    await self._read_pieces(self._inbound_for(running), piece)
            awaitable = method.handler(call)
            skin.calls.add(running)
            self._running = running
            channel.interrupt_when_gone(running)
            return await self._run(method, awaitable)
        except asyncio.CancelledError:
            return self._cancelled(running)
        finally:
            if timer is not None:
                timer.cancel()

    async def _run(self, method: RpcMethod, awaitable: Awaitable[Response]) -> _Failure | None:
        try:
            self._response = response = await awaitable
            return await self._write(method, response)
        except ClientGoneError:
            raise
        except AnswerTooLargeError as error:
            return _refusal(error)
        except Exception as error:
            inbound = self._inbound
            if inbound is not None and inbound.refusal is not None and error is inbound.refusal:
                return _refusal(inbound.refusal)
            _log.exception("handler of %s failed", self._call.path)
            return replace(_INTERNAL, trailers=id_headers(self._call.metadata))

    def _is_whole(self, piece: bytes) -> bool:
        """Take a piece that is one plain message and nothing else, as almost all are; tell whether it was."""
        size_bytes = whole_message_bytes(piece)
        if (
            size_bytes is None
            or not self._channel.body_ended
            or size_bytes > self._skin.options.max_message_bytes
        ):
            return False
        self._skin.options.budget.take(size_bytes)
        self._held_bytes = size_bytes
        self._call.wire_size_bytes = size_bytes
        self._call.body = memoryview(piece)[PREFIX_BYTES:]
        return True

    def _inbound_for(self, running: RunningCall) -> Inbound:
        self._inbound = inbound = Inbound(self._channel, self._skin.options, self._encoding)
        inbound.running = running
        return inbound

    async def _read_pieces(self, inbound: Inbound, first: bytes) -> None:
        call = self._call
        call.body = await inbound.single(first)
        call.wire_size_bytes = inbound.wire_size_bytes
        call.compression = self._encoding or "" if inbound.was_compressed else ""

    def _read_headers(self) -> None:
        """Read what is gRPC's own, and refuse what cannot be decoded; the rest is for those who ask for it."""
        for raw_name, value in self._headers:
            kind = _KINDS.get(raw_name)
            if kind is None:
                kind = _kind_of(raw_name)
            if kind == _OWN:
                self._read_own_header(raw_name.lower(), value.decode("latin-1"))
            elif kind == _BINARY:
                decode_binary(raw_name.decode("latin-1"), value)

    def _read_own_header(self, name: bytes, value: str) -> None:
        match name:
            case b"grpc-timeout":
                self._call.deadline = self._skin.options.now() + parse_timeout_s(value)
            case b"grpc-encoding":
                self._encoding = _message_encoding(value)
            case b"grpc-accept-encoding":
                self._accepts = value

    def _cancelled(self, running: RunningCall) -> _Failure:
        match running.ending():
            case Ending.CLIENT_GONE:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError  # the server's own cancellation
                raise ClientGoneError
            case Ending.DEADLINE:
                self._call.cancelled()
                return _Failure(GRPC_STATUS[ErrorCode.DEADLINE_EXCEEDED], "deadline exceeded")
            case Ending.DRAINING:
                self._call.cancelled()
                return _Failure(GRPC_STATUS[ErrorCode.UNAVAILABLE], DRAINING_TEXT)
            case _:
                _log.error("handler of %s raised CancelledError, nobody cancelled it", self._call.path)
                return _INTERNAL

    # --- the answer --------------------------------------------------------------------------

    async def _write(self, method: RpcMethod, response: Response) -> _Failure | None:
        if response.status:
            return _Failure(response.status, response.message, response.trailers)
        trailers = (_OK, *_lines(response.trailers)) if response.trailers else _OK_TRAILERS
        head = (*_HEAD, *_lines(response.headers)) if response.headers else _HEAD
        own = self._skin.own
        may_compress = own.compression == "gzip" and accepts_gzip(self._accepts)
        if may_compress:
            head = (*head, (b"grpc-encoding", b"gzip"))
        if not method.kind.streams_responses:
            answer = join_body(response.body)
            if response.on_written is not None:
                run_on_written(response)
            pieces = await self._framed(answer) if may_compress else self._plain(answer)
            if len(pieces) == 1:
                await self._channel.answer(200, head, pieces[0], trailers)
                return None
            await self._channel.start(200, head, trailers=True)
            for index, piece in enumerate(pieces):
                await self._channel.body(piece, more=index + 1 < len(pieces))
        else:
            failure = await self._write_stream(response, head, may_compress=may_compress)
            if failure is not None:
                return failure
            await self._channel.body(b"", more=False)
        await self._channel.trailers(trailers)
        return None

    async def _write_stream(
        self, response: Response, head: Sequence[tuple[bytes, bytes]], *, may_compress: bool
    ) -> _Failure | None:
        await self._channel.start(200, head, trailers=True)
        if response.stream is None:
            return None
        async with closing_stream(response.stream):
            try:
                async for message in response.stream:
                    answer = join_body(message)
                    for piece in await self._framed(answer) if may_compress else self._plain(answer):
                        await self._channel.body(piece, more=True)
            except StreamError as error:
                return _Failure(error.status, error.message, response.trailers)
        return None

    async def _framed(self, message: bytes) -> list[bytes]:
        """Return a message as it goes out to a client that accepts gzip."""
        own = self._skin.own
        if not own.compression_min_bytes <= len(message) <= self._skin.options.max_message_bytes:
            return self._plain(message)
        if len(message) < _THREAD_FROM_BYTES:
            packed = gzip_body(message, own.compression_level)
        else:
            packed = await asyncio.to_thread(gzip_body, message, own.compression_level)
        prefix = encode_prefix(len(packed), is_compressed=True)
        return [prefix + packed] if len(packed) < _JOIN_BELOW_BYTES else [prefix, packed]

    def _plain(self, message: bytes) -> list[bytes]:
        size_bytes, limit = len(message), self._skin.options.max_message_bytes
        if size_bytes > limit:
            raise AnswerTooLargeError(size_bytes, limit)
        prefix = encode_prefix(size_bytes)
        return [prefix + message] if size_bytes < _JOIN_BELOW_BYTES else [prefix, message]

    async def _write_failure(self, failure: _Failure) -> None:
        try:
            extra = _lines(failure.trailers)
        except ValueError:
            _log.exception("trailers of an answer are not metadata")
            failure, extra = _INTERNAL, []
        status = [(b"grpc-status", str(failure.status).encode())]
        if failure.message:
            status.append((b"grpc-message", percent_encode(status_text(failure.message)).encode()))
        if not self._channel.has_started:
            if not self._sends_trailers:
                # gRPC's "trailers-only": the head has it all
                await self._channel.start(200, [_CONTENT_TYPE, _ACCEPTED, *status, *extra])
                await self._channel.body(b"", more=False)
                return
            # Real trailers even so: some servers end a bodiless answer with an empty frame of data, after
            # which clients do not take the head for trailers.
            await self._channel.start(200, [_CONTENT_TYPE, _ACCEPTED], trailers=True)
        await self._channel.body(b"", more=False)
        await self._channel.trailers([*status, *extra])


def _message_encoding(name: str) -> Encoding | None:
    if name.strip().lower() == "identity":
        return None
    known = known_encoding(name)
    if known is None:
        raise UnsupportedError(f"grpc-encoding: expected identity, deflate or gzip, got '{name[:100]}'")
    return known


def _kind_of(name: bytes) -> int:
    """Tell what a header is, and remember it."""
    lower = name.lower()
    kind = _OTHER
    if lower.startswith(b"grpc-"):
        kind = _OWN
    elif lower.endswith(b"-bin"):
        kind = _BINARY
    if len(_KINDS) < _MAX_KINDS and len(name) <= _MAX_KNOWN_NAME_BYTES:
        _KINDS[name] = kind
    return kind


def _lines(pairs: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), (encode_binary(value) if isinstance(value, bytes) else value).encode())
        for name, value in checked_metadata(pairs)
    ]
