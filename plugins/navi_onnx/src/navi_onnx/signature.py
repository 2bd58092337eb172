"""The signature of a session: what navi shows and checks, and how each tensor is converted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import onnxruntime as ort

from navi_core import DEFAULT_SIGNATURE, DType, LoadOptions, Signature, TensorSpec, why_not_batchable
from navi_onnx.convert import ONNX_TYPES, VALUE_TYPES
from navi_onnx.model_file import ModelFacts
from navi_onnx.options import ZipMapMode

__all__ = ["Described", "OutputTensor", "SignatureError", "describe"]

Dim = int | str | None
_ZIPMAP: Final = re.compile(r"seq\(map\((int64|string),tensor\(float\)\)\)")


class SignatureError(ValueError):
    """The model has a tensor that cannot be served, or the configuration names one it has not."""


class _NodeArg(Protocol):
    name: str
    type: str
    shape: Sequence[int | str | None]


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One output that clients may ask for.

    Parameters
    ----------
    source
        The session's output that it is made from.
    dtype
        Element type.
    part
        The tensor itself, or which half of a ZipMap's sequence of maps.
    labels
        The ZipMap's class labels, in column order.
    """

    source: str
    dtype: DType
    part: Literal["tensor", "values", "keys"] = "tensor"
    labels: tuple[int, ...] | tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """What a servable needs to know of its session."""

    signature: Signature
    outputs: Mapping[str, OutputTensor]
    uses_ort_values: bool


def describe(
    session: ort.InferenceSession, facts: ModelFacts, load: LoadOptions, zipmap: ZipMapMode
) -> Described:
    """Describe a session's inputs and outputs.

    Raises
    ------
    SignatureError
        A tensor's type cannot be served, or the configuration names one that is not there.
    """
    if load.signature not in (None, DEFAULT_SIGNATURE):
        msg = f"signature: an ONNX model has one, '{DEFAULT_SIGNATURE}', got '{load.signature}'"
        raise SignatureError(msg)
    inputs = {arg.name: _input(arg, facts, optional=False) for arg in session.get_inputs()}
    for arg in session.get_overridable_initializers():
        inputs[arg.name] = _input(arg, facts, optional=True)
    inputs = _chosen("inputs", inputs, load.inputs)
    left_out = [arg.name for arg in session.get_inputs() if arg.name not in inputs]
    if left_out:
        msg = f"inputs: '{left_out[0]}' cannot be left out, the model has no default for it"
        raise SignatureError(msg)

    args = {arg.name: arg for arg in session.get_outputs()}
    specs: dict[str, TensorSpec] = {}
    outputs: dict[str, OutputTensor] = {}
    sources = {f"{name}_keys": name for name, arg in args.items() if _ZIPMAP.fullmatch(arg.type)}
    wanted = {sources.get(name, name) if name not in args else name for name in load.outputs}
    for name, arg in args.items():
        if wanted and name not in wanted:
            continue  # it may be of any type: nobody can ask for it
        for public, spec, output in _outputs(arg, facts, zipmap):
            if public in specs or (public != name and public in args):
                msg = (
                    f"output '{name}': the model has an output '{public}' already; zipmap = \"values\" helps"
                )
                raise SignatureError(msg)
            specs[public], outputs[public] = spec, output
    specs = _chosen("outputs", specs, load.outputs, also=tuple(args))

    why_not = why_not_batchable(inputs, specs)
    signature = Signature(inputs=inputs, outputs=specs, batchable=not why_not, not_batchable_because=why_not)
    return Described(signature, outputs, _uses_ort_values(signature, outputs))


