"""Predictor: one array in, one array out, on a model that has names for them."""

from __future__ import annotations

from typing import Final

from navi_core.contracts.planes import DataPlane, ModelHandle
from navi_core.contracts.service import Call
from navi_core.errors import InvalidRequestError, NaviError, SignatureNotFoundError
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.tensors import DType
from navi_core.types import Array
from navi_core.wire.proton_predict import ParsedInferenceRequest

__all__ = ["Predictor"]


class Predictor:
    """Runs requests on the newest version of their model.

    Parameters
    ----------
    plane
        Answers requests.
    service
        The service's name, for metrics.
    """

    def __init__(self, plane: DataPlane, service: str) -> None:
        self._plane: Final = plane
        self._service: Final = service

    async def predict(
        self, parsed: ParsedInferenceRequest, call: Call, *, method: str, deadline: float | None
    ) -> tuple[Array, InferenceResponse]:
        """Return the model's first output, and the response that it belongs to, to be released.

        Raises
        ------
        InvalidRequestError
            The model cannot be asked over this protocol: it needs several inputs, or answers something
            else than float32.
        NaviError
            Whatever else the data plane says.
        """
        ref = ModelRef(parsed.model_name)
        try:
            handle = self._plane.acquire(ref)
        except NaviError as error:
            self.refuse(error, call, method=method, ref=ref)
            raise
        with handle:
            try:
                signature = _default_signature(handle)
                input_name = _only_input(handle.model, signature)
                output_name = _first_output(handle.model, signature)
            except NaviError as error:
                self.refuse(error, call, method=method, ref=ref, signature=DEFAULT_SIGNATURE)
                raise
            request = InferenceRequest(
                inputs={input_name: parsed.array},
                outputs=(output_name,),
                deadline=deadline,
                body_bytes=len(call.body),
                service=self._service,
                transport=call.transport,
                method=method,
            )
            answer = await handle.infer(request)
        return answer.outputs[output_name], answer

    def refuse(
        self,
        error: NaviError,
        call: Call,
        *,
        method: str,
        ref: ModelRef | None = None,
        signature: str | None = None,
    ) -> None:
        """Count a request that is refused before it is run."""
        self._plane.refused(
            ref,
            error,
            service=self._service,
            transport=call.transport,
            method=method,
            signature=signature,
        )


def _default_signature(handle: ModelHandle) -> Signature:
    signature = handle.signatures.get(DEFAULT_SIGNATURE)
    if signature is None:
        raise SignatureNotFoundError(DEFAULT_SIGNATURE, model=handle.model, known=tuple(handle.signatures))
    return signature


def _only_input(model: str, signature: Signature) -> str:
    specs = signature.inputs
    needed = [name for name, spec in specs.items() if not spec.optional and spec.default is None]
    names = needed or list(specs)
    if len(names) != 1:
        listed = ", ".join(f"'{name}'" for name in names) or "none"
        raise InvalidRequestError(
            f"model: expected one with a single input, got {listed} (model '{model}'): "
            "requests of this protocol carry one tensor",
            model=model,
        )
    return names[0]


def _first_output(model: str, signature: Signature) -> str:
    spec = next(iter(signature.outputs.values()))
    if spec.dtype is not DType.FLOAT32:
        raise InvalidRequestError(
            f"output '{spec.name}': expected dtype float32, got {spec.dtype} (model '{model}'): "
            "answers of this protocol carry no other",
            model=model,
            tensor=spec.name,
        )
    return spec.name
