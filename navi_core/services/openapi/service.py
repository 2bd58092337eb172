"""OpenApiService: the description of what the host offers over HTTP, at ``/openapi.json``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import msgspec

from navi_core.contracts.service import Call, HttpRoute, Operation, Response, Service
from navi_core.contracts.service_context import ServiceContext

__all__ = ["PATH", "OpenApiService"]

PATH: Final = "/openapi.json"


class OpenApiService(Service):
    """Serves one document, made with the first request for it.

    Reading it needs no token: it shows no model and no setting that a request would not show, and tools fetch it
    before they know which token to bring.

    Parameters
    ----------
    context
        What the host offers.
    """

    name: ClassVar[str] = "openapi"
    openapi_file: ClassVar[str | None] = "openapi.json"

    def __init__(self, context: ServiceContext) -> None:
        self._compose: Final[Callable[[], Mapping[str, Any]]] = context.openapi

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the one route, a READ operation."""
        return (
            HttpRoute(
                verb="GET", pattern=re.compile(re.escape(PATH)), handler=self._show, operation=Operation.READ
            ),
        )

    @cached_property
    def _document(self) -> bytes:
        return msgspec.json.encode(self._compose())

    async def _show(self, _call: Call) -> Response:
        return Response(status=200, headers=(("content-type", "application/json"),), body=self._document)
