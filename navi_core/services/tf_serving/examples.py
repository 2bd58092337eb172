"""Classify and Regress: which signatures can, and what their outputs become.

The signature has one string input, for serialized ``tensorflow.Example`` messages: a model's own, or that of
the converter ``tf_example`` before a model that takes tensors. TensorFlow Serving wants it to be called
``inputs``; here any name will do. Names, shapes and types of the outputs are those of TensorFlow Serving, and so
are the texts of what is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from navi_core.errors import InvalidRequestError
from navi_core.signature import DEFAULT_SIGNATURE, Signature, examples_input
from navi_core.tensors import DType, dtype_of, string_array
from navi_core.types import Array, NamedArrays
from navi_core.wire.tf_dtypes import TF_TYPES

__all__ = [
    "ClassRows",
    "ExampleMethod",
    "ExampleSignature",
    "class_rows",
    "find_signature",
    "regressed_values",
]

CLASSES: Final = "classes"
SCORES: Final = "scores"
OUTPUTS: Final = "outputs"
"""Names of the outputs (TensorFlow's ``signature_constants``)."""


class ExampleMethod(StrEnum):
    """What is asked for; the value is the ``method_name`` of a signature made for it."""

    CLASSIFY = "tensorflow/serving/classify"
    REGRESS = "tensorflow/serving/regress"

    @property
    def rpc(self) -> str:
        """The RPC's name, for metrics."""
        return "Classify" if self is ExampleMethod.CLASSIFY else "Regress"

    @property
    def noun(self) -> str:
        """What a signature for it is called in texts."""
        return "classification" if self is ExampleMethod.CLASSIFY else "regression"


@dataclass(frozen=True, slots=True)
class ExampleSignature:
    """A signature that takes examples.

    Parameters
    ----------
    name
        The signature's.
    input_name
        Its string input.
    outputs
        The outputs that make the result.
    """

    name: str
    input_name: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassRows:
    """The classes of every example.

    Parameters
    ----------
    labels
        (examples, classes) object array of ``bytes``; None: the model gives none.
    scores
        (examples, classes) float32; None: the model gives none. One of the two is there.
    """

    labels: Array | None
    scores: Array | None

    @property
    def num_classes(self) -> int:
        """Classes of one example."""
        found = self.labels if self.labels is not None else self.scores
        return found.shape[1] if found is not None else 0


def find_signature(
    signatures: Mapping[str, Signature],
    name: str,
    method: ExampleMethod,
    *,
    not_found: str = "No signature was found with the name: ",
    check_method_name: bool = False,
) -> ExampleSignature:
    """Return the signature of that name, if it can do what is asked for.

    Parameters
    ----------
    signatures
        The model's, as clients see them.
    name
        Empty: the default one.
    method
        What is asked for.
    not_found
        What is said of a name that is unknown, before the name.
    check_method_name
        Refuse a signature whose ``method_name`` says something else.

    Raises
    ------
    InvalidRequestError
        There is none, or it is of another form.
    """
    name = name or DEFAULT_SIGNATURE
    signature = signatures.get(name)
    if signature is None:
        raise InvalidRequestError(f"{not_found}{name}", signature=name)
    if check_method_name and signature.method_name != method:
        raise InvalidRequestError(
            f"Expected {method.noun} signature method_name to be {method}. Was: {signature.method_name}",
            signature=name,
        )
    taken = examples_input(signature)
    if taken is None:
        got = ", ".join(f"{spec.name}: {spec.dtype}" for spec in signature.inputs.values())
        raise InvalidRequestError(
            f"Expected one input Tensor. (signature '{name}': expected one string input for serialized "
            f"examples, got {{{got}}})",
            signature=name,
        )
    find = _classify_outputs if method is ExampleMethod.CLASSIFY else _regress_outputs
    return ExampleSignature(name, taken.name, find(signature, name))


def _classify_outputs(signature: Signature, name: str) -> tuple[str, ...]:
    if len(signature.outputs) not in (1, 2):
        raise InvalidRequestError(
            f"Expected one or two output Tensors, found {len(signature.outputs)}", signature=name
        )
    found = tuple(each for each in (CLASSES, SCORES) if each in signature.outputs)
    if not found:
        raise InvalidRequestError(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {_shown(name, signature)}",
            signature=name,
        )
    return found


def _regress_outputs(signature: Signature, name: str) -> tuple[str, ...]:
    if len(signature.outputs) != 1:
        raise InvalidRequestError("Expected one output Tensor.", signature=name)
    if OUTPUTS not in signature.outputs:
        raise InvalidRequestError(
            f"No regression outputs found in SignatureDef: {_shown(name, signature)}", signature=name
        )
    return (OUTPUTS,)


def _shown(name: str, signature: Signature) -> str:
    return f"{name} -> {{{', '.join(signature.outputs)}}}"


def class_rows(outputs: NamedArrays, num_examples: int) -> ClassRows:
    """Check the outputs of a classification.

    Raises
    ------
    InvalidRequestError
        They are not one row of classes for each example.
    """
    labels, scores = outputs.get(CLASSES), outputs.get(SCORES)
    for name, array, wanted in ((CLASSES, labels, DType.STRING), (SCORES, scores, DType.FLOAT32)):
        if array is None:
            continue
        if array.ndim != 2:
            raise InvalidRequestError(
                f"Expected Tensor shape: [batch_size num_classes] but got {_brackets(array)}", tensor=name
            )
        if dtype_of(array) is not wanted:
            raise InvalidRequestError(
                f"Expected {name} Tensor of {TF_TYPES[wanted].name}. Got: {TF_TYPES[dtype_of(array)].name}",
                tensor=name,
            )
        if array.shape[0] != num_examples:
            raise InvalidRequestError(
                f"Expected {name} output batch size of {num_examples}. Got: {array.shape[0]}", tensor=name
            )
    if labels is not None and scores is not None and labels.shape[1] != scores.shape[1]:
        raise InvalidRequestError(
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    return ClassRows(None if labels is None else string_array(labels), scores)


def regressed_values(outputs: NamedArrays, num_examples: int) -> Array:
    """Check the output of a regression.

    Returns
    -------
    values
        (examples,) float32.

    Raises
    ------
    InvalidRequestError
        It is not one value for each example.
    """
    array = outputs[OUTPUTS]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise InvalidRequestError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {_brackets(array)}",
            tensor=OUTPUTS,
        )
    if array.shape[0] != num_examples:
        raise InvalidRequestError(
            f"Input batch size did not match output batch size: {num_examples} vs. {array.shape[0]}",
            tensor=OUTPUTS,
        )
    if dtype_of(array) is not DType.FLOAT32:
        raise InvalidRequestError(
            f"Expected output Tensor of DT_FLOAT.  Got: {TF_TYPES[dtype_of(array)].name}", tensor=OUTPUTS
        )
    return np.ravel(array)


def _brackets(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"
