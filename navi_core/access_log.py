"""The access log: one line for every request that reached a service, written when it is answered.

It wraps handlers where the router hands them out, so that it costs nothing where it is off, and no transport knows of
it. What only the data plane knows (which version answered, how many rows) comes as an observer's events, which are
built in the request's own task: a context variable joins them with the request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from navi_core.contracts.events import RequestFinished
from navi_core.contracts.service import Call, Handler, Response, StreamError
from navi_core.errors import ErrorCode, NaviError
from navi_core.logs import EventWriter
from navi_core.request_ids import (
    REQUEST_ID_HEADER,
    current_request_id,
    new_request_id,
    request_id_of,
    trace_id_of,
)
from navi_core.types import Bytes

__all__ = ["LOGGER", "AccessLog"]

LOGGER: Final = "navi_core.access"
"""The name that the lines are logged under."""

_EVENT: Final = "request"
_MAX_PATH_CHARACTERS: Final = 256

_current: Final[ContextVar[_Line | None]] = ContextVar("navi_access_line", default=None)


class AccessLog:
    """Writes the lines.

    Parameters
    ----------
    write
        Writes an event.
    quiet
        Services whose requests are logged at ``debug`` only: those that orchestrators and collectors ask every few
        seconds.
    now
        The monotonic clock, in seconds.
    """

    def __init__(
        self,
        write: EventWriter,
        quiet: Collection[str] = (),
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write: Final = write
        self._quiet: Final = frozenset(quiet)
        self._now: Final = now

    def wrapped(self, handler: Handler, service: str) -> Handler:
        """Return a handler that answers as ``handler`` does, and writes a line then.

        As with every handler that the router gives, what it refuses is raised when it is called.
        """
        level = logging.DEBUG if service in self._quiet else logging.INFO
        write, now = self._write, self._now

        def logged(call: Call) -> Awaitable[Response]:
            line = _Line(call, service, now, level, write)
            if call.metadata.get(REQUEST_ID_HEADER) != line.request_id:
                call.metadata = {**call.metadata, REQUEST_ID_HEADER: line.request_id}
            with line:
                try:
                    awaitable = handler(call)
                except NaviError as error:
                    line.failed(error.code)
                    line.write()
                    raise
            return _answered(line, awaitable)

        return logged

    def request_finished(self, event: RequestFinished) -> None:
        """Take what the data plane says of the request that is being answered."""
        line = _current.get()
        if line is not None:
            line.ran(event)


class _Line:
    """One request's line, while it is being answered; a context manager for the time in which its code runs."""

    __slots__ = (
        "_call",
        "_event",
        "_level",
        "_now",
        "_num_inferences",
        "_num_rows",
        "_service",
        "_started",
        "_tokens",
        "_write",
        "code",
        "request_id",
        "response_bytes",
        "status",
    )

    def __init__(
        self, call: Call, service: str, now: Callable[[], float], level: int, write: EventWriter
    ) -> None:
        self._call = call
        self._service = service
        self._now = now
        self._level = level
        self._write = write
        self._started = now()
        self._event: RequestFinished | None = None
        self._num_inferences = 0
        self._num_rows = 0
        self.request_id = request_id_of(call.metadata) or new_request_id()
        self.status: int | None = None
        self.code: ErrorCode | None = None
        self.response_bytes = 0

    def __enter__(self) -> None:
        self._tokens = _current.set(self), current_request_id.set(self.request_id)

    def __exit__(self, *_: object) -> None:
        ours, theirs = self._tokens
        _current.reset(ours)
        current_request_id.reset(theirs)

    @property
    def is_http(self) -> bool:
        """Whether it is no RPC."""
        return bool(self._call.verb)

    def ran(self, event: RequestFinished) -> None:
        """Take one inference; of several, the first that failed is the one to name, or else the first."""
        self._num_inferences += 1
        self._num_rows += event.num_rows
        if self._event is None or (self._event.code is ErrorCode.OK and event.code is not ErrorCode.OK):
            self._event = event

    def failed(self, code: ErrorCode) -> None:
        """Take that it ended without an answer of the service's."""
        self.status, self.code = None, code

    def given_up(self) -> None:
        """Take that it was cancelled: because the client went, or because its time was over."""
        deadline = self._call.deadline
        is_late = deadline is not None and self._now() >= deadline
        self.failed(ErrorCode.DEADLINE_EXCEEDED if is_late else ErrorCode.CANCELLED)

    def write(self) -> None:
        """Write it."""
        call, event = self._call, self._event
        code = self.code or (None if event is None else event.code)
        fields: dict[str, Any] = {
            "service": self._service,
            "transport": call.transport or None,
            "method": call.verb or None,
            "path": _shown(call.path),
            "status": self.status,
            "code": None if code is None else code.value,
            "request_id": self.request_id,
            "trace_id": trace_id_of(call.metadata),
            "duration_ms": round((self._now() - self._started) * 1000, 3),
            "request_bytes": call.wire_size_bytes or len(call.body),
            "response_bytes": self.response_bytes,
            "peer": call.peer or None,
        }
        if event is not None:
            fields |= {
                "model": event.model or None,
                "version": event.version or None,
                "reason": event.reason or None,
                "rows": self._num_rows,
                "inferences": self._num_inferences if self._num_inferences > 1 else None,
            }
        self._write(self._level, _EVENT, {key: value for key, value in fields.items() if value is not None})


async def _answered(line: _Line, awaitable: Awaitable[Response]) -> Response:
    try:
        with line:
            response = await awaitable
    except Exception as error:
        line.failed(error.code if isinstance(error, NaviError) else ErrorCode.INTERNAL)
        line.write()
        error.add_note(f"request id: {line.request_id}")  # the transport logs it, with the traceback
        raise
    except BaseException:
        line.given_up()
        line.write()
        raise
    line.status = response.status
    # a copy: services may answer with one and the same object again and again
    answer = msgspec.structs.replace(response, **_with_id(line, response))
    if response.stream is not None:
        answer.stream = _streamed(line, response.stream)
        return answer
    line.response_bytes = _size_bytes(response.body)
    line.write()
    return answer


def _size_bytes(body: Bytes | Sequence[Bytes]) -> int:
    return len(body) if isinstance(body, bytes | memoryview) else sum(map(len, body))


def _with_id(line: _Line, response: Response) -> dict[str, Any]:
    """Return what has the id go to the client: over HTTP a header, of an RPC a trailer, which failures have, too."""
    extra = (REQUEST_ID_HEADER, line.request_id)
    if line.is_http:
        return {"headers": (*response.headers, extra)}
    return {"trailers": (*response.trailers, extra)}


async def _streamed(line: _Line, stream: AsyncIterator[Bytes]) -> AsyncGenerator[Bytes, None]:
    """Yield a stream's pieces; the line is written at its end, whatever that is."""
    try:
        while True:
            with line:  # not across the yield: whoever takes the pieces has a context of its own
                try:
                    piece = await anext(stream)
                except StopAsyncIteration:
                    return
            line.response_bytes += _size_bytes(piece)
            yield piece
    except StreamError as error:
        line.status = error.status
        raise
    except Exception as error:
        line.failed(ErrorCode.INTERNAL)
        error.add_note(f"request id: {line.request_id}")
        raise
    except BaseException:
        line.given_up()
        raise
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
        line.write()


def _shown(path: str) -> str:
    """Return a path as a log may have it: of a length that is bearable, and without control characters."""
    cut = path if len(path) <= _MAX_PATH_CHARACTERS else path[:_MAX_PATH_CHARACTERS] + "..."
    return cut if cut.isprintable() else ascii(cut)[1:-1]
