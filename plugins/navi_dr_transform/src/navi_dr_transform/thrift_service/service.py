"""A thrift PredictionService: its arguments become requests of a model, outputs become DataRecords.

The bytes of a request are not decoded here: they go to the model's converter as they came, or cut into the records that
it takes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self

import msgspec
import numpy as np

from navi_core import (
    DEFAULT_SIGNATURE,
    GRPC_STATUS,
    Call,
    DataPlane,
    DType,
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
    TensorSpec,
)
from navi_dr_transform.payload_encoder import PREDICTION_START, STOP, PayloadForm
from navi_dr_transform.response import ResponseEncoder
from navi_dr_transform.thrift_service.options import (
    PREDICTION_SERVICE,
    THRIFT,
    PredictionModelOptions,
    PredictionOptions,
    read_options,
)
from navi_dr_transform.thrift_service.payloads import (
    MANY_RECORDS,
    Asked,
    Scanner,
    form_of,
    read_asked,
    written_result,
)

__all__ = ["ThriftPredictionService"]

_SERVICE_METADATA: Final = "thrift-service"
_SERVICE_NAME: Final = "PredictionService"
"""The service's own name in a multiplexed call: it says nothing about a model."""

_ENCODERS_KEPT: Final = 64
_MANY_BYTES: Final = 1 << 15
"""Finding the records of so large a batch takes a millisecond and more: others are served meanwhile."""

_SUCCESS: Final = b"\x0c\x00\x00"  # field 0, a struct
_EXCEPTION: Final = b"\x0c\x00\x01"  # field 1, a struct
_DESCRIPTION: Final = struct.Struct(">Bhi")  # field 1 of the exception, a string, and its length


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
        self._scanner: Scanner | None = None
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
        return await self._respond(call, "getPrediction")

    async def _get_batch_prediction(self, call: Call) -> Response:
        return await self._respond(call, "getBatchPrediction")

    async def _respond(self, call: Call, method: str) -> Response:
        ref = self._model_of(call)
        try:
            scanner = await self._loaded_scanner()
            asked = read_asked(call.body, method, scanner)
        except NaviError as error:
            self._refuse(ref, error, call, method)
            # no body: what is no call of the method is not answered with its result
            return Response(status=GRPC_STATUS[error.code], message=_printable(error.message))
        try:
            result = await self._predict(ref, asked, call, method, scanner)
        except NaviError as error:
            return _failure(error)
        return Response(status=0, body=(_SUCCESS, result, STOP))

    async def _predict(
        self, ref: ModelRef | None, asked: Asked, call: Call, method: str, scanner: Scanner
    ) -> bytes:
        """Return the result's struct: a BatchPredictionResponse or a PredictionResponse."""
        try:
            if ref is None:
                names = ", ".join(f"'{name}'" for name in self._plane.models()) or "none"
                raise InvalidRequestError(
                    f"model: expected one that calls name as the service of a multiplexed protocol, or a default one "
                    f"in service_options.{self.name}.model, got none (models: {names})"
                )
            handle = self._plane.acquire(ref)
        except NaviError as error:
            self._refuse(ref, error, call, method)
            raise
        with handle:
            try:
                signature = _signature(handle, self._options.signature)
                spec = _string_input(handle, signature)
                form = form_of(spec.content, handle.model)
                encoder = self._encoder(handle, signature)
                payloads = await self._payloads(asked, form, handle.model, scanner)
            except NaviError as error:
                self._refuse(ref, error, call, method)
                raise
            strings = np.empty(len(payloads), dtype=object)
            strings[:] = payloads
            request = InferenceRequest(
                inputs={spec.name: strings},
                signature=self._options.signature,
                deadline=call.deadline,
                body_bytes=len(call.body),
                service=self.name,
                transport=call.transport,
                method=method,
            )
            answer = await handle.infer(request)
        try:
            if encoder is not None and _num_records(answer) >= MANY_RECORDS:
                return await self._run_off_loop(lambda: _result(answer, encoder, asked, form))
            return _result(answer, encoder, asked, form)
        finally:
            answer.release()

    async def _payloads(self, asked: Asked, form: PayloadForm, model: str, scanner: Scanner) -> list[bytes]:
        if form != "batch" and asked.num_records_at_most >= _MANY_BYTES:
            return await self._run_off_loop(lambda: asked.payloads(form, model, scanner))
        return asked.payloads(form, model, scanner)

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

    async def _loaded_scanner(self) -> Scanner:
        """Return what finds arguments; its kernel is compiled or loaded the first time."""
        if self._scanner is None:
            self._scanner = await self._run_off_loop(_load_scanner)
        return self._scanner


def _load_scanner() -> Scanner:
    from navi_dr_transform.thrift_service import (  # noqa: PLC0415 - imports numba: only for requests
        scanner,
    )

    return scanner


def _signature(handle: ModelHandle, name: str) -> Signature:
    signature = handle.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        known = tuple(handle.signatures)
        raise SignatureNotFoundError(name or DEFAULT_SIGNATURE, model=handle.model, known=known)
    return signature


def _string_input(handle: ModelHandle, signature: Signature) -> TensorSpec:
    inputs = list(signature.inputs.values())
    if len(inputs) != 1 or inputs[0].dtype is not DType.STRING:
        listed = ", ".join(f"'{spec.name}' {spec.dtype}" for spec in inputs) or "none"
        raise InvalidRequestError(
            f"model '{handle.model}': expected one that takes BatchPredictionRequests (a single input of strings), "
            f"got inputs {listed}",
            model=handle.model,
        )
    return inputs[0]


def _num_records(answer: InferenceResponse) -> int:
    first = next(iter(answer.outputs.values()))
    return len(first) if first.ndim else 0


def _result(
    answer: InferenceResponse, encoder: ResponseEncoder | None, asked: Asked, form: PayloadForm
) -> bytes:
    if encoder is None:
        (array,) = answer.outputs.values()
        return written_result(array, asked, form, answer.model)
    if asked.is_batch:
        return encoder.batch(answer.outputs, _num_records(answer))
    return b"".join((PREDICTION_START, encoder.record(answer.outputs), STOP))


def _failure(error: NaviError) -> Response:
    """Return an error as a declared exception; beside it the status, for metrics and other transports."""
    text = _printable(error.message)
    description = text.encode()
    body = b"".join((_EXCEPTION, _DESCRIPTION.pack(11, 1, len(description)), description, STOP, STOP))
    return Response(status=GRPC_STATUS[error.code], message=text, body=body)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
