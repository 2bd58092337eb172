"""The REST API's routes: inference, status, metadata, and (navi's own) the list of models."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call, Handler, HttpRoute, Operation, Response
from navi_core.errors import ErrorCode, InvalidRequestError, NaviError
from navi_core.messages import ModelRef
from navi_core.services.tf_serving.errors import Failures
from navi_core.services.tf_serving.metadata import SIGNATURE_DEF, describe_model
from navi_core.services.tf_serving.model_spec import zero_as_newest
from navi_core.services.tf_serving.model_status import find_versions, status_message
from navi_core.services.tf_serving.rest_infer import RestInference
from navi_core.services.tf_serving.rest_paths import ANY_PATH, LIST_PATH, MODEL_PATH, VERB_PATH, target_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["RestApi"]

_JSON: Final = ("content-type", "application/json")

_CORS: Final = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "POST, GET"),
    ("access-control-allow-headers", "Content-Type"),
)


class RestApi:
    """The routes of the REST API.

    Parameters
    ----------
    plane
        Answers requests.
    failures
        Words errors.
    service
        The service's name, for metrics.
    now
        The monotonic clock, in seconds.
    inference
        Answers predict, classify and regress.
    cors
        Allow every origin.
    """

    def __init__(
        self,
        plane: DataPlane,
        failures: Failures,
        *,
        service: str,
        now: Callable[[], float],
        inference: RestInference,
        cors: bool = False,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._service = service
        self._now = now
        self._inference = inference
        self._cors = cors

    def routes(self) -> Sequence[HttpRoute]:
        """Return the routes, most specific first; what else is under ``/v1/`` is refused here too."""
        infer, read = Operation.INFER, Operation.READ
        return (
            HttpRoute(
                verb="POST",
                pattern=VERB_PATH,
                handler=self._safe(self._infer),
                operation=infer,
                with_query=True,
            ),
            HttpRoute(verb="GET", pattern=LIST_PATH, handler=self._safe(self._list), operation=read),
            HttpRoute(
                verb="GET",
                pattern=MODEL_PATH,
                handler=self._safe(self._show),
                operation=read,
                with_query=True,
            ),
            HttpRoute(
                verb="OPTIONS", pattern=ANY_PATH, handler=self._preflight, operation=read, fallback=True
            ),
            HttpRoute(
                verb="*",
                pattern=ANY_PATH,
                handler=self._safe(self._malformed),
                operation=read,
                with_query=True,
                fallback=True,
            ),
        )

    def _safe(self, handler: Callable[[Call], Awaitable[Response]]) -> Handler:
        """Wrap a handler: errors become answers, and answers get CORS headers."""

        async def handle(call: Call) -> Response:
            try:
                response = await handler(call)
            except NaviError as error:
                response = self._failures.http(error)
            if self._cors:
                response.headers = (*response.headers, *_CORS)
            return response

        return handle

    # --- inference -------------------------------------------------------------------------------

    async def _infer(self, call: Call) -> Response:
        verb = call.match["verb"]
        if not verb.islower():
            return await self._malformed(call)
        try:
            ref = target_of(call.match)
        except NaviError as error:
            self._plane.refused(None, error, service=self._service, transport=call.transport, method=verb)
            raise
        if ref.version == 0:
            ref = zero_as_newest(self._plane, ref)
        try:
            body = await self._inference.answer(call, verb, ref)
        except NaviError as error:
            return self._failures.http(error, ref)
        return Response(status=200, headers=(_JSON,), body=body)

    # --- reading ---------------------------------------------------------------------------------

    async def _show(self, call: Call) -> Response:
        started = self._now()
        ref: ModelRef | None = None
        code = ErrorCode.OK
        try:
            ref = zero_as_newest(self._plane, target_of(call.match))
            if call.match.get("part") == "metadata":
                return _json(self._metadata(ref))
            versions = find_versions(self._plane, ref)
            return _json(_plain(status_message(versions)))
        except NaviError as error:
            code = error.code
            return self._failures.http(error, ref)
        finally:
            self._count(ref, code, self._now() - started)

    def _count(self, ref: ModelRef | None, code: ErrorCode, total_seconds: float) -> None:
        """Count what is no inference, as TensorFlow Serving does with whatever comes to its paths over REST."""
        self._plane.read_finished(ref, code, service=self._service, total_seconds=total_seconds)

    def _metadata(self, ref: ModelRef) -> dict[str, Any]:
        spec, signatures = describe_model(self._plane, ref)
        # The level "signature_def" is doubled: once the metadata's field, once the message's.
        return {"model_spec": _plain(spec), "metadata": {SIGNATURE_DEF: _plain(signatures)}}

    async def _list(self, _call: Call) -> Response:
        models = []
        for name in self._plane.models():
            versions = sorted(self._plane.status(name), key=lambda each: each.version, reverse=True)
            entry = {"name": name, **_plain(status_message(versions))}
            for status, shown in zip(versions, entry["model_version_status"], strict=True):
                shown["labels"] = list(status.labels)
            models.append(entry)
        return _json({"models": models})

    # --- everything else ---------------------------------------------------------------------------

    async def _malformed(self, call: Call) -> Response:
        path = f"{call.path}?{call.query}" if call.query else call.path
        self._count(None, ErrorCode.INVALID_ARGUMENT, 0.0)
        raise InvalidRequestError(f"Malformed request: {call.verb} {path}")

    async def _preflight(self, call: Call) -> Response:
        origin = str(call.metadata.get("origin", ""))
        allowed = "http://" in origin or "https://" in origin
        return Response(status=200 if allowed else 400, headers=_CORS if self._cors else ())


def _plain(message: Message) -> dict[str, Any]:
    """Return a message as TensorFlow Serving prints it: names as declared, defaults included."""
    from google.protobuf import json_format  # noqa: PLC0415 - most hosts are never asked for it

    shown: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return shown


def _json(value: Any) -> Response:
    return Response(status=200, headers=(_JSON,), body=json.dumps(value, indent=1).encode() + b"\n")
