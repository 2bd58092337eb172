"""GraphServer's service: graphs are registered, replaced, forgotten, and asked.

A graph is an ordinary model, ``graph-<id>``: what GraphServer's clients do here is what admin operations and requests
of other protocols do. The service keeps nothing: what it has to know of a graph is in the model's signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Self

import msgspec

from navi_core import (
    Admin,
    Array,
    Artifact,
    Call,
    ConfigError,
    DataPlane,
    ErrorCode,
    InferenceRequest,
    InvalidRequestError,
    ModelConflictError,
    ModelHandle,
    ModelNotFoundError,
    ModelRef,
    NaviError,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    ServiceContext,
    Signature,
    numpy_dtype,
)
from navi_graphserver.flat.arrays import flat_dtype
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.messages import (
    read_drop_request,
    read_request,
    read_request_id,
    write_response,
    write_result,
)
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import Address, FlatVariable
from navi_graphserver.naming import DEAD_OUTPUT, GRAPH_SIGNATURE, generation_of, model_name, read_wire_name
from navi_graphserver.runtime import GRAPH_FILE
from navi_graphserver.service.errors import failure, inference_failure, malformed, no_results
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
    """

    state_dir: str | None = None


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
        self._admin: Final[Admin] = context.admin
        self._run_off_loop: Final = context.run_off_loop
        options = _read_options(context.options.tables.get(self.name, {}))
        self._state: Final = StateDirectory(options.state_dir) if options.state_dir is not None else None
        self._changing: Final[set[int]] = set()

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
        name = model_name(graph.id)
        try:
            self._begin(graph.id, name, is_new=is_new)
        except NaviError as error:
            return failure(error)
        try:
            version = self._next_version(name)
            await self._admin.replace(Artifact(name=name, version=version, files={GRAPH_FILE: body}))
            if self._state is not None:
                state = self._state
                await self._run_off_loop(lambda: state.keep(name, version, body))
        except NaviError as error:
            return failure(error)
        finally:
            self._changing.discard(graph.id)
        return Response(status=0, body=write_response())

    def _begin(self, graph_id: int, name: str, *, is_new: bool) -> None:
        """Note that a graph changes.

        Raises
        ------
        ModelConflictError
            It is known and should be new, or changes already.
        """
        if graph_id in self._changing:
            msg = f"another operation on the graph is under way [{graph_id}]"
            raise ModelConflictError(msg)
        if is_new and name in self._plane.models():
            msg = f"Graph with given ID already exists [{graph_id}]"
            raise ModelConflictError(msg)
        self._changing.add(graph_id)

    def _next_version(self, name: str) -> int:
        if name not in self._plane.models():
            return 1
        return max((status.version for status in self._plane.status(name)), default=0) + 1

    async def _forget(self, call: Call) -> Response:
        """Forget a graph; one that nobody knows is forgotten already."""
        try:
            graph_id = read_drop_request(call.body)
        except FlatBufferError as error:
            return malformed(error)
        name = model_name(graph_id)
        try:
            self._begin(graph_id, name, is_new=False)
        except NaviError as error:
            return failure(error)
        try:
            if name in self._plane.models():
                await self._admin.unload(name)
            if self._state is not None:
                state = self._state
                await self._run_off_loop(lambda: state.forget(name))
        except ModelNotFoundError:
            pass  # somebody else was quicker
        except NaviError as error:
            return failure(error)
        finally:
            self._changing.discard(graph_id)
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
                signature = _signature(handle)
                inputs = _inputs(call, signature)
            except FlatBufferError as error:
                self._refuse(ref, InvalidRequestError(str(error)), call)
                return malformed(error)
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
            variables = _results(answer.outputs)
            if not variables:
                return no_results(graph_id)
            return Response(status=0, body=write_result(variables, generation_of(signature.method_name)))
        finally:
            answer.release()

    def _refuse(self, ref: ModelRef | None, error: NaviError, call: Call) -> None:
        self._plane.refused(ref, error, service=self.name, transport=call.transport, method=_INFER)


def _read_options(table: Mapping[str, object]) -> GraphServiceOptions:
    try:
        return msgspec.convert(dict(table), GraphServiceOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error), path="service_options.graphserver") from None


def _signature(handle: ModelHandle) -> Signature:
    signature = handle.signatures.get(GRAPH_SIGNATURE)
    if signature is None:
        msg = f"model '{handle.model}' is no graph"
        raise NaviError(msg, code=ErrorCode.FAILED_PRECONDITION)
    return signature


def _inputs(call: Call, signature: Signature) -> dict[str, Array]:
    """Return what is fed, by the signature's names; what the graph does not know changes nothing, as in C++.

    Raises
    ------
    FlatBufferError
        The request is malformed.
    InvalidRequestError
        An array cannot stand for the variable that it is fed to.
    """
    request = read_request(call.body, generation_of(signature.method_name))
    by_name, by_address = {}, {}
    for each in signature.inputs:
        address, own = read_wire_name(each)
        by_address[address] = each
        if own:
            by_name[own] = each
    inputs: dict[str, Array] = {}
    for variable in request.variables:
        name = by_name.get(variable.name) if variable.name else by_address.get(variable.address)
        if name is None or variable.array is None:
            continue
        wanted, array = numpy_dtype(signature.inputs[name].dtype), variable.array
        if array.dtype != wanted:
            if "O" in (array.dtype.kind, wanted.kind):
                msg = f"variable '{name}': {array.dtype} fed for {wanted}"
                raise InvalidRequestError(msg)
            array = array.astype(wanted)
        inputs[name] = array
    return inputs


def _results(outputs: Mapping[str, Array]) -> list[FlatVariable]:
    """Return the answer's variables: those that the run made, in the signature's order."""
    values = {name: array for name, array in outputs.items() if name != DEAD_OUTPUT}
    variables = []
    for (name, array), is_dead in zip(values.items(), outputs[DEAD_OUTPUT].tolist(), strict=True):
        if not is_dead:
            address, own = read_wire_name(name)
            variables.append(
                FlatVariable(address=Address(*address), name=own, dtype=flat_dtype(array), array=array)
            )
    return variables
