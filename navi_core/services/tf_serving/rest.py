"""The REST API: predict, status, metadata, and (navi's own) the list of models."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from navi_core.contracts.planes import DataPlane, ModelHandle
from navi_core.contracts.service import Call, Handler, HttpRoute, Operation, Response
from navi_core.errors import (
    InvalidRequestError,
    NaviError,
    SignatureNotFoundError,
    UnsupportedError,
)
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.services.tf_serving.errors import Failures
from navi_core.services.tf_serving.metadata import SIGNATURE_DEF, describe_model
from navi_core.services.tf_serving.model_spec import zero_as_newest
from navi_core.services.tf_serving.model_status import find_versions, status_message
from navi_core.services.tf_serving.rest_paths import ANY_PATH, LIST_PATH, MODEL_PATH, VERB_PATH, target_of
from navi_core.signature import DEFAULT_SIGNATURE, TensorSpec
from navi_core.wire.json_predictions import encode_predictions
from navi_core.wire.tensor_json import decode_json_request

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
    default_deadline_ms
        Deadline of requests that bring none; 0 or less: none.
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
        default_deadline_ms: float,
        cors: bool = False,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._service = service
        self._now = now
        self._default_deadline_ms = default_deadline_ms
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
        ref: ModelRef | None = None
        with ExitStack() as handles:
            try:
                ref = zero_as_newest(self._plane, target_of(call.match))
                if verb != "predict":
                    raise UnsupportedError(f"{verb} is not implemented by this server")
                handle, request, row_form = self._decode(call, ref, handles)
            except NaviError as error:
                self._plane.refused(ref, error, service=self._service, transport=call.transport, method=verb)
                return self._failures.http(error, ref)
            try:
                answer = await handle.infer(request)
                return _predictions(answer, row_form=row_form)
            except NaviError as error:
                return self._failures.http(error, ref)

    def _decode(
        self, call: Call, ref: ModelRef, handles: ExitStack
    ) -> tuple[ModelHandle, InferenceRequest, bool]:
        """Return the model's handle, entered in ``handles``, the request, and whether it is in row form.

        The model is looked up when the document has been parsed, as in TensorFlow Serving: what is no
        JSON is said first.
        """
        found: list[ModelHandle] = []

        def input_specs(signature: str) -> Mapping[str, TensorSpec]:
            handle = handles.enter_context(self._plane.acquire(ref))
            found.append(handle)
            name = signature or DEFAULT_SIGNATURE
            served = handle.signatures.get(name)
            if served is None:
                raise SignatureNotFoundError(name, model=handle.model, known=tuple(handle.signatures))
            return served.inputs

        decoded = decode_json_request(call.body, input_specs)
        (handle,) = found
        deadline = call.deadline
        if deadline is None and self._default_deadline_ms > 0:
            deadline = self._now() + self._default_deadline_ms / 1000
        request = InferenceRequest(
            inputs=decoded.inputs,
            signature=decoded.signature,
            deadline=deadline,
            body_bytes=len(call.body),
            service=self._service,
            transport=call.transport,
            method="predict",
        )
        return handle, request, decoded.row_form

    # --- reading ---------------------------------------------------------------------------------

    async def _show(self, call: Call) -> Response:
        ref = zero_as_newest(self._plane, target_of(call.match))
        try:
            if call.match.get("part") == "metadata":
                return _json(self._metadata(ref))
            versions = find_versions(self._plane, ref)
            return _json(_plain(status_message(versions)))
        except NaviError as error:
            return self._failures.http(error, ref)

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
        raise InvalidRequestError(f"Malformed request: {call.verb} {path}")

    async def _preflight(self, call: Call) -> Response:
        origin = str(call.metadata.get("origin", ""))
        allowed = "http://" in origin or "https://" in origin
        return Response(status=200 if allowed else 400, headers=_CORS if self._cors else ())


def _predictions(answer: InferenceResponse, *, row_form: bool) -> Response:
    try:
        body = encode_predictions(answer.outputs, row_form=row_form)
    finally:
        answer.release()
    return Response(status=200, headers=(_JSON,), body=body)


def _plain(message: Message) -> dict[str, Any]:
    """Return a message as TensorFlow Serving prints it: names as declared, defaults included."""
    from google.protobuf import json_format  # noqa: PLC0415 - most hosts are never asked for it

    shown: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return shown


def _json(value: Any) -> Response:
    return Response(status=200, headers=(_JSON,), body=json.dumps(value, indent=1).encode() + b"\n")
