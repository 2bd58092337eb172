"""Connections of a load generator: each sends the one recorded request, and tells what came back."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final, cast

from navi_core.bench.http_answers import HttpAnswer, HttpAnswerReader, HttpFormatError
from navi_core.bench.load import Target

__all__ = ["CONNECTION", "TIMEOUT", "Sender", "open_sender"]

CONNECTION: Final = "connection"
"""The code of requests whose connection failed."""

TIMEOUT: Final = "timeout"
"""The code of requests whose answer did not come in time."""

_OK: Final = 200


class Sender(ABC):
    """Sends the request of a target over a number of lanes; each lane has one request in flight."""

    @abstractmethod
    async def open(self) -> None:
        """Connect.

        Raises
        ------
        OSError
            Nobody listens.
        """

    @abstractmethod
    async def send(self, lane: int) -> tuple[str, bytes]:
        """Send the request; return an empty code and the answer, or a failure's code and what was said of it."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""


def open_sender(target: Target, lanes: int, connections: int, timeout_s: float) -> Sender:
    """Return a sender that is not connected yet.

    Parameters
    ----------
    target
        What it sends, and where.
    lanes
        How many requests are in flight at most.
    connections
        How many connections they share, over gRPC.
    timeout_s
        How long an answer may take.
    """
    if target.scheme == "grpc":
        return _GrpcSender(target, min(lanes, connections), timeout_s)
    return _HttpSender(target, lanes, timeout_s)


# --- gRPC -----------------------------------------------------------------------------------------------


class _GrpcSender(Sender):
    def __init__(self, target: Target, connections: int, timeout_s: float) -> None:
        import grpc.aio  # noqa: PLC0415 - a load over HTTP does without

        self._error: type[Any] = grpc.aio.AioRpcError
        self._body = target.body
        self._timeout_s = timeout_s
        self._metadata = target.all_headers
        options = [
            ("grpc.use_local_subchannel_pool", 1),  # else all channels share one connection
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_retries", 0),
        ]
        credentials = None
        if target.tls:
            files = (target.ca_file, target.key_file, target.cert_file)
            credentials = grpc.ssl_channel_credentials(
                *(None if each is None else Path(each).read_bytes() for each in files)
            )
        self._channels = [
            grpc.aio.insecure_channel(target.address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target.address, credentials, options=options)
            for _ in range(connections)
        ]
        self._calls = [channel.unary_unary(target.path) for channel in self._channels]

    async def open(self) -> None:
        for channel in self._channels:
            try:
                await asyncio.wait_for(channel.channel_ready(), self._timeout_s)
            except TimeoutError as error:
                raise ConnectionError("cannot be reached over gRPC") from error

    async def send(self, lane: int) -> tuple[str, bytes]:
        call = self._calls[lane % len(self._calls)]
        try:
            return "", await call(self._body, timeout=self._timeout_s, metadata=self._metadata)
        except self._error as error:
            return error.code().name, (error.details() or "").encode()

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close(None)


# --- HTTP/1.1 -------------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """One connection: a request goes out, and its answer or its failure ends the future."""

    def __init__(self) -> None:
        self._reader = HttpAnswerReader()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[HttpAnswer] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # it is TCP

    def data_received(self, data: bytes) -> None:
        try:
            answer = self._reader.feed(data)
        except HttpFormatError as error:
            self._end(ConnectionError(str(error)))
            return
        if answer is not None:
            self._answer(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        answer = self._reader.end()
        if answer is not None:
            self._answer(answer)
        self._end(exc or ConnectionError("the connection was closed before the answer"))

    def request(self, data: bytes) -> asyncio.Future[HttpAnswer]:
        self._waiting = asyncio.get_running_loop().create_future()
        if self._transport is not None:  # who asks has seen is_open
            self._transport.write(data)
        return self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, answer: HttpAnswer) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            self.close()  # nobody asked
        else:
            waiting.set_result(answer)
        if answer.closes:
            self.close()

    def _end(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        self.close()


class _HttpSender(Sender):
    def __init__(self, target: Target, lanes: int, timeout_s: float) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._ssl = _tls_context(target) if target.tls else None
        self._lanes: list[_Connection | None] = [None] * lanes
        lines = [
            f"POST {target.path} HTTP/1.1",
            f"host: {target.address}",
            f"content-length: {len(target.body)}",
            *(f"{name}: {value}" for name, value in target.all_headers),
        ]
        self._request = "\r\n".join([*lines, "", ""]).encode("latin-1") + target.body

    async def open(self) -> None:
        for lane in range(len(self._lanes)):
            await asyncio.wait_for(self._connect(lane), self._timeout_s)

    async def _connect(self, lane: int) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, self._target.host, self._target.port, ssl=self._ssl
        )
        self._lanes[lane] = connection
        return connection

    async def send(self, lane: int) -> tuple[str, bytes]:
        connection = self._lanes[lane]
        try:
            if connection is None or not connection.is_open:
                connection = await asyncio.wait_for(self._connect(lane), self._timeout_s)
            waiting = connection.request(self._request)
            timer = asyncio.get_running_loop().call_later(self._timeout_s, _time_out, waiting)
            try:
                answer = await waiting
            finally:
                timer.cancel()
        except TimeoutError:
            if connection is not None:
                connection.close()
            return TIMEOUT, f"no answer within {self._timeout_s:g} s".encode()
        except OSError as error:
            return CONNECTION, str(error).encode()
        if answer.status != _OK:
            return f"HTTP {answer.status}", answer.body
        return "", answer.body

    async def close(self) -> None:
        for connection in self._lanes:
            if connection is not None:
                connection.close()
        await asyncio.sleep(0)  # so that the transports notice


def _time_out(waiting: asyncio.Future[HttpAnswer]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())


def _tls_context(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.ca_file)
    if target.cert_file is not None:
        context.load_cert_chain(target.cert_file, target.key_file)
    return context
