"""Results of Classify and Regress -> JSON answers of TensorFlow Serving's REST API.

The key is ``results``, for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from navi_core.types import Array
from navi_core.wire.json_predictions import write_document

__all__ = ["encode_classes", "encode_values"]

_KEY: Final = "results"

ValuesOf: TypeAlias = Callable[[str, Array], Any]


def encode_classes(labels: Array | None, scores: Array | None) -> bytes:
    """Encode the answer to a classify request: for each example a list of ``[label, score]``.

    Parameters
    ----------
    labels
        (examples, classes) object array of ``bytes``; None: labels are empty.
    scores
        (examples, classes) float32; None: scores are 0. One of the two is there.
    """
    arrays = [array for array in (labels, scores) if array is not None]
    num_examples, num_classes = arrays[0].shape

    def document(values_of: ValuesOf) -> dict[str, Any]:
        names = [[""] * num_classes] * num_examples if labels is None else values_of("", labels)
        values = [[0.0] * num_classes] * num_examples if scores is None else values_of("", scores)
        return {_KEY: [list(zip(*row, strict=True)) for row in zip(names, values, strict=True)]}

    return write_document(document, arrays)


def encode_values(values: Array) -> bytes:
    """Encode the answer to a regress request: the values of (examples,) float32."""
    return write_document(lambda values_of: {_KEY: values_of("", values)}, [values])
