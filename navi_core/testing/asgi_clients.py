"""Clients that speak through an :class:`~navi_core.testing.asgi_driver.AsgiDriver`, and its harness."""

from __future__ import annotations

import asyncio
import base64
import gzip as gzip_module
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from navi_core.budget import MemoryBudget
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.testing.asgi_driver import AsgiDriver, AsgiRequest, header_list
from navi_core.testing.http_client import HttpClient, HttpReply
from navi_core.testing.rpc_client import Metadata, RpcClient, RpcReply, RpcStream
from navi_core.testing.transport_harness import HarnessSettings, TransportHarness
from navi_core.testing.transport_probe import ProbeService
from navi_core.transports.asgi.options import AsgiOptions
from navi_core.transports.asgi.transport import AsgiTransport

__all__ = ["AsgiHarness", "AsgiHttpClient", "AsgiRpcClient"]

_PIECE_BYTES = 1 << 16


class AsgiRpcClient(RpcClient):
    """Frames messages and reads trailers, as a gRPC client does.

    Parameters
    ----------
    driver
        The server.
    accepts
        What it says in ``grpc-accept-encoding``.
    """

    def __init__(self, driver: AsgiDriver, accepts: str = "identity, gzip") -> None:
        self._driver = driver
        self._accepts = accepts

    async def open(
        self, path: str, *, metadata: Metadata = (), timeout_s: float | None = None, gzip: bool = False
    ) -> RpcStream:
        """Begin a call of any kind."""
        pairs = [
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-accept-encoding", self._accepts),
        ]
        if timeout_s is not None:
            pairs.append(("grpc-timeout", f"{int(timeout_s * 1e6)}u"))
        if gzip:
            pairs.append(("grpc-encoding", "gzip"))
        pairs += [
            (name, base64.b64encode(value).decode() if isinstance(value, bytes) else value)
            for name, value in metadata
        ]
        scope = {
            "type": "http",
            "http_version": "2",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": header_list(pairs),
            "client": ("192.0.2.1", 4242),
        }
        request = await self._driver.request(scope)
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        return _AsgiStream(self._driver, request, end_s, compresses=gzip)

    async def close(self) -> None:
        """Do nothing: there is no connection."""


class _AsgiStream(RpcStream):
    def __init__(
        self, driver: AsgiDriver, request: AsgiRequest, end_s: float | None, *, compresses: bool
    ) -> None:
        self._driver = driver
        self._request = request
        self._end_s = end_s
        self._compresses = compresses
        self._buffer = b""
        self._headers: dict[str, str | bytes] = {}
        self._trailers: dict[str, str | bytes] | None = None
        self._was_compressed = False
        self._late = False

    async def send(self, message: bytes) -> None:
        if self._compresses:
            message = gzip_module.compress(message, 1)
        framed = struct.pack(">?I", self._compresses, len(message)) + message
        # in pieces, as they come from a socket
        for start in range(0, len(framed), _PIECE_BYTES):
            await self._driver.run(self._request.feed(framed[start : start + _PIECE_BYTES], more=True))

    async def half_close(self) -> None:
        await self._driver.run(self._request.feed(b"", more=False))

    async def receive(self) -> bytes | None:
        while (message := self._cut()) is None:
            event = await self._next_event()
            if event is None:
                return None
            if event["type"] == "http.response.start":
                self._headers = _metadata(event["headers"])
                self._headers[":status"] = str(event["status"])
                if "grpc-status" in self._headers:
                    self._trailers = self._headers
            elif event["type"] == "http.response.body":
                self._buffer += event["body"]
            elif event["type"] == "http.response.trailers":
                self._trailers = _metadata(event["headers"])
        return message

    async def end(self) -> RpcReply:
        messages: list[bytes] = []
        while (message := await self.receive()) is not None:
            messages.append(message)
        if self._late:
            return RpcReply(status=4, message="Deadline Exceeded", messages=messages)
        if self._trailers is None:
            if self._headers.get(":status", "200") == "503":
                return RpcReply(status=14, message="the server answered 503", messages=messages)
            return RpcReply(status=13, message="reset", messages=messages, headers=self._headers)
        trailers = dict(self._trailers)
        return RpcReply(
            status=int(str(trailers.pop("grpc-status"))),
            message=unquote(str(trailers.pop("grpc-message", ""))),
            messages=messages,
            headers=self._headers,
            trailers=trailers,
            was_compressed=self._was_compressed,
        )

    async def cancel(self) -> None:
        await self._driver.disconnect(self._request)

    async def _next_event(self) -> Mapping[str, Any] | None:
        left_s = None if self._end_s is None else self._end_s - time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                return await asyncio.wrap_future(self._request.next_event())
        except TimeoutError:
            self._late = True
            await self._driver.disconnect(self._request)
            return None

    def _cut(self) -> bytes | None:
        if len(self._buffer) < 5:
            return None
        is_compressed, length = struct.unpack(">?I", self._buffer[:5])
        if len(self._buffer) < 5 + length:
            return None
        message, self._buffer = self._buffer[5 : 5 + length], self._buffer[5 + length :]
        self._was_compressed |= is_compressed
        return gzip_module.decompress(message) if is_compressed else message


