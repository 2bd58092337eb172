"""aiohttp's connection, with navi's words for what aiohttp itself refuses."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web

from navi_core.transports.early_errors import INTERNAL_TEXT, http_error_body

__all__ = ["SERVER", "Connection"]

SERVER: Final = "navi"
"""The ``server`` header: the versions below are nobody's business."""

_MALFORMED: Final = "malformed HTTP request, or a request line or header over its limit"

_log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """Answers malformed requests in JSON, without the client's own bytes, and without a traceback in the log."""

    __slots__ = ()

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
