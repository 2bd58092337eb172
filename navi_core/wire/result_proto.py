"""Results of Classify and Regress as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from navi_core.types import Array
from navi_core.wire import tf_serving

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ClassificationResult, ModelSpec, RegressionResult

__all__ = ["classification_result", "model_spec", "regression_result"]


def classification_result(labels: Array | None, scores: Array | None) -> ClassificationResult:
    """Return the classes of every example.

    Parameters
    ----------
    labels
        (examples, classes) object array of ``bytes``; None: labels are empty. Bytes that are no UTF-8 are
        replaced: the field is a text, and clients refuse a message where it is none.
    scores
        (examples, classes) float32; None: scores are 0. One of the two is there.
    """
    result = tf_serving.ClassificationResult()
    given = labels if labels is not None else scores
    num_examples, num_classes = given.shape if given is not None else (0, 0)
    no_labels, no_scores = [b""] * num_classes, [0.0] * num_classes
    for row in range(num_examples):
        classes = result.classifications.add().classes
        names = no_labels if labels is None else labels[row].tolist()
        values = no_scores if scores is None else scores[row].tolist()
        for name, value in zip(names, values, strict=True):
            classes.add(label=name.decode("utf-8", "replace"), score=value)
    return result


def regression_result(values: Array) -> RegressionResult:
    """Return the values of (examples,) float32."""
    result = tf_serving.RegressionResult()
    for value in values.tolist():
        result.regressions.add(value=value)
    return result


def model_spec(model: str, version: int, signature: str) -> ModelSpec:
    """Return which signature of which version answered."""
    spec = tf_serving.ModelSpec(name=model, signature_name=signature)
    spec.version.value = version
    return spec
