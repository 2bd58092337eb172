"""What every HTTP-carrying transport does alike: routes, early answers, encodings, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from navi_core.contracts.service import Call, Headers, HttpRoute, Response
from navi_core.contracts.transport import HttpMatch, Router
from navi_core.errors import InvalidRequestError, NaviError
from navi_core.request_ids import id_headers
from navi_core.transports.answer_encoding import accepts_gzip, gzip_body
from navi_core.transports.body import join_body
from navi_core.transports.early_errors import (
    INTERNAL_TEXT,
    RETRY_AFTER,
    RETRY_AFTER_S,
    http_error_body,
    http_status,
)
from navi_core.transports.in_flight import DRAINING_TEXT, Ending, RunningCall
from navi_core.transports.inflate import ENCODINGS, Encoding, known_encoding
from navi_core.types import Bytes

__all__ = [
    "TIMEOUT_HEADER",
    "AnswerCompression",
    "EarlyAnswer",
    "answer_for_ending",
    "body_encoding",
    "body_refused",
    "encode_answer",
    "find_route",
    "header_lines",
    "internal_error",
    "refused",
    "request_deadline",
    "split_target",
    "watch_deadline",
]

TIMEOUT_HEADER: Final = "request-timeout-ms"
"""A request header: the client waits so long."""

_DEADLINE_SLACK_S: Final = 0.1
"""A passed deadline is the handler's to answer; after this time more the transport does."""

_THREAD_FROM_BYTES: Final = 1 << 20
"""Larger answers are compressed on another thread; the loop must not wait for zlib."""

_SHOWN_CHARACTERS: Final = 200


class EarlyAnswer(Exception):  # noqa: N818 - an answer that cuts the way short, not always an error
    """An answer of the transport's own.

    Parameters
    ----------
    response
        The answer.
    close
        The connection is of no use afterwards: the rest of the body was not read.
    """

    def __init__(self, response: Response, *, close: bool = False) -> None:
        super().__init__(response.status)
        self.response = response
        self.close = close


def _error(status: int, message: str, *, headers: Headers = ()) -> Response:
    return Response(
        status=status,
        body=http_error_body(message),
        headers=(("content-type", "application/json"), *headers),
    )


def internal_error(call: Call | None = None) -> EarlyAnswer:
    """Return the answer to a bug; the log has the rest, and the id of the call that it is found by."""
    return EarlyAnswer(_error(500, INTERNAL_TEXT, headers=() if call is None else id_headers(call.metadata)))


def refused(error: NaviError) -> EarlyAnswer:
    """Return the answer to a refusal of the router's."""
    return EarlyAnswer(_error(http_status(error), error.message))


def body_refused(error: NaviError) -> EarlyAnswer:
    """Return the answer to a body that cannot be taken; a slow one is 408."""
    status = 408 if error.reason == "slow_body" else http_status(error)
    return EarlyAnswer(_error(status, error.message), close=True)


def answer_for_ending(ending: Ending) -> EarlyAnswer:
    """Return the answer of a handler that was cancelled while its client waits."""
    match ending:
        case Ending.DRAINING:
            return EarlyAnswer(_error(503, DRAINING_TEXT), close=True)
        case Ending.DEADLINE:
            return EarlyAnswer(_error(504, "deadline exceeded"))
        case _:
            return internal_error()


# --- the request ----------------------------------------------------------------------------------


def find_route(router: Router, call: Call) -> HttpRoute:
    """Find a call's route and fill ``call.match``; ``HEAD`` takes the route of ``GET``.

    Raises
    ------
    EarlyAnswer
        There is none: 404, or 405 where the path has other verbs.
    """
    match = router.http(call.verb, call.path, call.query)
    if match.route is None and call.verb == "HEAD":
        by_get = router.http("GET", call.path, call.query)
        if by_get.route is not None:
            call.verb, match = "GET", by_get
    if match.route is None:
        raise EarlyAnswer(_no_route(call, match))
    call.match = match.groups
    return match.route


def _no_route(call: Call, match: HttpMatch) -> Response:
    if not match.allowed:
        return _error(404, f"no such path: {call.path[:_SHOWN_CHARACTERS]}")
    allowed = ", ".join(match.allowed)
    verb = call.verb[:_SHOWN_CHARACTERS]
    return _error(405, f"method: expected {allowed}, got {verb}", headers=(("allow", allowed),))


