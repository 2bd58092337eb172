"""HealthService: the gRPC health checking protocol (``grpc.health.v1``), as a service of ours.

What can be asked for: the empty name (the host as a whole), every RPC service's full name, the short
names under which TensorFlow Serving registers its own services, and ``model/NAME`` for every model. A service
is SERVING when the host is ready, a model when one of its versions can answer. While the host drains
everything is NOT_SERVING, because then nothing is ready; watchers are told so, and the transport ends
their streams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Final, Self

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call, Handler, Operation, Response, RpcKind, RpcMethod, Service
from navi_core.contracts.service_context import ServiceContext
from navi_core.errors import ModelNotFoundError
from navi_core.wire import grpc_health
from navi_core.wire.json_shown import printable

__all__ = ["HealthService"]

_PREFIX: Final = "/grpc.health.v1.Health/"
_INVALID_ARGUMENT: Final = 3
_NOT_FOUND: Final = 5

_SERVING: Final = 1
_NOT_SERVING: Final = 2
_SERVICE_UNKNOWN: Final = 3

_SHORT_NAMES: Final[Mapping[str, str]] = {
    "PredictionService": "tensorflow.serving.PredictionService",
    "ModelService": "tensorflow.serving.ModelService",
}
"""TensorFlow Serving's names -> the services that must be offered for them to exist."""

_MODEL_PREFIX: Final = "model/"
"""Tells models from services: no service's name has a slash."""


class HealthService(Service):
    """Check, Watch and List.

    Parameters
    ----------
    context
        What the host offers.
    """

    name: ClassVar[str] = "health"
    descriptor_set: ClassVar[bytes | None] = grpc_health.DESCRIPTORS.serialized

    def __init__(self, context: ServiceContext) -> None:
        self._plane: Final[DataPlane] = context.plane
        self._rpc_services: Final = context.rpc_services
        self._new_signal: Final = context.new_signal

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return the three RPCs; all are READ operations, answered while the host drains."""

        def method(kind: RpcKind, handler: Handler) -> RpcMethod:
            return RpcMethod(kind=kind, handler=handler, operation=Operation.READ)

        return {
            f"{_PREFIX}Check": method(RpcKind.UNARY, self._check),
            f"{_PREFIX}Watch": method(RpcKind.SERVER_STREAM, self._watch),
            f"{_PREFIX}List": method(RpcKind.UNARY, self._list),
        }

    async def _check(self, call: Call) -> Response:
        name = _asked_for(call)
        if name is None:
            return _malformed()
        status = self._status(name)
        if status == _SERVICE_UNKNOWN:
            return Response(
                status=_NOT_FOUND,
                message=f"service: expected '', the name of a service, or {_MODEL_PREFIX}NAME, got '{printable(name)}'",
            )
        return Response(status=0, body=_encode(status))

    async def _watch(self, call: Call) -> Response:
        name = _asked_for(call)
        if name is None:
            return _malformed()
        return Response(status=0, stream=self._changes(name))

    async def _changes(self, name: str) -> AsyncIterator[bytes]:
        """Yield the status now, and whenever it is another one; an unknown name may become known."""
        signal = self._new_signal()
        forget = self._plane.on_change(signal.set)
        try:
            told = None
            while True:
                status = self._status(name)
                if status != told:
                    yield _encode(status)
                    told = status
                await signal.wait()
        finally:
            forget()

    async def _list(self, _call: Call) -> Response:
        answer = grpc_health.HealthListResponse()
        for name in ("", *self._rpc_services(), *self._short_names(), *self._model_names()):
            answer.statuses[name].status = self._status(name)
        return Response(status=0, body=answer.SerializeToString())

    def _model_names(self) -> list[str]:
        return [f"{_MODEL_PREFIX}{model}" for model in self._plane.models()]

    def _short_names(self) -> list[str]:
        offered = self._rpc_services()
        return [short for short, full in _SHORT_NAMES.items() if full in offered]

    def _status(self, name: str) -> int:
        if name.startswith(_MODEL_PREFIX):
            try:
                is_ready = self._plane.is_ready(name.removeprefix(_MODEL_PREFIX))
            except ModelNotFoundError:
                return _SERVICE_UNKNOWN
        elif not name or name in self._rpc_services() or name in self._short_names():
            is_ready = self._plane.is_ready()
        else:
            return _SERVICE_UNKNOWN
        return _SERVING if is_ready else _NOT_SERVING


def _asked_for(call: Call) -> str | None:
    """Return the name in a request; None: the request is malformed."""
    from google.protobuf.message import (  # noqa: PLC0415 - protobuf is imported with the first call
        DecodeError,
    )

    try:
        # a message's strings are checked when it is parsed
        return grpc_health.HealthCheckRequest.FromString(bytes(call.body)).service
    except DecodeError:
        return None


def _malformed() -> Response:
    return Response(status=_INVALID_ARGUMENT, message="request: expected a grpc.health.v1.HealthCheckRequest")


def _encode(status: int) -> bytes:
    return grpc_health.HealthCheckResponse(status=status).SerializeToString()
