"""ProbeService: a service that shows what a transport handed over, and counts what it did afterwards.

Its state is asked for through the transport itself (``Counters``), so that the suite works with
servers in other threads and processes too.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from navi_core.contracts.service import (
    GRPC,
    Call,
    Handler,
    Headers,
    HttpRoute,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    StreamError,
)
from navi_core.contracts.service_context import ServiceContext

__all__ = ["HIDDEN_TEXT", "HTTP_PREFIX", "RPC_PREFIX", "ProbeService"]

RPC_PREFIX: Final = "/navi.testing.Probe/"
HTTP_PREFIX: Final = "/probe/"

HIDDEN_TEXT: Final = "a text that no client may see"
"""What the failing handlers raise."""

_OK: Final = 200

_COUNTERS: Final = (
    "answered",  # responses that ask to be told when they are written
    "written",  # how often one of them was told
    "sleeping",
    "sizing",
    "cancelled",  # handlers that were cancelled
    "told_cancelled",  # callbacks of call.on_cancel
    "streams_closed",  # generators that came to an end
)


class ProbeService(Service):
    """Handlers that echo, describe, fail, wait and stream.

    Parameters
    ----------
    now
        The clock that deadlines are on.
    in_use_bytes
        Reads the memory budget; shown among the counters.
    protocol
        Which transports carry its RPCs.
    """

    name: ClassVar[str] = "probe"

    def __init__(
        self, now: Callable[[], float], in_use_bytes: Callable[[], int], protocol: str = GRPC
    ) -> None:
        self._now = now
        self._protocol = protocol
        self._in_use_bytes = in_use_bytes
        self._counters = dict.fromkeys(_COUNTERS, 0)

    @classmethod
    def create(cls, context: ServiceContext) -> ProbeService:
        """Build it for one host; the budget is not shown there."""
        return cls(context.now, int)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return one method for each behaviour."""
        methods: list[tuple[str, RpcKind, Operation, Handler]] = [
            ("Echo", RpcKind.UNARY, Operation.INFER, self._echo),
            ("Pieces", RpcKind.UNARY, Operation.INFER, self._pieces),
            ("Facts", RpcKind.UNARY, Operation.INFER, self._facts),
            ("Fail", RpcKind.UNARY, Operation.INFER, self._fail),
            ("Raise", RpcKind.UNARY, Operation.INFER, self._raise),
            ("CancelItself", RpcKind.UNARY, Operation.INFER, self._cancel_itself),
            ("Sleep", RpcKind.UNARY, Operation.INFER, self._sleep),
            ("BadMetadata", RpcKind.UNARY, Operation.INFER, self._bad_headers),
            ("Count", RpcKind.SERVER_STREAM, Operation.INFER, self._count),
            ("Sizes", RpcKind.CLIENT_STREAM, Operation.INFER, self._sizes),
            ("Chat", RpcKind.BIDI, Operation.INFER, self._chat),
            ("Watch", RpcKind.SERVER_STREAM, Operation.READ, self._watch),
            ("Counters", RpcKind.UNARY, Operation.READ, self._show_counters),
            ("Admin", RpcKind.UNARY, Operation.ADMIN, self._echo),
        ]
        return {
            RPC_PREFIX + name: RpcMethod(
                kind=kind, handler=handler, operation=operation, protocol=self._protocol
            )
            for name, kind, operation, handler in methods
        }

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return one route for each behaviour."""
        routes: list[tuple[str, str, Operation, Handler]] = [
            ("POST", "echo", Operation.INFER, self._echo_http),
            ("GET", "echo", Operation.INFER, self._echo_http),
            ("POST", "facts(?:/(?P<rest>.*))?", Operation.INFER, self._facts_http),
            ("GET", "facts(?:/(?P<rest>.*))?", Operation.INFER, self._facts_http),
            ("GET", "raise", Operation.INFER, self._raise),
            ("GET", "busy", Operation.INFER, self._busy),
            ("POST", "sleep", Operation.INFER, self._sleep_http),
            ("GET", "bad-header", Operation.INFER, self._bad_headers),
            ("GET", "stream", Operation.INFER, self._stream_http),
            ("GET", "broken-stream", Operation.INFER, self._broken_stream_http),
            ("GET", "endless", Operation.READ, self._endless_http),
            ("GET", "counters", Operation.READ, self._show_counters_http),
            ("POST", "admin", Operation.ADMIN, self._echo_http),
        ]
        return [
            HttpRoute(verb=verb, pattern=re.compile(HTTP_PREFIX + path), handler=handler, operation=operation)
            for verb, path, operation, handler in routes
        ]

    # --- answers ------------------------------------------------------------------------------

    def _answer(self, status: int = 0, **fields: Any) -> Response:
        """Return a response that counts how often it is called written."""
        self._counters["answered"] += 1

        def written() -> None:
            self._counters["written"] += 1

        return Response(status=status, on_written=written, **fields)

    def _json(self, content: object, status: int = 0, headers: Headers = ()) -> Response:
        return self._answer(status, body=json.dumps(content, default=repr).encode(), headers=headers)

    async def _echo(self, call: Call) -> Response:
        repeated = tuple((name, value) for name, value in call.metadata.items() if name.startswith("probe-"))
        return self._answer(body=call.body, headers=repeated, trailers=repeated)

    async def _echo_http(self, call: Call) -> Response:
        content_type = call.metadata.get("content-type", "application/octet-stream")
        return self._answer(_OK, body=call.body, headers=(("content-type", content_type),))

    async def _pieces(self, call: Call) -> Response:
        """Answer with the body in three pieces, one of them a view of a buffer that changes afterwards."""
        body = bytes(call.body)
        third = len(body) // 3
        buffer = bytearray(body[third : 2 * third])
        self._counters["answered"] += 1

        def written() -> None:
            self._counters["written"] += 1
            buffer[:] = b"\xff" * len(buffer)

        pieces = (body[:third], memoryview(buffer), body[2 * third :])
        return Response(status=0, body=pieces, on_written=written)

    def _describe(self, call: Call) -> dict[str, object]:
        return {
            "path": call.path,
            "query": call.query,
            "verb": call.verb,
            "match": dict(call.match),
            "metadata": {
                name: value if isinstance(value, str) else {"hex": value.hex()}
                for name, value in call.metadata.items()
            },
            "peer": call.peer,
            "transport": call.transport,
            "compression": call.compression,
            "size_bytes": len(call.body),
            "wire_size_bytes": call.wire_size_bytes,
            "deadline_in_s": None if call.deadline is None else call.deadline - self._now(),
        }

    async def _facts(self, call: Call) -> Response:
        return self._json(self._describe(call))

    async def _facts_http(self, call: Call) -> Response:
        return self._json(self._describe(call), _OK, (("content-type", "application/json"),))

    async def _fail(self, call: Call) -> Response:
        wanted = json.loads(bytes(call.body))
        return self._answer(
            wanted["status"], message=wanted["message"], trailers=(("probe-reason", "as-asked"),)
        )

    async def _raise(self, call: Call) -> Response:
        raise RuntimeError(f"{HIDDEN_TEXT} ({call.path})")

    async def _cancel_itself(self, call: Call) -> Response:
        raise asyncio.CancelledError(call.path)

    async def _busy(self, _call: Call) -> Response:
        return self._answer(429, body=b"later")

    async def _bad_headers(self, call: Call) -> Response:
        return self._answer(_OK if call.verb else 0, headers=(("probe-text", "two\r\nlines"),))

    async def _sleep(self, call: Call) -> Response:
        self._counters["sleeping"] += 1

        def cancelled() -> None:
            self._counters["told_cancelled"] += 1

        call.on_cancel(cancelled)
        try:
            await asyncio.sleep(float(bytes(call.body)))
        except asyncio.CancelledError:
            self._counters["cancelled"] += 1
            raise
        return self._answer(body=b"slept")

    async def _sleep_http(self, call: Call) -> Response:
        response = await self._sleep(call)
        response.status = _OK
        return response

    async def _show_counters(self, _call: Call) -> Response:
        shown = {**self._counters, "in_use_bytes": self._in_use_bytes()}
        return Response(status=0, body=json.dumps(shown).encode())

    async def _show_counters_http(self, call: Call) -> Response:
        response = await self._show_counters(call)
        response.status = _OK
        return response

    # --- streams ------------------------------------------------------------------------------

    async def _count(self, call: Call) -> Response:
        """Stream the numbers below the one asked for; ``fail`` ends with a status of its own."""
        wanted = json.loads(bytes(call.body))

        async def numbers() -> AsyncIterator[bytes]:
            try:
                for number in range(wanted["to"]):
                    yield str(number).encode()
                    await asyncio.sleep(wanted.get("pause_s", 0))
                if wanted.get("fail"):
                    raise StreamError(9, "counted enough")
                if wanted.get("raise"):
                    raise RuntimeError(HIDDEN_TEXT)
            finally:
                self._counters["streams_closed"] += 1

        return self._answer(
            stream=numbers(), headers=(("probe-head", "first"),), trailers=(("probe-tail", "last"),)
        )

    async def _sizes(self, call: Call) -> Response:
        self._counters["sizing"] += 1
        try:
            sizes = [len(message) async for message in call.messages]
        except asyncio.CancelledError:
            self._counters["cancelled"] += 1
            raise
        return self._json(sizes)

    async def _chat(self, call: Call) -> Response:
        async def talk() -> AsyncIterator[bytes]:
            async for message in call.messages:
                yield bytes(message).upper()
            yield b"bye"

        return self._answer(stream=talk())

    async def _watch(self, _call: Call) -> Response:
        async def watch() -> AsyncIterator[bytes]:
            try:
                yield b"watching"
                await asyncio.Event().wait()
            finally:
                self._counters["streams_closed"] += 1

        return self._answer(stream=watch())

    async def _stream_http(self, call: Call) -> Response:
        count = int(call.query or "3")

        async def chunks() -> AsyncIterator[bytes]:
            for number in range(count):
                yield f"chunk {number}\n".encode()
                await asyncio.sleep(0)

        return self._answer(_OK, stream=chunks(), headers=(("content-type", "text/plain"),))

    async def _broken_stream_http(self, _call: Call) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            await asyncio.sleep(0.05)
            raise RuntimeError(HIDDEN_TEXT)

        return self._answer(_OK, stream=chunks())

    async def _endless_http(self, call: Call) -> Response:
        response = await self._watch(call)
        response.status = _OK
        return response
