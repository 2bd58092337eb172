"""A thrift PredictionService: its arguments become requests of a model, outputs become DataRecords.

The bytes of a request are not decoded here: they go to the model's converter as they came.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self

import msgspec
import numpy as np

from navi_core import (
    DEFAULT_SIGNATURE,
    Array,
    Call,
    DataPlane,
    DecodeError,
    DType,
    ErrorCode,
    InferenceError,
    InferenceRequest,
    InferenceResponse,
    InvalidRequestError,
    ModelHandle,
    ModelLoadError,
    ModelRef,
    NaviError,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    ServiceContext,
    Signature,
    SignatureNotFoundError,
)
from navi_dr_transform.response import ResponseEncoder
from navi_dr_transform.thrift_service.options import (
    PREDICTION_SERVICE,
    THRIFT,
    PredictionModelOptions,
    PredictionOptions,
    read_options,
)

__all__ = ["GRPC_STATUS", "ThriftPredictionService"]

GRPC_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.OK: 0,
    ErrorCode.CANCELLED: 1,
    ErrorCode.UNKNOWN: 2,
    ErrorCode.INVALID_ARGUMENT: 3,
    ErrorCode.DEADLINE_EXCEEDED: 4,
    ErrorCode.NOT_FOUND: 5,
    ErrorCode.ALREADY_EXISTS: 6,
    ErrorCode.PERMISSION_DENIED: 7,
    ErrorCode.RESOURCE_EXHAUSTED: 8,
    ErrorCode.FAILED_PRECONDITION: 9,
    ErrorCode.ABORTED: 10,
    ErrorCode.OUT_OF_RANGE: 11,
    ErrorCode.UNIMPLEMENTED: 12,
    ErrorCode.INTERNAL: 13,
    ErrorCode.UNAVAILABLE: 14,
    ErrorCode.DATA_LOSS: 15,
    ErrorCode.UNAUTHENTICATED: 16,
}
"""Code -> the number that stands for it beside the exception. Total."""

_SERVICE_METADATA: Final = "thrift-service"
_SERVICE_NAME: Final = "PredictionService"
"""The service's own name in a multiplexed call: it says nothing about a model."""

_ENCODERS_KEPT: Final = 64
_MANY_RECORDS: Final = 512
"""Writing so many takes a millisecond and more: others are served meanwhile."""

_SUCCESS: Final = b"\x0c\x00\x00"  # field 0, a struct
_EXCEPTION: Final = b"\x0c\x00\x01"  # field 1, a struct
_DESCRIPTION: Final = struct.Struct(">Bhi")  # field 1 of the exception, a string, and its length
_ONE_RECORD: Final = b"\x0f\x00\x01\x0c\x00\x00\x00\x01"  # field 1, a list of one struct
_PREDICTION: Final = b"\x0c\x00\x01"  # field 1, a struct
_STOP: Final = b"\x00"


