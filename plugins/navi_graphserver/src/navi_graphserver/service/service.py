"""GraphServer's service: graphs are registered, replaced, forgotten, and asked.

A graph is an ordinary model, ``graph-<id>``: what GraphServer's clients do here is what admin operations and requests
of other protocols do. What the service has to know of a graph to answer requests is in the model's signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Self

import msgspec

from navi_core import (
    Call,
    ConfigError,
    DataPlane,
    ErrorCode,
    InferenceRequest,
    InvalidRequestError,
    ModelHandle,
    ModelRef,
    NaviError,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    ServiceContext,
    Signature,
)
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.messages import (
    read_drop_request,
    read_request,
    read_request_id,
    write_response,
)
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.write_result import write_result
from navi_graphserver.naming import GRAPH_SIGNATURE, NAME_METADATA, check_name, model_name
from navi_graphserver.service.errors import failure, inference_failure, malformed, no_results
from navi_graphserver.service.graphs import Graphs
from navi_graphserver.service.wire_map import WireMaps
from navi_graphserver.state import StateDirectory

__all__ = ["GraphInferenceService", "GraphServiceOptions"]

PREFIXES: Final = ("nd4j.graph", "org.nd4j.graph", "sd.graph", "graph")
"""Package names under which clients know the service: C++ until 2020, Java since, C++ since 2021, the newest schemas."""

_SERVICE: Final = "GraphInferenceServer"
_INFER: Final = "InferenceRequest"


class GraphServiceOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The table ``[service_options.graphserver]``.

    Parameters
    ----------
    state_dir
        Where registered graphs are kept, so that they can be served again after a restart; None: nowhere, as in
        DL4J.
    names
        Graph id -> the model that the graph is besides ``graph-<id>``, where nobody says one with the graph.
    """

    state_dir: str | None = None
    names: dict[str, str] = {}


class GraphInferenceService(Service):
    """``RegisterGraph``, ``ReplaceGraph``, ``ForgetGraph`` and ``InferenceRequest``, with FlatBuffers as messages.

    Parameters
    ----------
    context
        What the host offers.

    Raises
    ------
    ConfigError
        The service's table is wrong.
    """

    name: ClassVar[str] = "graphserver"

    def __init__(self, context: ServiceContext) -> None:
        self._plane: Final[DataPlane] = context.plane
        self._run_off_loop: Final = context.run_off_loop
        options = _read_options(context.options.tables.get(self.name, {}))
        state = StateDirectory(options.state_dir) if options.state_dir is not None else None
        self._graphs: Final = Graphs(context, _names(options.names), state)
        self._wire_maps: Final = WireMaps()

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return the four methods, under every name that clients know them by."""
        handlers = {
            "RegisterGraph": (self._register, Operation.ADMIN),
            "ReplaceGraph": (self._replace, Operation.ADMIN),
            "ForgetGraph": (self._forget, Operation.ADMIN),
            _INFER: (self._infer, Operation.INFER),
        }
        return {
            f"/{prefix}.{_SERVICE}/{method}": RpcMethod(
                kind=RpcKind.UNARY, handler=handler, operation=operation
            )
            for prefix in PREFIXES
            for method, (handler, operation) in handlers.items()
        }

    # --- graphs ---------------------------------------------------------------------------------------------

    async def _register(self, call: Call) -> Response:
        return await self._put(call, is_new=True)

    async def _replace(self, call: Call) -> Response:
        return await self._put(call, is_new=False)

    async def _put(self, call: Call, *, is_new: bool) -> Response:
        """Serve a graph; one that is new must not be known, as in C++, and one that is replaced may be new."""
        body = bytes(call.body)
        try:
            graph = await self._run_off_loop(lambda: read_graph(body))
        except FlatBufferError as error:
            return malformed(error)
        name = call.metadata.get(NAME_METADATA, "")
        try:
            await self._graphs.put(graph.id, body, is_new=is_new, name=name if isinstance(name, str) else "")
        except NaviError as error:
            return failure(error)
        return Response(status=0, body=write_response())

    async def _forget(self, call: Call) -> Response:
        """Forget a graph; one that nobody knows is forgotten already."""
        try:
            graph_id = read_drop_request(call.body)
        except FlatBufferError as error:
            return malformed(error)
        try:
            await self._graphs.forget(graph_id)
        except NaviError as error:
            return failure(error)
        return Response(status=0, body=write_response())

    # --- requests -------------------------------------------------------------------------------------------

    async def _infer(self, call: Call) -> Response:
        try:
            graph_id = read_request_id(call.body)
        except FlatBufferError as error:
            self._refuse(None, InvalidRequestError(str(error)), call)
            return malformed(error)
        ref = ModelRef(model_name(graph_id))
        try:
            handle = self._plane.acquire(ref)
        except NaviError as error:
            self._refuse(ref, error, call)
            return inference_failure(error, graph_id)
        with handle:
            try:
                wire = self._wire_maps.of(handle.model, _signature(handle))
                inputs = wire.inputs(read_request(call.body, wire.generation).variables)
            except FlatBufferError as error:
                # most often a client that writes for the other one: nothing in a request tells
                told = FlatBufferError(
                    f"{error.problem} (the graph is of generation {int(wire.generation)})", error.place
                )
                self._refuse(ref, InvalidRequestError(str(told)), call)
                return malformed(told)
            except NaviError as error:
                self._refuse(ref, error, call)
                return inference_failure(error, graph_id)
            request = InferenceRequest(
                inputs=inputs,
                signature=GRAPH_SIGNATURE,
                deadline=call.deadline,
                body_bytes=len(call.body),
                service=self.name,
                transport=call.transport,
                method=_INFER,
            )
            try:
                answer = await handle.infer(request)
            except NaviError as error:
                return inference_failure(error, graph_id)
        try:
            variables = wire.results(answer.outputs)
            if not variables:
                return no_results(graph_id)
            return Response(status=0, body=write_result(variables, wire.generation))
        finally:
            answer.release()

    def _refuse(self, ref: ModelRef | None, error: NaviError, call: Call) -> None:
        self._plane.refused(ref, error, service=self.name, transport=call.transport, method=_INFER)


def _read_options(table: Mapping[str, object]) -> GraphServiceOptions:
    try:
        return msgspec.convert(dict(table), GraphServiceOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error), path="service_options.graphserver") from None


def _names(table: Mapping[str, str]) -> dict[int, str]:
    names = {}
    for number, name in table.items():
        try:
            check_name(name)
            names[int(number)] = name
        except InvalidRequestError as error:
            raise ConfigError(error.message, path=f"service_options.graphserver.names.{number}") from None
        except ValueError:
            msg = f"expected the id of a graph, got '{number}'"
            raise ConfigError(msg, path="service_options.graphserver.names") from None
    return names


def _signature(handle: ModelHandle) -> Signature:
    signature = handle.signatures.get(GRAPH_SIGNATURE)
    if signature is None:
        msg = f"model '{handle.model}' is no graph"
        raise NaviError(msg, code=ErrorCode.FAILED_PRECONDITION)
    return signature
