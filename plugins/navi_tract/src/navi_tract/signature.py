"""The signature of a model, from what its file declares and what tract infers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from navi_core import DEFAULT_SIGNATURE, DType, LoadOptions, Signature, TensorSpec, why_not_batchable
from navi_tract.nnef_file import output_names
from navi_tract.onnx_graph import Declared
from navi_tract.shapes import Dims, PlannedInput, name_dims, replace_symbols
from navi_tract.source import ModelSource

__all__ = ["Described", "Output", "SignatureError", "describe", "nnef_inputs", "onnx_inputs"]

Dim = int | str | None

_ONNX_TYPES: Final = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
}
"""Numbers of ``TensorProto.DataType``."""

_DTYPES: Final = {
    str(dtype): dtype
    for dtype in (
        DType.BOOL,
        DType.INT8,
        DType.INT16,
        DType.INT32,
        DType.INT64,
        DType.UINT8,
        DType.UINT16,
        DType.UINT32,
        DType.UINT64,
        DType.FLOAT16,
        DType.FLOAT32,
        DType.FLOAT64,
    )
}


class SignatureError(ValueError):
    """The model has a tensor that cannot be served, or the configuration names one it has not."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output.

    Parameters
    ----------
    index
        Its place among the plan's results.
    cast
        tract computes it in integers of its own kind, which are to be cast to int64.
    """

    index: int
    cast: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """What a servable needs to know of its model.

    Parameters
    ----------
    signature
        What clients see.
    outputs
        Name -> where it comes from.
    """

    signature: Signature
    outputs: Mapping[str, Output]


def onnx_inputs(
    source: ModelSource, *, shared_rows: bool
) -> tuple[list[PlannedInput], dict[str, str | None]]:
    """Return an ONNX model's inputs, and what its dynamic dimensions are called.

    Raises
    ------
    SignatureError
        One is of a type that tract's binding does not carry.
    """
    assert source.onnx is not None  # noqa: S101 - the caller asked for the kind
    declared = source.onnx.inputs
    dims, names = name_dims([each.dims for each in declared], shared_rows=shared_rows)
    return [
        PlannedInput(each.name, _dtype("input", each.name, _ONNX_TYPES.get(each.elem_type, "no tensor")), dim)
        for each, dim in zip(declared, dims, strict=True)
    ], names


def nnef_inputs(facts: Sequence[Mapping[str, Any]]) -> tuple[list[PlannedInput], dict[str, str | None]]:
    """Return an NNEF model's inputs as tract tells them, and its symbols.

    Raises
    ------
    SignatureError
        One is of a type that tract's binding does not carry, or has a size that is a formula.
    """
    inputs: list[PlannedInput] = []
    names: dict[str, str | None] = {}
    for fact in facts:
        dims: list[int | str] = []
        for text in fact["dims"]:
            if text.isdigit():
                dims.append(int(text))
            elif text.isidentifier():
                dims.append(text)
                names[text] = text
            else:
                msg = f"input '{fact['name']}': expected sizes and symbols, got the dimension '{text}'"
                raise SignatureError(msg)
        inputs.append(PlannedInput(fact["name"], _dtype("input", fact["name"], fact["dtype"]), tuple(dims)))
    return inputs, names


def describe(
    source: ModelSource,
    load: LoadOptions,
    inputs: Sequence[PlannedInput],
    names: Mapping[str, str | None],
    inferred: Sequence[Mapping[str, Any]] | None,
) -> Described:
    """Describe a model.

    Parameters
    ----------
    source
        Its files.
    load
        What the configuration says.
    inputs
        With symbols.
    names
        Symbol -> the file's name; None: it has none.
    inferred
        What tract infers of the outputs, with every dynamic dimension a symbol; None: it cannot.

    Raises
    ------
    SignatureError
        An output's type cannot be served, or the configuration names what is not there.
    """
    if load.signature not in (None, DEFAULT_SIGNATURE):
        msg = f"signature: a model has one, '{DEFAULT_SIGNATURE}', got '{load.signature}'"
        raise SignatureError(msg)
    declared = _declared_outputs(source, inferred)
    specs: dict[str, TensorSpec] = {}
    leads: dict[str, TensorSpec] = {}
    outputs: dict[str, Output] = {}
    for index, each in enumerate(declared):
        if load.outputs and each.name not in load.outputs:
            continue  # it may be of any type: nobody can ask for it
        fact = None if inferred is None else inferred[index]
        dtype, cast = _output_dtype(each, fact)
        shape = each.dims if fact is None else tuple(_public(text, names) for text in fact["dims"])
        if fact is None and shape is not None:
            shape = tuple(dim if isinstance(dim, int) else dim or None for dim in shape)
        specs[each.name] = TensorSpec(name=each.name, dtype=dtype, shape=shape)
        leads[each.name] = (
            specs[each.name]
            if fact is None
            else replace(
                specs[each.name], shape=tuple(_size(replace_symbols(text, names)) for text in fact["dims"])
            )
        )
        outputs[each.name] = Output(index, cast)
    chosen_inputs = _chosen("inputs", {each.name: _input_spec(each, names) for each in inputs}, load.inputs)
    left_out = [each.name for each in inputs if each.name not in chosen_inputs]
    if left_out:
        msg = f"inputs: '{left_out[0]}' cannot be left out, the model has no default for it"
        raise SignatureError(msg)
    known = [each.name for each in declared]
    chosen = _chosen("outputs", specs, load.outputs, known=known)
    rows = (
        {each.name: _input_spec(each, names) for each in inputs}
        if inferred is None
        else {each.name: _input_spec(each, names, named_rows=True) for each in inputs}
    )
    why_not = why_not_batchable(rows, {name: leads[name] for name in chosen})
    signature = Signature(
        inputs=chosen_inputs, outputs=chosen, batchable=not why_not, not_batchable_because=why_not
    )
    return Described(signature, outputs)


def _declared_outputs(source: ModelSource, inferred: Sequence[Mapping[str, Any]] | None) -> list[Declared]:
    """Return the outputs' names, and what an ONNX file says of them."""
    if source.onnx is not None:
        if inferred is not None and len(inferred) != len(source.onnx.graph.outputs):
            msg = f"expected {len(source.onnx.graph.outputs)} outputs, tract has {len(inferred)}"
            raise SignatureError(msg)
        return source.onnx.graph.outputs
    facts = inferred or ()
    names = output_names(source.nnef, len(facts)) or [fact["name"] for fact in facts]
    return [Declared(name, 0, None) for name in names]


