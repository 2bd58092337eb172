"""What a model takes and gives: named tensors with dtype and shape, and the check of a request.

Pure values. A signature's ``source`` says who declared it: the model's file, the configuration
(an override in ``navi.toml``), or a converter (what clients send instead of the model's tensors).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from navi_core.errors import InputNamesError, OutputNamesError, TensorMismatchError
from navi_core.tensors import DType, dtype_of, numpy_dtype
from navi_core.types import Array, Dim, NamedArrays, Shape

__all__ = [
    "DEFAULT_SIGNATURE",
    "PREDICT_METHOD",
    "Signature",
    "TensorSpec",
    "check_inputs",
    "check_outputs",
    "check_tensor",
    "default_value",
    "examples_input",
    "format_shape",
    "is_stray",
    "why_no_default",
    "why_not_batchable",
    "zero_rows",
]

DEFAULT_SIGNATURE: Final = "serving_default"
"""The signature that a request means when it names none (TensorFlow Serving's word)."""

PREDICT_METHOD: Final = "tensorflow/serving/predict"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor of a signature.

    Parameters
    ----------
    name
        The name that clients use.
    dtype
        Element type.
    shape
        One entry a dimension: a size, a symbol (dynamic, equal wherever the symbol stands), or None
        for any size. None instead of a tuple: even the rank is unknown.
    optional
        The input may be left out.
    default
        The value used when it is left out, of the spec's whole shape or of one row; None: the model decides.
    shape_is_advisory
        The shape is what the file declares, and the model takes others too: an input of another shape is not
        refused, its request runs alone.
    content
        What one string holds, in the format's own word (``BatchPredictionRequest``): converters say it, for services
        that make such strings. Empty: nobody says.
    """

    name: str
    dtype: DType
    shape: Shape | None = None
    optional: bool = False
    default: Array | None = field(default=None, compare=False)
    shape_is_advisory: bool = False
    content: str = ""

    @property
    def row_shape(self) -> Shape | None:
        """The shape without its leading (batch) dimension; None when the rank is unknown."""
        return None if self.shape is None else self.shape[1:]

    @property
    def is_per_request(self) -> bool:
        """Whether the tensor belongs to a request as a whole: it may be left out, and has no row dimension.

        A request that brings it runs alone, however well the others batch.
        """
        return (self.optional or self.default is not None) and (
            not self.shape or isinstance(self.shape[0], int)
        )

    def accepts_shape(self, shape: Sequence[int]) -> bool:
        """Tell whether a concrete shape fits this spec. Symbols are taken as any size."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            not isinstance(want, int) or want == got for want, got in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Named inputs and outputs of a servable.

    Parameters
    ----------
    inputs, outputs
        Name -> spec, in the model's order.
    batchable
        Several requests may be joined along the leading dimension.
    not_batchable_because
        Why ``batchable`` is False; empty when it is True.
    method_name
        TensorFlow Serving's method name, shown in metadata.
    source
        Who declared it.
    max_rows
        The most rows that one run takes, where it batches: no larger batch is made; None: no limit. The
        runtime refuses a request that has more by itself.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    batchable: bool = False
    not_batchable_because: str = ""
    method_name: str = PREDICT_METHOD
    source: Literal["model", "config", "converter"] = "model"
    max_rows: int | None = None


def examples_input(signature: Signature) -> TensorSpec | None:
    """Return the input that serialized ``tensorflow.Example`` messages are for; None: the signature takes none.

    It is a string, and the only input that has to be sent.
    """
    needed = [spec for spec in signature.inputs.values() if not spec.optional and spec.default is None]
    return needed[0] if len(needed) == 1 and needed[0].dtype is DType.STRING else None


def format_shape(shape: Sequence[Dim] | None) -> str:
    """Write a shape for people: ``(?, 128)``, ``(batch, 3)``; ``any`` when the rank is unknown."""
    if shape is None:
        return "any"
    dims = ["?" if dim is None else str(dim) for dim in shape]
    return f"({dims[0]},)" if len(dims) == 1 else f"({', '.join(dims)})"


def why_not_batchable(inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]) -> str:
    """Say why requests for these tensors cannot be joined; empty when they can.

    They can when every input and output has a dynamic leading dimension, named by one symbol
    wherever the format names it. Inputs without a row dimension that may be left out do not count.
    """
    inputs = {name: spec for name, spec in inputs.items() if not spec.is_per_request}
    if not inputs:
        return "it has no inputs"
    symbols: dict[str, str] = {}
    for role, specs in (("input", inputs), ("output", outputs)):
        for spec in specs.values():
            if spec.shape is None:
                return f"the rank of {role} '{spec.name}' is unknown"
            if not spec.shape:
                return f"{role} '{spec.name}' is a scalar"
            lead = spec.shape[0]
            if isinstance(lead, int):
                return f"the leading dimension of {role} '{spec.name}' is fixed at {lead}"
            if isinstance(lead, str):
                symbols.setdefault(lead, f"{role} '{spec.name}'")
    if len(symbols) > 1:
        (first, where_first), (second, where_second) = list(symbols.items())[:2]
        return f"leading dimensions differ: {where_first} has '{first}', {where_second} has '{second}'"
    return ""


