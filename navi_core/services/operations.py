"""OperationsService: what an orchestrator and a metrics collector ask over HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

import msgspec

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call, Handler, HttpRoute, Operation, Response, Service
from navi_core.contracts.service_context import ServiceContext

__all__ = ["LIVE_PATH", "METRICS_PATH", "READY_PATH", "OperationsService"]

LIVE_PATH: Final = "/healthz/live"
READY_PATH: Final = "/healthz/ready"
METRICS_PATH: Final = "/metrics"
"""Where the description has the metrics page."""

_OK: Final = 200
_UNAVAILABLE: Final = 503


class OperationsService(Service):
    """Liveness, readiness and the metrics page.

    Live: the process is worth keeping. Ready: every configured model can answer, and the host does not
    drain; the answer names the models. Both are 200 or 503.

    Parameters
    ----------
    context
        What the host offers.
    """

    name: ClassVar[str] = "operations"
    openapi_file: ClassVar[str | None] = "operations_openapi.json"

    def __init__(self, context: ServiceContext) -> None:
        self._plane: Final[DataPlane] = context.plane
        self._metrics_paths: Final = tuple(dict.fromkeys(context.options.metrics_paths))

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the routes; all are READ operations, answered while the host drains."""
        handlers: dict[str, Handler] = {LIVE_PATH: self._live, READY_PATH: self._ready}
        handlers |= dict.fromkeys(self._metrics_paths, self._metrics)
        return [
            HttpRoute(
                verb="GET", pattern=re.compile(re.escape(path)), handler=handler, operation=Operation.READ
            )
            for path, handler in handlers.items()
        ]

    def openapi(self) -> dict[str, Any]:
        """Return the description, with the metrics page at its configured paths."""
        found = super().openapi()
        page = found["paths"].pop(METRICS_PATH)
        for number, path in enumerate(self._metrics_paths):
            operation_id = page["get"]["operationId"] + (f"_{number + 1}" if number else "")
            found["paths"][path] = {"get": {**page["get"], "operationId": operation_id}}
        return found

    async def _live(self, _call: Call) -> Response:
        is_live = self._plane.is_live()
        return _answer(is_live, {"status": "live" if is_live else "not live"})

    async def _ready(self, _call: Call) -> Response:
        is_ready = self._plane.is_ready()
        models = {name: self._plane.is_ready(name) for name in self._plane.models()}
        return _answer(is_ready, {"status": "ready" if is_ready else "not ready", "models": models})

    async def _metrics(self, call: Call) -> Response:
        accept = call.metadata.get("accept", "")
        content_type, page = await self._plane.render_metrics(accept if isinstance(accept, str) else "")
        return Response(status=_OK, body=page, headers=(("content-type", content_type),))


def _answer(is_well: bool, content: object) -> Response:
    return Response(
        status=_OK if is_well else _UNAVAILABLE,
        body=msgspec.json.encode(content),
        headers=(("content-type", "application/json"), ("cache-control", "no-store")),
    )
