"""From a request to its response: find the route, run the handler, end it when it has to; whoever reads and writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final

from navi_core.contracts.service import Call, HttpRoute, Operation, Response
from navi_core.contracts.transport import Router, TransportOptions
from navi_core.errors import NaviError
from navi_core.transports.body import BodyHold, run_on_written
from navi_core.transports.http.options import HttpOptions
from navi_core.transports.http_rules import (
    TIMEOUT_HEADER,
    AnswerCompression,
    answer_for_ending,
    internal_error,
    refused,
    request_deadline,
    watch_deadline,
)
from navi_core.transports.in_flight import Ending, InFlight, RunningCall
from navi_core.types import Bytes

__all__ = ["Exchange", "Handling"]

_log = logging.getLogger(__name__)


class Exchange:
    """What is known of one request so far.

    Parameters
    ----------
    call
        What the handler gets.
    hold
        The memory that its body takes.
    """

    __slots__ = ("call", "close", "hold", "response", "running")

    def __init__(self, call: Call, hold: BodyHold) -> None:
        self.call = call
        self.hold = hold
        self.running: RunningCall | None = None
        self.response: Response | None = None
        self.close = False


class Handling:
    """What the connections of one server share.

    Parameters
    ----------
    router, options
        As the transport got them.
    own
        The transport's own settings.
    name
        The transport's name, for ``call.transport``.

    Attributes
    ----------
    calls
        Counts what runs.
    compression
        Which answers are compressed.
    is_draining
        Every answer is its connection's last.
    """

    def __init__(self, router: Router, options: TransportOptions, own: HttpOptions, name: str) -> None:
        self.router: Final = router
        self.options: Final = options
        self.own: Final = own
        self.name: Final = name
        self.calls: Final = InFlight()
        self.compression: Final = AnswerCompression(
            own.compression == "gzip", own.compression_min_bytes, own.compression_level
        )
        self.is_draining = False

    def deadline(self, metadata: Mapping[str, str | bytes]) -> float | None:
        """Return the deadline that a request brings; raises InvalidRequestError."""
        timeout_ms = metadata.get(TIMEOUT_HEADER)
        if not isinstance(timeout_ms, str):
            return None
        return request_deadline(timeout_ms, self.options.now())

    async def respond(self, exchange: Exchange, route: HttpRoute) -> Response:
        """Run the handler of a call that is complete.

        Raises
        ------
        EarlyAnswer
            The transport answers by itself: the call is refused or was interrupted, or the handler broke.
        asyncio.CancelledError
            The client has gone.
        """
        call = exchange.call
        try:
            awaitable = route.handler(call)
        except NaviError as error:
            raise refused(error) from None
        exchange.running = running = self.calls.begin(is_read=route.operation is Operation.READ)
        timer = None if call.deadline is None else watch_deadline(call, running, self.options.now())
        try:
            exchange.response = await awaitable
        except asyncio.CancelledError:
            raise _why_cancelled(call, running) from None
        except Exception:
            _log.exception("handler of %s %s failed", call.verb, call.path)
            raise internal_error(call) from None
        finally:
            if timer is not None:
                timer.cancel()
        return exchange.response

    async def first_chunk(self, exchange: Exchange, stream: AsyncIterator[Bytes]) -> Bytes | None:
        """Return a stream's first chunk, before anything is written: an early failure has a status then.

        Raises
        ------
        EarlyAnswer, asyncio.CancelledError
            As :meth:`respond`.
        """
        try:
            return await anext(stream, None)
        except asyncio.CancelledError:
            if exchange.running is None:
                raise
            raise _why_cancelled(exchange.call, exchange.running) from None
        except Exception:
            _log.exception("stream of %s failed", exchange.call.path)
            raise internal_error() from None

    def is_cut_off(self, exchange: Exchange, error: BaseException) -> bool:
        """Tell whether a stream that ended with an error must not look complete; False: its client has gone."""
        if isinstance(error, asyncio.CancelledError):
            return exchange.running is not None and exchange.running.ending() is not Ending.CLIENT_GONE
        _log.error("stream of %s failed", exchange.call.path, exc_info=error)
        return True

    def finish(self, exchange: Exchange) -> None:
        """Give back what an exchange held: its answer is written, or nobody waits for it."""
        exchange.hold.release()
        if exchange.response is not None:
            run_on_written(exchange.response)
        if exchange.running is not None:
            self.calls.end(exchange.running)


def _why_cancelled(call: Call, running: RunningCall) -> BaseException:
    ending = running.ending()
    if ending is Ending.CLIENT_GONE:
        return asyncio.CancelledError()
    if ending is Ending.NOBODY:
        _log.error("handler of %s raised CancelledError, nobody cancelled it", call.path)
    call.cancelled()
    return answer_for_ending(ending)