def _metadata(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str | bytes]:
    read: dict[str, str | bytes] = {}
    for raw_name, value in headers:
        name = raw_name.decode()
        is_binary = name.endswith("-bin")
        read[name] = base64.b64decode(value + b"=" * (-len(value) % 4)) if is_binary else value.decode()
    return read


class AsgiHttpClient(HttpClient):
    """Sends HTTP requests to the application.

    Parameters
    ----------
    driver
        The server.
    """

    def __init__(self, driver: AsgiDriver) -> None:
        self._driver = driver

    async def request(
        self,
        verb: str,
        target: str,
        *,
        body: bytes | Sequence[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Send a request; see the base class."""
        raw_path, _, query = target.encode().partition(b"?")
        pairs = list((headers or {}).items())
        if isinstance(body, bytes):
            if body and not any(name.lower() == "content-length" for name, _ in pairs):
                pairs.append(("content-length", str(len(body))))
            body = [body[start : start + _PIECE_BYTES] for start in range(0, len(body), _PIECE_BYTES)]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": verb,
            "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": query,
            "headers": header_list(pairs),
            "client": ("192.0.2.1", 4242),
        }
        request = await self._driver.request(scope)
        try:
            for piece in body:
                await self._driver.run(request.feed(piece, more=True))
            await self._driver.run(request.feed(b"", more=False))
            return await self._read(request)
        except asyncio.CancelledError:
            await asyncio.shield(self._driver.disconnect(request))
            raise

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    async def _read(self, request: AsgiRequest) -> HttpReply:
        status, names, content = 0, {}, []
        while (event := await asyncio.wrap_future(request.next_event())) is not None:
            if event["type"] == "http.response.start":
                status = event["status"]
                names = {name.decode().lower(): value.decode() for name, value in event["headers"]}
            else:
                content.append(event["body"])
                if not event["more_body"]:
                    return HttpReply(status, names, b"".join(content))
        raise ConnectionError("the application ended before its answer was complete")


class AsgiHarness(TransportHarness):
    """An ASGI application in a foreign server that owns thread and loop.

    Parameters
    ----------
    settings
        The case's settings.
    own
        The transport's options; None: the defaults.
    waits_for_disconnect, cancels_on_disconnect, offers_trailers
        The server's habits; see :class:`~navi_core.testing.asgi_driver.AsgiDriver`.
    """

    def __init__(
        self,
        settings: HarnessSettings,
        *,
        own: AsgiOptions | None = None,
        waits_for_disconnect: bool = False,
        cancels_on_disconnect: bool = False,
        offers_trailers: bool = False,
    ) -> None:
        super().__init__(settings)
        budget = MemoryBudget(settings.budget_bytes)
        self._router = HostRouter([ProbeService(time.monotonic, lambda: budget.in_use_bytes)])
        self._options = TransportOptions(
            max_message_bytes=settings.max_message_bytes,
            max_inflated_bytes=settings.max_inflated_bytes,
            max_inflate_ratio=settings.max_inflate_ratio,
            budget=budget,
            options=own,
            now=time.monotonic,
        )
        self.transport = AsgiTransport(on_startup=self._start_host, on_shutdown=self._stop_host)
        self.driver = AsgiDriver(
            self.transport.app,
            waits_for_disconnect=waits_for_disconnect,
            cancels_on_disconnect=cancels_on_disconnect,
            offers_trailers=offers_trailers,
        )

    async def _start_host(self) -> None:
        await self.transport.start(self._router, self._options)

    async def _stop_host(self) -> None:
        await self.transport.stop()

    async def start(self) -> None:
        """Start the foreign server, which starts us."""
        await self.driver.start()

    async def drain(self, timeout_s: float) -> None:
        """Refuse inference, and drain the transport."""
        self._router.begin_drain()
        await self.driver.run(self.transport.drain(timeout_s))

    async def stop(self) -> None:
        """Stop the foreign server, which stops us."""
        await self.driver.stop()

    def rpc_client(self) -> RpcClient:
        """Return a client."""
        return AsgiRpcClient(self.driver)

    def http_client(self) -> HttpClient:
        """Return a client."""
        return AsgiHttpClient(self.driver)
