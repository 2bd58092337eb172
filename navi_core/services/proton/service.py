"""ProtonService: the protocol as the host sees it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final, Self, TypeVar

import msgspec

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import (
    Call,
    Handler,
    HttpRoute,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
)
from navi_core.contracts.service_context import OFF_LOOP_BYTES, ServiceContext
from navi_core.errors import ConfigError, DecodeError, ErrorCode, NaviError
from navi_core.services.proton.errors import ContentTypeError, http_failure, rpc_failure
from navi_core.services.proton.predictor import Predictor
from navi_core.wire import proton
from navi_core.wire.ndarray_json import decode_json_inference, encode_json_inference
from navi_core.wire.proton_predict import encode_inference_response, parse_inference_request

__all__ = ["ProtonService"]

T = TypeVar("T")

_RPC: Final = "/predict.Predictor/Predict"
_RPC_METHOD: Final = "Predict"
_REST_METHOD: Final = "predict"

_JSON: Final = (("content-type", "application/json"),)
_JSON_TYPE: Final = re.compile(r"\s*application/(?:json|[^\s;]+\+json)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_EXPECTED_JSON: Final = "Expected request with `Content-Type: application/json`"


class ProtonService(Service):
    """``predict.Predictor/Predict``, ``/predict``, ``/models`` and ``/ready``.

    A request is one float32 array for the newest version of a model with a single input; the answer is the
    model's first output, as in Proton. ``/metrics``, which Proton has too, is the host's.

    Parameters
    ----------
    context
        What the host offers.

    Raises
    ------
    ConfigError
        The configuration has settings for it.
    """

    name: ClassVar[str] = "proton"
    descriptor_set: ClassVar[bytes | None] = proton.DESCRIPTORS.serialized
    openapi_file: ClassVar[str | None] = "openapi.json"

    def __init__(self, context: ServiceContext) -> None:
        if table := context.options.tables.get(self.name):
            named = ", ".join(f"'{key}'" for key in table)
            raise ConfigError(f"expected nothing, got {named}", path=f"service_options.{self.name}")
        self._plane: Final[DataPlane] = context.plane
        self._now: Final[Callable[[], float]] = context.now
        self._default_deadline_ms: Final = context.options.default_deadline_ms
        self._run_off_loop: Final = context.run_off_loop
        self._predictor: Final = Predictor(context.plane, self.name)

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return the one RPC."""
        return {_RPC: RpcMethod(kind=RpcKind.UNARY, handler=self._rpc, operation=Operation.INFER)}

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the routes."""

        def route(verb: str, path: str, handler: Handler, operation: Operation) -> HttpRoute:
            return HttpRoute(
                verb=verb, pattern=re.compile(re.escape(path)), handler=handler, operation=operation
            )

        return (
            route("POST", "/predict", self._post, Operation.INFER),
            route("GET", "/models", self._models, Operation.READ),
            route("GET", "/ready", self._ready, Operation.READ),
        )

    async def _rpc(self, call: Call) -> Response:
        try:
            parsed = parse_inference_request(call.body)
        except DecodeError as error:
            self._predictor.refuse(error, call, method=_RPC_METHOD)
            return rpc_failure(error)
        try:
            array, answer = await self._predictor.predict(
                parsed, call, method=_RPC_METHOD, deadline=call.deadline
            )
        except NaviError as error:
            return rpc_failure(error)
        pieces, has_views = encode_inference_response(
            array, prediction_id=str(uuid.uuid4()), model_name=answer.model
        )
        if has_views:  # the buffer is in use until the transport has written it
            return Response(status=0, body=pieces, on_written=answer.release)
        answer.release()
        return Response(status=0, body=pieces)

    async def _post(self, call: Call) -> Response:
        try:
            _check_content_type(call)
            parsed = await self._run(len(call.body), partial(decode_json_inference, call.body))
        except NaviError as error:
            self._predictor.refuse(error, call, method=_REST_METHOD)
            return http_failure(error)
        except Exception:
            raise
        except BaseException:  # the client went while its body was read
            gone = NaviError("the client has gone", code=ErrorCode.CANCELLED)
            self._predictor.refuse(gone, call, method=_REST_METHOD)
            raise
        deadline = call.deadline
        if deadline is None and self._default_deadline_ms > 0:
            deadline = self._now() + self._default_deadline_ms / 1000
        try:
            array, answer = await self._predictor.predict(
                parsed, call, method=_REST_METHOD, deadline=deadline
            )
        except NaviError as error:
            return http_failure(error)
        try:
            encode = partial(
                encode_json_inference, array, prediction_id=str(uuid.uuid4()), model_name=answer.model
            )
            body = await self._run(array.nbytes, encode)
        finally:
            answer.release()
        return Response(status=200, headers=_JSON, body=body)

    async def _run(self, size_bytes: int, work: Callable[[], T]) -> T:
        """Do what takes long elsewhere than on the loop."""
        return await self._run_off_loop(work) if size_bytes >= OFF_LOOP_BYTES else work()

    async def _models(self, _call: Call) -> Response:
        return _json({"models": [{"name": name} for name in self._plane.models()]})

    async def _ready(self, _call: Call) -> Response:
        return _json(
            {"healthy": self._plane.is_ready()}
        )  # always 200: probes that mean it use /healthz/ready


def _check_content_type(call: Call) -> None:
    content_type = call.metadata.get("content-type", "")
    if not isinstance(content_type, str) or _JSON_TYPE.fullmatch(content_type) is None:
        raise ContentTypeError(_EXPECTED_JSON)


def _json(value: object) -> Response:
    return Response(status=200, headers=_JSON, body=msgspec.json.encode(value))
