"""The unary RPCs that are no inference: health, metadata, configuration, statistics, repository."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call, Operation, Response, RpcKind, RpcMethod
from navi_core.errors import InvalidRequestError, ModelNotFoundError, NaviError, VersionNotFoundError
from navi_core.services.oip.errors import Asked, Failures
from navi_core.services.oip.inference import model_ref
from navi_core.services.oip.metadata import model_config, model_is_ready, model_metadata, server_metadata
from navi_core.services.oip.options import OipOptions
from navi_core.services.oip.repository import (
    Repository,
    check_unload_parameters,
    read_load_parameters,
    refuse_repository_name,
)
from navi_core.services.oip.statistics import model_statistics
from navi_core.wire import oip
from navi_core.wire.descriptors import parse_message

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["ReadRpcs"]

_Answer = Callable[[Any], Awaitable["Message"]]


class ReadRpcs:
    """Answers the RPCs, message by message.

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

    def methods(self) -> Mapping[str, RpcMethod]:
        """Return RPC -> method."""
        read, admin = Operation.READ, Operation.ADMIN
        table: Mapping[str, tuple[_Answer, Operation]] = {
            "ServerLive": (self._server_live, read),
            "ServerReady": (self._server_ready, read),
            "ModelReady": (self._model_ready, read),
            "ServerMetadata": (self._server_metadata, read),
            "ModelMetadata": (self._model_metadata, read),
            "ModelConfig": (self._model_config, read),
            "ModelStatistics": (self._model_statistics, read),
            "RepositoryIndex": (self._index, read),
            "RepositoryModelLoad": (self._load, admin),
            "RepositoryModelUnload": (self._unload, admin),
        }
        return {name: self._method(name, answer, kind) for name, (answer, kind) in table.items()}

    def _method(self, name: str, answer: _Answer, operation: Operation) -> RpcMethod:
        async def handle(call: Call) -> Response:
            asked = Asked()
            try:
                kind = oip.DESCRIPTORS.message_class(f"{name}Request")
                message = await answer(parse_message(kind, call.body))
            except NaviError as error:
                return self._failures.rpc(error, asked)
            return Response(status=0, body=message.SerializeToString())

        return RpcMethod(kind=RpcKind.UNARY, handler=handle, operation=operation)

    async def _server_live(self, _request: Message) -> Message:
        return oip.ServerLiveResponse(live=self._plane.is_live())

    async def _server_ready(self, _request: Message) -> Message:
        return oip.ServerReadyResponse(ready=self._plane.is_ready())

    async def _model_ready(self, request: oip.ModelReadyRequest) -> Message:
        try:
            ready = model_is_ready(self._plane, model_ref(request.name, request.version))
        except (ModelNotFoundError, VersionNotFoundError):
            if not self._is_triton:
                raise
            ready = False
        return oip.ModelReadyResponse(ready=ready)

    async def _server_metadata(self, _request: Message) -> Message:
        return server_metadata()

    async def _model_metadata(self, request: oip.ModelMetadataRequest) -> Message:
        return model_metadata(self._plane, model_ref(request.name, request.version))

    async def _model_config(self, request: oip.ModelConfigRequest) -> Message:
        config = model_config(self._plane, model_ref(request.name, request.version))
        return oip.ModelConfigResponse(config=config)

    async def _model_statistics(self, request: oip.ModelStatisticsRequest) -> Message:
        return await model_statistics(self._plane, request.name, request.version)

    # --- the repository ------------------------------------------------------------------------------

    async def _index(self, request: oip.RepositoryIndexRequest) -> Message:
        refuse_repository_name(request.repository_name)
        answer = oip.RepositoryIndexResponse()
        for each in self._repository.index(only_ready=request.ready):
            answer.models.add(name=each.name, version=each.version, state=each.state, reason=each.reason)
        return answer

    async def _load(self, request: oip.RepositoryModelLoadRequest) -> Message:
        name, is_kserve = _model_of(request.repository_name, request.model_name)
        await self._repository.load(name, read_load_parameters(name, _values(request.parameters)))
        answer = oip.RepositoryModelLoadResponse()
        if is_kserve:
            answer.model_name, answer.isLoaded = name, True
        return answer

    async def _unload(self, request: oip.RepositoryModelUnloadRequest) -> Message:
        name, is_kserve = _model_of(request.repository_name, request.model_name)
        check_unload_parameters(_values(request.parameters))
        await self._repository.unload(name)
        answer = oip.RepositoryModelUnloadResponse()
        if is_kserve:
            answer.model_name, answer.isUnloaded = name, True
        return answer


def _values(parameters: Mapping[str, oip.ModelRepositoryParameter]) -> dict[str, Any]:
    """Return name -> value; a parameter without one is None."""
    values: dict[str, Any] = {}
    for name, message in parameters.items():
        choice = message.WhichOneof("parameter_choice")
        values[name] = getattr(message, choice) if choice else None
    return values


def _model_of(first: str, second: str) -> tuple[str, bool]:
    """Tell the dialects apart: KServe's requests have the model in field 1, Triton's in field 2.

    Returns
    -------
    model, is_kserve
        The model's name, and whose request it is.

    Raises
    ------
    InvalidRequestError
        No model is named.
    UnsupportedError
        A repository is named besides.
    """
    if second:
        refuse_repository_name(first)
        return second, False
    if not first:
        raise InvalidRequestError("no model name in request")
    return first, True