class ThriftPredictionService(Service):
    """``getPrediction`` and ``getBatchPrediction`` of Twitter's ``prediction_service.thrift``.

    Carried by the thrift transport alone: a message is the arguments struct, its answer the result struct. What the model or its converter refuses is a ``PredictionServiceException`` with the error's text; arguments
    that are no such struct are a TApplicationException.

    Parameters
    ----------
    context
        What the host offers.

    Raises
    ------
    ConfigError
        The service's table is wrong.
    """

    name: ClassVar[str] = "thrift_prediction"
    model_options_type: ClassVar[type[msgspec.Struct] | None] = PredictionModelOptions

    def __init__(self, context: ServiceContext) -> None:
        self._plane: Final[DataPlane] = context.plane
        self._options: Final[PredictionOptions] = read_options(context.options.tables.get(self.name, {}))
        self._run_off_loop: Final = context.run_off_loop
        self._find_argument: Callable[[bytes | memoryview], tuple[int, int] | None] | None = None
        self._encoders: Final[dict[int, tuple[Signature, ResponseEncoder]]] = {}

    @classmethod
    def create(cls, context: ServiceContext) -> Self:
        """Build the service for one host."""
        return cls(context)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return the two methods."""

        def method(handler: Callable[[Call], Any]) -> RpcMethod:
            return RpcMethod(kind=RpcKind.UNARY, handler=handler, operation=Operation.INFER, protocol=THRIFT)

        return {
            f"/{PREDICTION_SERVICE}/getPrediction": method(self._get_prediction),
            f"/{PREDICTION_SERVICE}/getBatchPrediction": method(self._get_batch_prediction),
        }

    async def _get_prediction(self, call: Call) -> Response:
        return await self._respond(call, "getPrediction", _one_record)

    async def _get_batch_prediction(self, call: Call) -> Response:
        return await self._respond(call, "getBatchPrediction", _as_it_came)

    async def _respond(self, call: Call, method: str, to_batch: Callable[[bytes, Any], bytes]) -> Response:
        ref = self._model_of(call)
        try:
            find_argument = await self._finder()
            body = call.body
            found = find_argument(body)
            if found is None:
                raise DecodeError(f"{method}: expected an argument, got none")
            payload = to_batch(bytes(memoryview(body)[slice(*found)]), find_argument)
        except NaviError as error:
            self._refuse(ref, error, call, method)
            # no body: what is no call of the method is not answered with its result
            return Response(status=GRPC_STATUS[error.code], message=_printable(error.message))
        try:
            result = await self._predict(ref, payload, call, method)
        except NaviError as error:
            return _failure(error)
        return Response(status=0, body=(_SUCCESS, result, _STOP))

    async def _predict(self, ref: ModelRef | None, payload: bytes, call: Call, method: str) -> bytes:
        """Return the result's struct: a BatchPredictionResponse or a PredictionResponse."""
        if ref is None:
            names = ", ".join(f"'{name}'" for name in self._plane.models()) or "none"
            error = InvalidRequestError(
                f"model: expected one that calls name as the service of a multiplexed protocol, or a default one in "
                f"service_options.{self.name}.model, got none (models: {names})"
            )
            self._refuse(None, error, call, method)
            raise error
        try:
            handle = self._plane.acquire(ref)
        except NaviError as error:
            self._refuse(ref, error, call, method)
            raise
        with handle:
            try:
                signature = _signature(handle, self._options.signature)
                input_name = _string_input(handle, signature)
                encoder = self._encoder(handle, signature)
            except NaviError as error:
                self._refuse(ref, error, call, method)
                raise
            strings = np.empty(1, dtype=object)
            strings[0] = payload
            request = InferenceRequest(
                inputs={input_name: strings},
                signature=self._options.signature,
                deadline=call.deadline,
                body_bytes=len(call.body),
                service=self.name,
                transport=call.transport,
                method=method,
            )
            answer = await handle.infer(request)
        is_batch = method == "getBatchPrediction"
        try:
            if encoder is not None and _num_records(answer) >= _MANY_RECORDS:
                return await self._run_off_loop(lambda: _result(answer, encoder, is_batch=is_batch))
            return _result(answer, encoder, is_batch=is_batch)
        finally:
            answer.release()

    # --- models ---------------------------------------------------------------------------------------------

    def _model_of(self, call: Call) -> ModelRef | None:
        """Return the model that a call names, else the default one; None: there is no default."""
        named = call.metadata.get(_SERVICE_METADATA, "")
        if isinstance(named, str) and named and named != _SERVICE_NAME:
            return ModelRef(named)
        if self._options.model:
            return ModelRef(self._options.model)
        models = self._plane.models()
        return ModelRef(models[0]) if len(models) == 1 else None

    def _encoder(self, handle: ModelHandle, signature: Signature) -> ResponseEncoder | None:
        """Return what writes a version's outputs; None: its converter writes them itself."""
        model = handle.model_signature(self._options.signature)
        outputs = list(signature.outputs.values())
        if len(outputs) == 1 and outputs[0].dtype is DType.STRING and outputs[0].name not in model.outputs:
            return None
        kept = self._encoders.get(id(signature))
        if kept is not None and kept[0] is signature:
            return kept[1]
        options = handle.service_options.get(self.name)
        features = options.response_features if isinstance(options, PredictionModelOptions) else {}
        try:
            encoder = ResponseEncoder(
                signature.outputs, features, f"version {handle.version} of model '{handle.model}'"
            )
        except ModelLoadError as error:
            raise InferenceError(
                f"service_options.{self.name}: {error.message}", model=handle.model
            ) from None
        if len(self._encoders) >= _ENCODERS_KEPT:
            self._encoders.clear()
        self._encoders[id(signature)] = (signature, encoder)
        return encoder

    def _refuse(self, ref: ModelRef | None, error: NaviError, call: Call, method: str) -> None:
        self._plane.refused(ref, error, service=self.name, transport=call.transport, method=method)

    async def _finder(self) -> Callable[[bytes | memoryview], tuple[int, int] | None]:
        """Return the function that finds arguments; its kernel is compiled or loaded the first time."""
        if self._find_argument is None:
            self._find_argument = await self._run_off_loop(_load_finder)
        return self._find_argument