def check_tensor(
    spec: TensorSpec, array: Array, *, model: str = "", signature: str = "", role: str = "input"
) -> None:
    """Check one array against its spec.

    Raises
    ------
    TensorMismatchError
        Dtype or shape differ; names both sides.
    """
    try:
        got: str = dtype_of(array)
    except TypeError:
        got = str(array.dtype)
    if got != spec.dtype:
        raise TensorMismatchError(
            tensor=spec.name,
            what="dtype",
            expected=spec.dtype,
            got=got,
            model=model,
            signature=signature,
            role=role,
        )
    if not spec.accepts_shape(array.shape):
        raise TensorMismatchError(
            tensor=spec.name,
            what="shape",
            expected=format_shape(spec.shape),
            got=format_shape(array.shape),
            model=model,
            signature=signature,
            role=role,
        )


def check_inputs(
    signature: Signature, inputs: NamedArrays, *, model: str = "", signature_name: str = ""
) -> int | None:
    """Check a request's arrays against a signature.

    Parameters
    ----------
    signature
        What is expected.
    inputs
        What came.
    model, signature_name
        For the error's text.

    Returns
    -------
    num_rows
        The common leading dimension where the signature is batchable; else None.

    Raises
    ------
    InputNamesError
        Missing or unknown names.
    TensorMismatchError
        A dtype, a shape, or unequal leading dimensions of a batchable signature.
    """
    specs = signature.inputs
    if len(inputs) != len(specs) or any(name not in specs for name in inputs):
        missing = tuple(
            name
            for name, spec in specs.items()
            if name not in inputs and not spec.optional and spec.default is None
        )
        extra = tuple(name for name in inputs if name not in specs)
        if missing or extra:
            raise InputNamesError(
                expected=tuple(specs),
                got=tuple(inputs),
                missing=missing,
                extra=extra,
                model=model,
                signature=signature_name,
            )
    num_rows: int | None = None
    first = ""
    for name, array in inputs.items():
        check_tensor(specs[name], array, model=model, signature=signature_name)
        if not signature.batchable or specs[name].is_per_request:
            continue
        if array.ndim == 0:
            raise TensorMismatchError(
                tensor=name,
                what="rank",
                expected="at least 1",
                got="0",
                model=model,
                signature=signature_name,
            )
        if num_rows is None:
            num_rows, first = array.shape[0], name
        elif array.shape[0] != num_rows:
            raise TensorMismatchError(
                tensor=name,
                what="rows",
                expected=f"{num_rows} as in '{first}'",
                got=str(array.shape[0]),
                model=model,
                signature=signature_name,
            )
    return num_rows


def is_stray(signature: Signature, inputs: NamedArrays) -> bool:
    """Tell whether inputs that a check refused differ only in shapes that are advisory."""
    for name, array in inputs.items():
        spec = signature.inputs.get(name)
        try:
            if spec is None or dtype_of(array) != spec.dtype:
                return False
        except TypeError:
            return False
        if not spec.shape_is_advisory and not spec.accepts_shape(array.shape):
            return False
    return any(signature.inputs[name].shape_is_advisory for name in inputs)


def default_value(spec: TensorSpec, num_rows: int | None) -> Array:
    """Return what stands for an input that was left out.

    Parameters
    ----------
    spec
        The input; it has a default.
    num_rows
        Rows that the others have; None: the request is not batchable, or this input has no rows.

    Returns
    -------
    value
        With ``num_rows``: that many rows, a read-only view of the default's one row where it is repeated.
        Without: the default, as one row where it is of a row's shape.

    Raises
    ------
    TensorMismatchError
        The default has another number of rows, more than one.
    """
    assert spec.default is not None  # noqa: S101 - the caller has looked
    value = spec.default
    if spec.shape is None or not spec.shape:
        return value
    if value.ndim < len(spec.shape):
        value = value[np.newaxis]
    if num_rows is None or len(value) == num_rows:
        return value
    if len(value) != 1:
        raise TensorMismatchError(
            tensor=spec.name,
            what="rows",
            expected=str(len(value)),
            got=str(num_rows),
            role="default of input",
        )
    return np.broadcast_to(value, (num_rows, *value.shape[1:]))


def why_no_default(spec: TensorSpec) -> str:
    """Say why a spec's default cannot stand for the input; empty when it can, or there is none."""
    value = spec.default
    if value is None:
        return ""
    try:
        check_tensor(spec, value)
    except TensorMismatchError as error:
        if spec.shape and error.what == "shape" and spec.accepts_shape((1, *value.shape)):
            return "" if not isinstance(spec.shape[0], int) else error.message
        return error.message
    return ""


def check_outputs(
    signature: Signature, names: Sequence[str], *, model: str = "", signature_name: str = ""
) -> tuple[str, ...]:
    """Return the outputs to compute: those asked for, or all.

    Raises
    ------
    OutputNamesError
        An unknown or repeated name.
    """
    if not names:
        return tuple(signature.outputs)
    seen: set[str] = set()
    for name in names:
        if name not in signature.outputs or name in seen:
            raise OutputNamesError(
                name,
                expected=tuple(signature.outputs),
                duplicate=name in seen,
                model=model,
                signature=signature_name,
            )
        seen.add(name)
    return tuple(names)


def zero_rows(spec: TensorSpec, num_rows: int) -> Array:
    """Return ``num_rows`` rows of zeros (empty strings) that fit ``spec``; dynamic sizes become 1."""
    dims: Shape = (None,) if spec.shape is None else spec.shape
    shape = [dim if isinstance(dim, int) else 1 for dim in dims]
    if dims and not isinstance(dims[0], int):
        shape[0] = num_rows
    if spec.dtype is DType.STRING:
        return np.full(shape, b"", dtype=object)
    return np.zeros(shape, dtype=numpy_dtype(spec.dtype))
