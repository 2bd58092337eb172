"""The REST API, inference aside: health, metadata, configuration, statistics, repository."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call, Handler, HttpRoute, Operation, Response
from navi_core.errors import InvalidRequestError, ModelNotFoundError, NaviError, VersionNotFoundError
from navi_core.services.oip import rest_paths as paths
from navi_core.services.oip.errors import Asked, Failures
from navi_core.services.oip.inference import model_ref
from navi_core.services.oip.metadata import model_config, model_is_ready, model_metadata, server_metadata
from navi_core.services.oip.options import OipOptions
from navi_core.services.oip.repository import Repository, check_unload_parameters, read_load_parameters
from navi_core.services.oip.rest_paths import target_of
from navi_core.services.oip.statistics import model_statistics
from navi_core.wire.message_dict import message_dict
from navi_core.wire.oip_json_document import parse_object

__all__ = ["RestApi"]

_JSON: Final = ("content-type", "application/json")
_FRESH: Final = ("cache-control", "no-store")
_MAX_DEPTH: Final = 16
"""Of the documents here, none is deeper."""


class RestApi:
    """The routes of the REST API, inference aside.

    Parameters
    ----------
    plane
        Knows the models.
    repository
        Loads and unloads them.
    failures
        Words errors.
    options
        The service's settings.
    """

    def __init__(
        self, plane: DataPlane, repository: Repository, failures: Failures, options: OipOptions
    ) -> None:
        self._plane: Final = plane
        self._repository: Final = repository
        self._failures: Final = failures
        self._is_triton: Final = options.is_triton

    def routes(self) -> Sequence[HttpRoute]:
        """Return the routes, most specific first."""
        read, admin = Operation.READ, Operation.ADMIN
        table: Sequence[tuple[str, re.Pattern[str], Callable[[Call], Awaitable[Response]], Operation]] = (
            ("GET", paths.SERVER, self._server, read),
            ("GET", paths.LIVE, self._live, read),
            ("GET", paths.READY, self._ready, read),
            ("GET", paths.MODELS, self._models, read),
            ("GET", paths.STATISTICS, self._statistics, read),
            ("GET", paths.METADATA, self._metadata, read),
            ("GET", paths.MODEL_READY, self._model_ready, read),
            ("GET", paths.CONFIG, self._config, read),
            ("POST", paths.INDEX, self._index, read),
            ("POST", paths.REPOSITORY_LOAD, self._load, admin),
            ("POST", paths.REPOSITORY_UNLOAD, self._unload, admin),
        )
        return [
            HttpRoute(verb=verb, pattern=pattern, handler=self._safe(handler), operation=operation)
            for verb, pattern, handler, operation in table
        ]

    def _safe(self, handler: Callable[[Call], Awaitable[Response]]) -> Handler:
        """Wrap a handler: errors become answers."""

        async def handle(call: Call) -> Response:
            try:
                return await handler(call)
            except NaviError as error:
                return self._failures.http(error, Asked())

        return handle

    # --- health -----------------------------------------------------------------------------------------

    def _health(self, is_well: bool, shown: dict[str, Any]) -> Response:
        """Answer as the dialect does: with a document and 503, or with nothing and 400."""
        if self._is_triton:
            return Response(status=200 if is_well else 400, headers=(_FRESH,))
        return Response(
            status=200 if is_well else 503, headers=(_JSON, _FRESH), body=msgspec.json.encode(shown)
        )

    async def _live(self, _call: Call) -> Response:
        is_live = self._plane.is_live()
        return self._health(is_live, {"live": is_live})

    async def _ready(self, _call: Call) -> Response:
        is_ready = self._plane.is_ready()
        return self._health(is_ready, {"ready": is_ready})

    async def _model_ready(self, call: Call) -> Response:
        name, version = target_of(call.match)
        try:
            is_ready = model_is_ready(self._plane, model_ref(name, version))
        except (ModelNotFoundError, VersionNotFoundError):
            if not self._is_triton:
                raise
            is_ready = False
        if self._is_triton and not is_ready:
            raise InvalidRequestError("Model version not ready")
        return self._health(is_ready, {"name": name, "ready": is_ready})

    # --- what there is ------------------------------------------------------------------------------------

    async def _server(self, _call: Call) -> Response:
        return _document(message_dict(server_metadata()))

    async def _models(self, _call: Call) -> Response:
        return _document({"models": list(self._plane.models())})

    async def _metadata(self, call: Call) -> Response:
        return _document(message_dict(model_metadata(self._plane, model_ref(*target_of(call.match)))))

    async def _config(self, call: Call) -> Response:
        return _document(message_dict(model_config(self._plane, model_ref(*target_of(call.match)))))

    async def _statistics(self, call: Call) -> Response:
        return _document(message_dict(await model_statistics(self._plane, *target_of(call.match))))

    # --- the repository -----------------------------------------------------------------------------------

    async def _index(self, call: Call) -> Response:
        only_ready = _optional_object(call).get("ready", False)
        if type(only_ready) is not bool:
            raise InvalidRequestError("request JSON: ready: expected a boolean")
        shown = []
        for each in self._repository.index(only_ready=only_ready):
            entry = {"name": each.name, "version": each.version, "state": each.state, "reason": each.reason}
            shown.append({key: value for key, value in entry.items() if value})
        return _document(shown)

    async def _load(self, call: Call) -> Response:
        name, _ = target_of(call.match)
        parameters = _repository_parameters(call)
        for key, value in parameters.items():
            if key.startswith("file:") and isinstance(value, str):
                parameters[key] = _bytes_of(key, value)
        await self._repository.load(name, read_load_parameters(name, parameters))
        return self._done(name, "load")

    async def _unload(self, call: Call) -> Response:
        name, _ = target_of(call.match)
        check_unload_parameters(_repository_parameters(call))
        await self._repository.unload(name)
        return self._done(name, "unload")

    def _done(self, name: str, what: str) -> Response:
        if self._is_triton:
            return Response(status=200, headers=(_JSON,))
        return _document({"name": name, what: True})


def _document(shown: Any) -> Response:
    return Response(status=200, headers=(_JSON,), body=msgspec.json.encode(shown))


def _optional_object(call: Call) -> dict[str, Any]:
    """Return the body's document; an empty body is an empty one."""
    if not len(call.body):
        return {}
    # the transport limits the body; files of models are large
    return parse_object(call.body, max_json_bytes=len(call.body), max_depth=_MAX_DEPTH)


def _repository_parameters(call: Call) -> dict[str, Any]:
    parameters = _optional_object(call).get("parameters", {})
    if type(parameters) is not dict:
        raise InvalidRequestError("request JSON: parameters: expected an object")
    return parameters


def _bytes_of(key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"load parameter '{key[:64]}': expected base64") from None