def _uses_ort_values(signature: Signature, outputs: Mapping[str, OutputTensor]) -> bool:
    """Tell whether some tensor needs OrtValues; then all of a run go that way, and each must be able to."""
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    special = next((spec for spec in specs if spec.dtype in VALUE_TYPES), None)
    if special is None:
        return False
    for name, spec in signature.inputs.items():
        if spec.dtype is DType.STRING:
            msg = f"input '{name}' is string and '{special.name}' {special.dtype}: ONNX Runtime's Python binding cannot pass both in one run"
            raise SignatureError(msg)
    for name, output in outputs.items():
        if output.part != "tensor":
            msg = f"output '{name}' is a sequence of maps and '{special.name}' {special.dtype}: ONNX Runtime's Python binding cannot pass both in one run"
            raise SignatureError(msg)
    return True


def _chosen(
    role: str, specs: dict[str, TensorSpec], names: Sequence[str], *, also: Sequence[str] = ()
) -> dict[str, TensorSpec]:
    """Return the named specs in the order of the names; all where none are named."""
    if not names:
        return specs
    for name in names:
        if name not in specs:
            known = ", ".join(dict.fromkeys((*specs, *also)))
            msg = f"{role}: expected some of {{{known}}}, got '{name}'"
            raise SignatureError(msg)
    return {name: specs[name] for name in names}


def _input(arg: _NodeArg, facts: ModelFacts, *, optional: bool) -> TensorSpec:
    return TensorSpec(name=arg.name, dtype=_dtype("input", arg), shape=_shape(arg, facts), optional=optional)


def _outputs(
    arg: _NodeArg, facts: ModelFacts, zipmap: ZipMapMode
) -> list[tuple[str, TensorSpec, OutputTensor]]:
    """Return name, spec and origin of every output that a session's output becomes."""
    match = _ZIPMAP.fullmatch(arg.type)
    if match is None:
        dtype = _dtype("output", arg)
        spec = TensorSpec(name=arg.name, dtype=dtype, shape=_shape(arg, facts))
        return [(arg.name, spec, OutputTensor(arg.name, dtype))]
    if zipmap == "refuse":
        msg = f"output '{arg.name}' is {arg.type} (a ZipMap) and zipmap = \"refuse\" is set"
        raise SignatureError(msg)
    labels = _labels(arg, facts)
    shape: tuple[Dim, ...] = (None, len(labels))
    values = TensorSpec(name=arg.name, dtype=DType.FLOAT32, shape=shape)
    found = [(arg.name, values, OutputTensor(arg.name, DType.FLOAT32, "values", labels))]
    if zipmap == "values_and_keys":
        dtype = DType.STRING if match[1] == "string" else DType.INT64
        name = f"{arg.name}_keys"
        keys = TensorSpec(name=name, dtype=dtype, shape=shape)
        found.append((name, keys, OutputTensor(arg.name, dtype, "keys", labels)))
    return found


def _labels(arg: _NodeArg, facts: ModelFacts) -> tuple[int, ...] | tuple[str, ...]:
    labels = facts.class_labels.get(arg.name, ())
    if not labels:
        msg = f"output '{arg.name}' is {arg.type} and comes from no ZipMap with class labels, so its columns are unknown"
        raise SignatureError(msg)
    if len(set(labels)) != len(labels):
        msg = f"output '{arg.name}': its ZipMap has a class label twice, so columns would be lost"
        raise SignatureError(msg)
    return tuple(label.decode() if isinstance(label, bytes) else label for label in labels)  # type: ignore[return-value]  # all labels are of one kind


def _dtype(role: str, arg: _NodeArg) -> DType:
    dtype = ONNX_TYPES.get(arg.type)
    if dtype is None:
        help_text = (
            "; name the others in outputs = [...] to serve the model without it" if role == "output" else ""
        )
        msg = f"{role} '{arg.name}': expected a tensor of {{{', '.join(ONNX_TYPES.values())}}}, got {arg.type}{help_text}"
        raise SignatureError(msg)
    return dtype


def _shape(arg: _NodeArg, facts: ModelFacts) -> tuple[Dim, ...] | None:
    if not arg.shape and arg.name in facts.unranked:
        return None
    return tuple((dim if dim >= 0 else None) if isinstance(dim, int) else (dim or None) for dim in arg.shape)
