"""Predict over gRPC."""

from __future__ import annotations

from typing import Final

from navi_core.contracts.planes import DataPlane, ModelHandle
from navi_core.contracts.service import Call, Response
from navi_core.errors import DecodeError, ErrorCode, NaviError
from navi_core.messages import InferenceRequest, ModelRef
from navi_core.services.tf_serving.errors import Failures, tensor_parsing_error
from navi_core.services.tf_serving.examples import ExampleMethod
from navi_core.services.tf_serving.model_spec import named, required_spec, zero_as_newest
from navi_core.services.tf_serving.options import ResponseTensors, TfServingModelOptions
from navi_core.signature import DEFAULT_SIGNATURE, PREDICT_METHOD
from navi_core.wire.predict_proto import (
    ParsedPredictRequest,
    encode_predict_response,
    parse_predict_request,
)

__all__ = ["PredictRpc"]

_METHOD: Final = "Predict"

_RUNNABLE: Final = frozenset({PREDICT_METHOD, ExampleMethod.CLASSIFY, ExampleMethod.REGRESS})


def _check_method_name(handle: ModelHandle, name: str) -> None:
    signature = handle.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is not None and signature.method_name not in _RUNNABLE:
        raise NaviError(
            f"Expected prediction signature method_name to be one of {{{', '.join(sorted(_RUNNABLE))}}}. "
            f"Was: {signature.method_name}",
            code=ErrorCode.INTERNAL,
        )


class PredictRpc:
    """The handler of ``PredictionService/Predict``.

    Parameters
    ----------
    plane
        Answers requests.
    failures
        Words errors.
    service
        The service's name, for metrics.
    max_tensor_bytes
        The most bytes that the tensors of one request may become.
    response_tensors
        How answers carry tensors, where the model does not say.
    check_method_names
        Refuse signatures that were made for something else than to be run.
    """

    def __init__(
        self,
        plane: DataPlane,
        failures: Failures,
        *,
        service: str,
        max_tensor_bytes: int,
        response_tensors: ResponseTensors = "values",
        check_method_names: bool = False,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._service = service
        self._max_tensor_bytes = max_tensor_bytes
        self._response_tensors: Final = response_tensors
        self._check_method_names = check_method_names

    async def __call__(self, call: Call) -> Response:
        """Answer one request.

        The model is looked up before its tensors are decoded, so that an unknown model is what a client
        is told of first.
        """
        ref: ModelRef | None = None
        try:
            parsed = parse_predict_request(call.body)
            target = required_spec(parsed.target)
            ref = named(target.ref)
            if ref.version == 0:
                ref = zero_as_newest(self._plane, ref)
            handle = self._plane.acquire(ref)
        except NaviError as error:
            return self._refuse(error, ref, call)
        with handle:
            try:
                if self._check_method_names:
                    _check_method_name(handle, target.signature)
                request = InferenceRequest(
                    inputs=parsed.decode_inputs(self._max_tensor_bytes),
                    signature=target.signature,
                    outputs=parsed.output_filter,
                    deadline=call.deadline,
                    body_bytes=len(call.body),
                    service=self._service,
                    transport=call.transport,
                    method=_METHOD,
                )
            except NaviError as error:
                refusal = tensor_parsing_error(error) if isinstance(error, DecodeError) else error
                return self._refuse(refusal, ref, call, target.signature)
            try:
                answer = await handle.infer(request)
            except NaviError as error:
                return self._failures.rpc(error, ref)
            as_content = self._answers_content(handle, parsed)
        pieces, has_views = encode_predict_response(
            answer.outputs,
            model=answer.model,
            version=answer.version,
            signature=answer.signature,
            as_content=as_content,
        )
        if has_views:  # the buffers are in use until the transport has written them
            return Response(status=0, body=pieces, on_written=answer.release)
        answer.release()
        return Response(status=0, body=pieces)

    def _refuse(
        self, error: NaviError, ref: ModelRef | None, call: Call, signature: str | None = None
    ) -> Response:
        self._plane.refused(
            ref,
            error,
            service=self._service,
            transport=call.transport,
            method=_METHOD,
            signature=signature,
        )
        return self._failures.rpc(error, ref)

    def _answers_content(self, handle: ModelHandle, parsed: ParsedPredictRequest) -> bool:
        said = handle.service_options.get(self._service)
        how = self._response_tensors
        if isinstance(said, TfServingModelOptions) and said.response_tensors is not None:
            how = said.response_tensors
        return how == "tensor_content" or (how == "as_requested" and parsed.has_content())
