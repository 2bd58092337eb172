"""TensorFlow Serving's ``PredictionLog``: recorded calls, as warm-up files hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from navi_core.errors import UnsupportedError
from navi_core.types import Array, NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message
from navi_core.wire.input_proto import serialized_examples
from navi_core.wire.predict_proto import parse_predict_request
from navi_core.wire.tensor_proto import DEFAULT_MAX_TENSOR_BYTES

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelSpec, MultiInferenceRequest

__all__ = ["RecordedCall", "parse_prediction_log"]

_TASK_METHODS: Final = {
    "tensorflow/serving/classify": "Classify",
    "tensorflow/serving/regress": "Regress",
}
"""What a task of a MultiInference call may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """One recorded call, or one task of a MultiInference call.

    Parameters
    ----------
    method
        ``Predict``, ``Classify`` or ``Regress``.
    signature
        The signature's name; empty: the default one.
    inputs
        Name -> array; None where the call has examples.
    examples
        (rows,) object array of serialized ``tensorflow.Example`` messages; None where the call has inputs.
    outputs
        Names of the outputs to compute; empty: all.
    """

    method: str
    signature: str
    inputs: NamedArrays | None = None
    examples: Array | None = None
    outputs: tuple[str, ...] = ()


def parse_prediction_log(record: bytes) -> Sequence[RecordedCall]:
    """Decode a recorded call. The model and version that it was for are not looked at.

    Returns
    -------
    calls
        One; for MultiInference one for each task; none where the record says of no call.

    Raises
    ------
    DecodeError
        The bytes are no PredictionLog, or a tensor in it is malformed.
    InvalidRequestError
        A Classify, Regress or MultiInference call has no examples.
    UnsupportedError
        It is a kind of call that cannot be repeated here.
    """
    log = parse_message(tf_serving.PredictionLog, record)
    kind = log.WhichOneof("log_type")
    if kind is None:
        return ()
    if kind == "predict_log":
        return (_predict(log.predict_log.request.SerializeToString()),)
    if kind == "classify_log":
        classify = log.classify_log.request
        return (_with_examples("Classify", classify.model_spec, serialized_examples(classify.input)),)
    if kind == "regress_log":
        regress = log.regress_log.request
        return (_with_examples("Regress", regress.model_spec, serialized_examples(regress.input)),)
    if kind == "multi_inference_log":
        return _tasks(log.multi_inference_log.request)
    raise UnsupportedError(
        f"expected a recorded predict, classify, regress or multi_inference call, got {kind}"
    )


def _predict(body: bytes) -> RecordedCall:
    parsed = parse_predict_request(body)
    return RecordedCall(
        method="Predict",
        signature=parsed.target.signature if parsed.target is not None else "",
        inputs=parsed.decode_inputs(DEFAULT_MAX_TENSOR_BYTES),
        outputs=parsed.output_filter,
    )


def _with_examples(method: str, spec: ModelSpec, examples: Array) -> RecordedCall:
    return RecordedCall(method=method, signature=spec.signature_name, examples=examples)


def _tasks(request: MultiInferenceRequest) -> Sequence[RecordedCall]:
    examples = serialized_examples(request.input)
    calls = []
    for task in request.tasks:
        method = _TASK_METHODS.get(task.method_name)
        if method is None:
            expected = " or ".join(_TASK_METHODS)
            raise UnsupportedError(f"task of MultiInference: expected {expected}, got '{task.method_name}'")
        calls.append(_with_examples(method, task.model_spec, examples))
    return calls
