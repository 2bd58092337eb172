"""OpenApiService: what the host offers over HTTP: for programs at ``/openapi.json``, for people at ``/``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import msgspec

from navi_core.contracts.service import Call, HttpRoute, Operation, Response, Service
from navi_core.contracts.service_context import ServiceContext
from navi_core.services.openapi.welcome import welcome

__all__ = ["PATH", "WELCOME_PATH", "OpenApiService"]

PATH: Final = "/openapi.json"
WELCOME_PATH: Final = "/"

_HEADERS: Final = (("content-type", "application/json"),)


class OpenApiService(Service):
    """Serves the document, made with the first request for it, and a page with the way around.

    Reading them needs no token: they show no model and no setting that a request would not show, and tools fetch it
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
        self._rpc_services: Final = context.rpc_services

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the routes, READ operations."""
        return (
            HttpRoute(
                verb="GET", pattern=re.compile(re.escape(PATH)), handler=self._show, operation=Operation.READ
            ),
            # a service that has something else to say there may
            HttpRoute(
                verb="GET",
                pattern=re.compile(re.escape(WELCOME_PATH)),
                handler=self._welcome,
                operation=Operation.READ,
                fallback=True,
            ),
        )

    @cached_property
    def _composed(self) -> Mapping[str, Any]:
        return self._compose()

    @cached_property
    def _document(self) -> bytes:
        return msgspec.json.encode(self._composed)

    @cached_property
    def _page(self) -> bytes:
        page = welcome(self._composed, self._rpc_services())
        return msgspec.json.format(msgspec.json.encode(page), indent=2) + b"\n"

    async def _show(self, _call: Call) -> Response:
        return Response(status=200, headers=_HEADERS, body=self._document)

    async def _welcome(self, _call: Call) -> Response:
        return Response(status=200, headers=_HEADERS, body=self._page)