def _load_finder() -> Callable[[bytes | memoryview], tuple[int, int] | None]:
    from navi_dr_transform.thrift_service.scanner import (  # noqa: PLC0415 - imports numba: only for requests
        find_argument,
    )

    return find_argument


def _as_it_came(argument: bytes, _find_argument: Any) -> bytes:
    return argument


def _one_record(argument: bytes, find_argument: Any) -> bytes:
    """Return a PredictionRequest as a BatchPredictionRequest of one record."""
    found = find_argument(argument)
    if found is None:
        raise DecodeError("PredictionRequest: expected the required field 'features', got the struct's end")
    return b"".join((_ONE_RECORD, memoryview(argument)[slice(*found)], _STOP))


def _signature(handle: ModelHandle, name: str) -> Signature:
    signature = handle.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        known = tuple(handle.signatures)
        raise SignatureNotFoundError(name or DEFAULT_SIGNATURE, model=handle.model, known=known)
    return signature


def _string_input(handle: ModelHandle, signature: Signature) -> str:
    inputs = list(signature.inputs.values())
    if len(inputs) != 1 or inputs[0].dtype is not DType.STRING:
        listed = ", ".join(f"'{spec.name}' {spec.dtype}" for spec in inputs) or "none"
        raise InvalidRequestError(
            f"model '{handle.model}': expected one that takes BatchPredictionRequests (a single input of strings), "
            f"got inputs {listed}",
            model=handle.model,
        )
    return inputs[0].name


def _num_records(answer: InferenceResponse) -> int:
    first = next(iter(answer.outputs.values()))
    return len(first) if first.ndim else 0


def _result(answer: InferenceResponse, encoder: ResponseEncoder | None, *, is_batch: bool) -> bytes:
    if encoder is None:
        (array,) = answer.outputs.values()
        response = _only_string(array, answer.model)
        return response if is_batch else _first_prediction(response, answer.model)
    if is_batch:
        return encoder.batch(answer.outputs, _num_records(answer))
    return b"".join((_PREDICTION, encoder.record(answer.outputs), _STOP))


def _only_string(array: Array, model: str) -> bytes:
    if array.size != 1 or not isinstance(array.flat[0], bytes):
        msg = (
            f"model '{model}': expected one BatchPredictionResponse, got {array.dtype} of shape {array.shape}"
        )
        raise InferenceError(msg, model=model)
    response: bytes = array.flat[0]
    return response


def _first_prediction(response: bytes, model: str) -> bytes:
    """Return a BatchPredictionResponse of one prediction as a PredictionResponse: only the beginning differs."""
    if not response.startswith(_ONE_RECORD):
        raise InferenceError(f"model '{model}': expected one prediction for one record", model=model)
    return b"".join((_PREDICTION, memoryview(response)[len(_ONE_RECORD) :]))


def _failure(error: NaviError) -> Response:
    """Return an error as a declared exception; beside it the status, for metrics and other transports."""
    text = _printable(error.message)
    description = text.encode()
    body = b"".join((_EXCEPTION, _DESCRIPTION.pack(11, 1, len(description)), description, _STOP, _STOP))
    return Response(status=GRPC_STATUS[error.code], message=text, body=body)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
