"""aiohttp's connection, with navi's words for what aiohttp itself refuses."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiohttp import web

from navi_core.transports.early_errors import INTERNAL_TEXT, http_error_body

__all__ = ["SERVER", "Connection"]

SERVER: Final = "navi"
"""The ``server`` header: the versions below are nobody's business."""

_MALFORMED: Final = "malformed HTTP request, or a request line or header over its limit"

_log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """Closes connections on which no request comes, and answers malformed ones in JSON.

    Such an answer has none of the client's own bytes, and leaves no traceback in the log. aiohttp's own
    timeout counts between requests; only its newest versions count before the first one too.

    Parameters
    ----------
    manager, loop, settings
        As aiohttp wants them.
    first_request_timeout_s
        The head of the first request may take so long.
    body_began_s
        When its body began to come, by the loop's clock; None: when it is read.
    """

    __slots__ = ("_body_began_s", "_first_request_timeout_s", "_first_request_timer")

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        first_request_timeout_s: float,
        body_began_s: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(manager, loop=loop, **settings)
        self._body_began_s = body_began_s
        self._first_request_timeout_s = first_request_timeout_s
        self._first_request_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._first_request_timer = loop.call_later(self._first_request_timeout_s, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait no longer."""
        self.has_begun()
        super().connection_lost(exc)

    def has_begun(self) -> float | None:
        """Note that a request has come; returns when its body began to come, if it was before this connection."""
        timer, self._first_request_timer = self._first_request_timer, None
        if timer is not None:
            timer.cancel()
        began_s, self._body_began_s = self._body_began_s, None
        return began_s

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that could not be read, or whose handling broke."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun: it cannot become another one") from exc
        if status < 500:
            _log.debug("refused a malformed request from %s: %s", request.remote, message)
            text = _MALFORMED
        else:
            _log.error("exchange with %s failed", request.remote, exc_info=exc)
            text = INTERNAL_TEXT
        answer = web.Response(
            status=status,
            body=http_error_body(text),
            headers={"Content-Type": "application/json", "Server": SERVER},
        )
        answer.force_close()
        return answer
