"""Classify, Regress and MultiInference over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from navi_core.contracts.planes import DataPlane, ModelHandle
from navi_core.contracts.service import Call, Response
from navi_core.errors import InvalidRequestError, NaviError, UnsupportedError
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.services.tf_serving.errors import Failures
from navi_core.services.tf_serving.examples import (
    ExampleMethod,
    ExampleSignature,
    class_rows,
    find_signature,
    regressed_values,
)
from navi_core.services.tf_serving.model_spec import model_ref, required_spec, zero_as_newest
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.types import Array, Bytes
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message
from navi_core.wire.input_proto import serialized_examples
from navi_core.wire.result_proto import classification_result, model_spec, regression_result

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import (
        ClassificationRequest,
        ClassificationResponse,
        ClassificationResult,
        InferenceTask,
        MultiInferenceRequest,
        MultiInferenceResponse,
        RegressionRequest,
        RegressionResponse,
        RegressionResult,
    )

__all__ = ["ExampleRpc", "MultiInferenceRpc"]

_METHODS: Final = {method.value: method for method in ExampleMethod}

_MULTI_INFERENCE: Final = "MultiInference"


class _ExampleHandler:
    """What the handlers share.

    Parameters
    ----------
    plane
        Answers requests.
    failures
        Words errors.
    service
        The service's name, for metrics.
    check_method_names
        Refuse signatures that were made for something else.
    """

    def __init__(
        self, plane: DataPlane, failures: Failures, *, service: str, check_method_names: bool = False
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._service = service
        self._check_method_names = check_method_names

    def _refuse(
        self,
        error: NaviError,
        ref: ModelRef | None,
        call: Call,
        rpc: str,
        signature: str | None = None,
    ) -> Response:
        self._plane.refused(
            ref,
            error,
            service=self._service,
            transport=call.transport,
            method=rpc,
            signature=signature,
        )
        return self._failures.rpc(error, ref)

    def _request(
        self, signature: ExampleSignature, examples: Array, call: Call, rpc: str
    ) -> InferenceRequest:
        return InferenceRequest(
            inputs={signature.input_name: examples},
            signature=signature.name,
            outputs=signature.outputs,
            deadline=call.deadline,
            body_bytes=len(call.body),
            service=self._service,
            transport=call.transport,
            method=rpc,
        )


class ExampleRpc(_ExampleHandler):
    """The handler of ``PredictionService/Classify`` or ``/Regress``.

    Parameters
    ----------
    method
        Which of the two.
    plane, failures, service, check_method_names
        Answers requests; words errors; the service's name, for metrics; whether to refuse signatures that
        were made for something else.
    """

    def __init__(self, method: ExampleMethod, plane: DataPlane, failures: Failures, **settings: Any) -> None:
        super().__init__(plane, failures, **settings)
        self._method = method

    async def __call__(self, call: Call) -> Response:
        """Answer one request."""
        method = self._method
        ref: ModelRef | None = None
        try:
            message = _parse(method, call.body)
            spec = required_spec(message.model_spec if message.HasField("model_spec") else None)
            ref = zero_as_newest(self._plane, model_ref(spec))
            handle = self._plane.acquire(ref)
        except NaviError as error:
            return self._refuse(error, ref, call, method.rpc)
        with handle:
            try:
                signature = find_signature(
                    handle.signatures,
                    spec.signature_name,
                    method,
                    check_method_name=self._check_method_names,
                )
                examples = serialized_examples(message.input)
            except NaviError as error:
                return self._refuse(error, ref, call, method.rpc, spec.signature_name)
            try:
                answer = await handle.infer(self._request(signature, examples, call, method.rpc))
                try:
                    response = _response(method, answer, len(examples))
                finally:
                    answer.release()
            except NaviError as error:
                return self._failures.rpc(error, ref)
        return Response(status=0, body=response.SerializeToString())


class MultiInferenceRpc(_ExampleHandler):
    """The handler of ``PredictionService/MultiInference``: several signatures of one model on one input.

    Each task is a request of its own to the data plane, batched with everybody else's.
    """

    async def __call__(self, call: Call) -> Response:
        """Answer one request."""
        ref: ModelRef | None = None
        try:
            message = parse_message(tf_serving.MultiInferenceRequest, call.body)
            ref = zero_as_newest(self._plane, _target(message))
            handle = self._plane.acquire(ref)
        except NaviError as error:
            return self._refuse(error, ref, call, _MULTI_INFERENCE)
        with handle:
            try:
                tasks = self._tasks(message, handle)
                examples = serialized_examples(message.input)
            except NaviError as error:
                return self._refuse(error, ref, call, _MULTI_INFERENCE)
            response = tf_serving.MultiInferenceResponse()
            try:
                for method, signature in tasks:
                    answer = await handle.infer(self._request(signature, examples, call, _MULTI_INFERENCE))
                    try:
                        _add_result(response, method, answer, len(examples))
                    finally:
                        answer.release()
            except NaviError as error:
                return self._failures.rpc(error, ref)
        return Response(status=0, body=response.SerializeToString())

    def _tasks(
        self, message: MultiInferenceRequest, handle: ModelHandle
    ) -> list[tuple[ExampleMethod, ExampleSignature]]:
        """Check every task before any runs."""
        tasks: list[tuple[ExampleMethod, ExampleSignature]] = []
        seen: set[str] = set()
        for task in message.tasks:
            name = task.model_spec.signature_name or DEFAULT_SIGNATURE
            if name in seen:
                raise InvalidRequestError(f"Duplicate evaluation of signature: {name}", signature=name)
            seen.add(name)
            method = _method_of(task)
            signature = find_signature(
                handle.signatures,
                name,
                method,
                not_found="Requested signature not found in model graph: ",
                check_method_name=self._check_method_names,
            )
            tasks.append((method, signature))
        return tasks


def _parse(method: ExampleMethod, body: Bytes) -> ClassificationRequest | RegressionRequest:
    if method is ExampleMethod.CLASSIFY:
        return parse_message(tf_serving.ClassificationRequest, body)
    return parse_message(tf_serving.RegressionRequest, body)


def _classes(answer: InferenceResponse, num_examples: int) -> ClassificationResult:
    rows = class_rows(answer.outputs, num_examples)
    return classification_result(rows.labels, rows.scores)


def _values(answer: InferenceResponse, num_examples: int) -> RegressionResult:
    return regression_result(regressed_values(answer.outputs, num_examples))


def _response(
    method: ExampleMethod, answer: InferenceResponse, num_examples: int
) -> ClassificationResponse | RegressionResponse:
    spec = model_spec(answer.model, answer.version, answer.signature)
    if method is ExampleMethod.CLASSIFY:
        return tf_serving.ClassificationResponse(result=_classes(answer, num_examples), model_spec=spec)
    return tf_serving.RegressionResponse(result=_values(answer, num_examples), model_spec=spec)


def _add_result(
    response: MultiInferenceResponse, method: ExampleMethod, answer: InferenceResponse, num_examples: int
) -> None:
    spec = model_spec(answer.model, answer.version, answer.signature)
    if method is ExampleMethod.CLASSIFY:
        response.results.add(model_spec=spec, classification_result=_classes(answer, num_examples))
    else:
        response.results.add(model_spec=spec, regression_result=_values(answer, num_examples))


def _method_of(task: InferenceTask) -> ExampleMethod:
    method = _METHODS.get(task.method_name)
    if method is None:
        raise UnsupportedError(f"Unsupported signature method_name: {task.method_name}")
    return method


def _target(message: MultiInferenceRequest) -> ModelRef:
    """Return the model that all tasks are for: the first one's.

    Raises
    ------
    InvalidRequestError
        There is no task, one names no model, or they name several.
    """
    if not message.tasks:
        raise InvalidRequestError("expected at least one task, got none")
    for task in message.tasks:
        if not task.model_spec.name:
            raise InvalidRequestError("Found ModelSpec with an empty model name.")
        if task.model_spec.name != message.tasks[0].model_spec.name:
            raise InvalidRequestError(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
    return model_ref(message.tasks[0].model_spec)