def _output_dtype(declared: Declared, fact: Mapping[str, Any] | None) -> tuple[DType, bool]:
    said = _ONNX_TYPES.get(declared.elem_type)
    if fact is None:
        return _dtype("output", declared.name, said or "no tensor"), said == "int64"
    # Sizes, and what is computed from them, are integers of tract's own kind.
    is_size = fact["dtype"] == "tdim"
    return _dtype("output", declared.name, "int64" if is_size else fact["dtype"]), is_size


def _dtype(role: str, name: str, kind: str) -> DType:
    dtype = _DTYPES.get(kind)
    if dtype is None:
        msg = (
            f"{role} '{name}': expected a tensor of {{{', '.join(_DTYPES)}}}, got {kind}, which tract's Python "
            "binding does not carry"
        )
        raise SignatureError(msg)
    return dtype


def _input_spec(
    each: PlannedInput, names: Mapping[str, str | None], *, named_rows: bool = False
) -> TensorSpec:
    dims: Dims | None = each.dims
    if dims is None:
        return TensorSpec(name=each.name, dtype=each.dtype, shape=None)
    shape: list[Dim] = [names[dim] if isinstance(dim, str) else dim for dim in dims]
    if named_rows and dims and isinstance(dims[0], str):
        shape[0] = replace_symbols(dims[0], names)
    return TensorSpec(name=each.name, dtype=each.dtype, shape=tuple(shape))


def _public(text: str, names: Mapping[str, str | None]) -> Dim:
    """Return a dimension of an output for clients: a size, a symbol of the inputs, or None."""
    return int(text) if text.isdigit() else names.get(text)


def _size(text: str) -> Dim:
    return int(text) if text.isdigit() else text


def _chosen(
    role: str, specs: dict[str, TensorSpec], names: Sequence[str], *, known: Sequence[str] = ()
) -> dict[str, TensorSpec]:
    """Return the named specs in the order of the names; all where none are named."""
    if not names:
        return specs
    for name in names:
        if name not in specs:
            msg = f"{role}: expected some of {{{', '.join(known or specs)}}}, got '{name}'"
            raise SignatureError(msg)
    return {name: specs[name] for name in names}