def body_encoding(content_encoding: str) -> Encoding | None:
    """Return what a body is compressed with; None: nothing.

    Raises
    ------
    EarlyAnswer
        415: something that cannot be inflated.
    """
    codings = [part.strip().lower() for part in content_encoding.split(",")]
    codings = [each for each in codings if each not in ("", "identity")]
    if not codings:
        return None
    known = known_encoding(codings[0]) if len(codings) == 1 else None
    if known is None:
        supported = ", ".join(ENCODINGS)
        message = (
            f"content-encoding: expected one of {supported}, got '{content_encoding[:_SHOWN_CHARACTERS]}'"
        )
        raise EarlyAnswer(_error(415, message, headers=(("accept-encoding", supported),)), close=True)
    return known


def request_deadline(text: str | None, now: float) -> float | None:
    """Return the deadline that a :data:`TIMEOUT_HEADER` asks for; None where there is none.

    Raises
    ------
    InvalidRequestError
        It is no number above 0.
    """
    if text is None:
        return None
    try:
        timeout_ms = float(text)
    except ValueError:
        timeout_ms = -1.0
    if not 0.0 < timeout_ms <= 1e12:
        raise InvalidRequestError(f"{TIMEOUT_HEADER}: expected a number above 0")
    return now + timeout_ms / 1000.0


def watch_deadline(call: Call, running: RunningCall, now: float) -> asyncio.TimerHandle | None:
    """Interrupt a call some time after its deadline: no HTTP server does it. None: it has no deadline."""
    if call.deadline is None:
        return None
    delay_s = call.deadline - now + _DEADLINE_SLACK_S
    return asyncio.get_running_loop().call_later(delay_s, running.interrupt, Ending.DEADLINE)


def split_target(target: str) -> tuple[str, str]:
    """Return raw path and raw query of a request target; a proxy's absolute form loses its origin."""
    if not target.startswith("/"):
        _, scheme_end, rest = target.partition("://")
        if scheme_end:
            slash = rest.find("/")
            target = rest[slash:] if slash >= 0 else "/"
    path, _, query = target.partition("#")[0].partition("?")
    return path, query


# --- the answer -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnswerCompression:
    """Which answers are compressed.

    Parameters
    ----------
    enabled
        False: none.
    min_bytes
        Leave smaller answers alone.
    level
        zlib's.
    """

    enabled: bool
    min_bytes: int
    level: int


def header_lines(response: Response) -> list[tuple[str, str]]:
    """Return a service's headers, and those that its status asks for: when to come again, what to bring.

    Raises
    ------
    ValueError
        A header cannot be written: a bug of the service's.
    """
    lines = []
    for name, value in response.headers:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if not text.isprintable() or not text.isascii():
            raise ValueError(f"header '{name}': expected printable ASCII text")
        lines.append((name, text))
    if response.status in RETRY_AFTER and not any(name == "retry-after" for name, _ in lines):
        lines.append(("retry-after", RETRY_AFTER_S))
    if response.status == 401 and not any(name == "www-authenticate" for name, _ in lines):
        lines.append(("www-authenticate", "Bearer"))  # RFC 9110, section 15.5.2: a 401 says what is accepted
    return lines


async def encode_answer(
    response: Response, accept_encoding: str, compression: AnswerCompression
) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of an answer that is no stream, compressed where that pays and is accepted.

    Raises
    ------
    ValueError
        A header cannot be written.
    """
    lines = header_lines(response)
    size_bytes = _size(response.body)
    if (
        not compression.enabled
        or size_bytes < compression.min_bytes
        or any(name == "content-encoding" for name, _ in lines)
    ):
        return lines, join_body(response.body)
    lines.append(("vary", "accept-encoding"))
    if not accepts_gzip(accept_encoding):
        return lines, join_body(response.body)
    lines.append(("content-encoding", "gzip"))
    if size_bytes < _THREAD_FROM_BYTES:
        return lines, gzip_body(response.body, compression.level)
    return lines, await asyncio.to_thread(gzip_body, response.body, compression.level)


def _size(body: Bytes | Sequence[Bytes]) -> int:
    if isinstance(body, bytes):
        return len(body)
    if isinstance(body, memoryview):
        return body.nbytes
    return sum(piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in body)
