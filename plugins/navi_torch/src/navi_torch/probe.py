"""Trial runs with zeros: what a call gives where its file does not say.

TorchScript and AOTInductor have no dtypes and shapes of outputs. A call with two and with three rows tells how
many outputs there are, their names and dtypes, which of their sizes are fixed, and whether they follow the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from navi_core import DType
from navi_torch.convert import TORCH_DTYPES, dtype_of_tensor
from navi_torch.errors import clean_text
from navi_torch.method import (
    Argument,
    Call,
    DescriptionError,
    Dim,
    OutputTensor,
    Structure,
    leaves,
    structure_of,
    values_of,
)
from navi_torch.options import MethodOptions

__all__ = ["Found", "find_outputs", "shape_of", "zeros"]

_OTHER_SIZES: Final = (8, 64, 1, 224)
"""Tried in turn for dynamic sizes that are not rows: a convolution needs room, others must divide."""


@dataclass(frozen=True, slots=True)
class Found:
    """What trial runs showed.

    Parameters
    ----------
    outputs
        In the order of the result's values.
    structure, keys
        How the values lie in the result.
    why_not_rows
        Why requests cannot be joined, as far as the runs tell; empty: they can.
    """

    outputs: tuple[OutputTensor, ...]
    structure: Structure
    keys: tuple[str, ...]
    why_not_rows: str = ""


@dataclass(frozen=True, slots=True)
class _Trial:
    rows: int
    names: tuple[str, ...]
    dtypes: tuple[DType, ...]
    shapes: tuple[tuple[int, ...], ...]
    structure: Structure
    keys: tuple[str, ...]


def zeros(argument: Argument, rows: int, other: int, device: torch.device) -> Any:
    """Return what a trial run passes for an argument; its own value where clients may leave it out."""
    if argument.kind == "fixed" or argument.optional:
        return argument.value
    if argument.kind == "scalar":
        return argument.value if argument.value is not None else _SCALARS[argument.dtype]
    sizes = [
        dim if isinstance(dim, int) else (rows if axis == 0 else other)
        for axis, dim in enumerate(argument.shape or ())
    ]
    return torch.zeros(sizes, dtype=TORCH_DTYPES[argument.dtype], device=device)


_SCALARS: Final[Mapping[DType, Any]] = {
    DType.STRING: "",
    DType.BOOL: False,
    DType.FLOAT32: 0.0,
    DType.FLOAT64: 0.0,
    **dict.fromkeys((DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.UINT8), 0),
}


def find_outputs(
    call: Call,
    arguments: Sequence[Argument],
    said: MethodOptions,
    device: torch.device,
    names: Sequence[str] = (),
) -> Found:
    """Run a call with zeros and return what it gives.

    Parameters
    ----------
    call
        What will be served, or a copy of it where it changes itself.
    arguments
        In order; tensors have a rank.
    said
        ``output_names``, and ``outputs`` for a call that zeros do not suit.
    device
        Where tensors go.
    names
        Names of the values where the result itself has none.

    Raises
    ------
    DescriptionError
        No run succeeded and the outputs are not described, or an output is of no kind that can be served.
    """

    def run(rows: int, other: int) -> _Trial:
        return _trial(call, [zeros(argument, rows, other, device) for argument in arguments], rows)

    base, other, error = _first(run)
    if base is None:
        return _described(said, clean_text(str(error)) or type(error).__name__)
    trials = [base]
    leads = [argument.shape[0] for argument in arguments if argument.shape and _leads(argument)]
    has_rows = bool(leads)
    lead = leads[0] if len(set(leads)) == 1 else None
    why_not = ""
    if has_rows:
        more, failure = _attempt(run, base.rows + 1, other)
        if more is None:
            why_not = f"a trial run of {base.rows + 1} rows failed: {clean_text(str(failure))[:120]}"
        else:
            trials.append(more)
    if any(not isinstance(dim, int) for argument in arguments for dim in (argument.shape or ())[1:]):
        more, _ = _attempt(run, base.rows, 2 * other)
        if more is not None:
            trials.append(more)
    found_names = said.output_names or tuple(names) or base.names
    if len(found_names) != len(base.names):
        msg = f"output_names: expected {len(base.names)} names, for {{{', '.join(base.names)}}}, got {len(found_names)}"
        raise DescriptionError(msg)
    if len(set(found_names)) != len(found_names):
        msg = f"outputs {{{', '.join(found_names)}}} repeat a name; name them with output_names = [...]"
        raise DescriptionError(msg)
    outputs = []
    for index, name in enumerate(found_names):
        shape, why = _merged(trials, index, name, lead, follows=has_rows and not why_not)
        why_not = why_not or why
        outputs.append(
            _with_said(OutputTensor(name=name, index=index, dtype=base.dtypes[index], shape=shape), said)
        )
    _check_names(said, found_names)
    return Found(tuple(outputs), base.structure, base.keys, why_not)


def _leads(argument: Argument) -> bool:
    lead = argument.shape[0] if argument.shape else 1
    return argument.kind == "tensor" and not argument.optional and not isinstance(lead, int)


def _first(run: Callable[[int, int], _Trial]) -> tuple[_Trial | None, int, Exception]:
    error: Exception = DescriptionError("it was not run")
    for rows in (2, 1):
        for other in _OTHER_SIZES:
            trial, failure = _attempt(run, rows, other)
            if trial is not None:
                return trial, other, error
            if isinstance(failure, DescriptionError):
                raise failure
            error = failure or error
    return None, 0, error


def _attempt(
    run: Callable[[int, int], _Trial], rows: int, other: int
) -> tuple[_Trial | None, Exception | None]:
    try:
        return run(rows, other), None
    except Exception as error:  # whatever the model raises: the next sizes may suit it
        return None, error


def _trial(call: Call, arguments: Sequence[Any], rows: int) -> _Trial:
    with torch.inference_mode():
        result = call(arguments)
    structure, keys = structure_of(result)
    names = [name for name, _ in leaves(result)]
    if not names:
        msg = "it gives nothing back"
        raise DescriptionError(msg)
    dtypes, shapes = [], []
    for name, value in zip(names, values_of(result, structure, keys), strict=True):
        dtypes.append(_dtype(name, value))
        shapes.append(tuple(value.shape) if isinstance(value, torch.Tensor) else ())
    return _Trial(rows, tuple(names), tuple(dtypes), tuple(shapes), structure, keys)


def _dtype(name: str, value: Any) -> DType:
    if isinstance(value, bool):
        return DType.BOOL
    if isinstance(value, int | float):
        return DType.INT64 if isinstance(value, int) else DType.FLOAT64
    dtype = dtype_of_tensor(value)
    if dtype is None or value.layout != torch.strided:
        msg = f"output '{name}' is a tensor of {str(value.dtype).removeprefix('torch.')}, {str(value.layout).removeprefix('torch.')}, which is not served"
        raise DescriptionError(msg)
    return dtype


def _merged(
    trials: Sequence[_Trial], index: int, name: str, lead: Dim, *, follows: bool
) -> tuple[tuple[Dim, ...] | None, str]:
    """Return an output's shape as several runs show it, and why it does not follow the rows."""
    shapes = [trial.shapes[index] for trial in trials if index < len(trial.shapes)]
    if len({len(shape) for shape in shapes}) != 1:
        return None, f"the rank of output '{name}' differs from run to run"
    shape: list[Dim] = [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True)]
    why = ""
    if follows:
        for trial, sizes in zip(trials, shapes, strict=True):
            if not sizes or sizes[0] != trial.rows:
                got = f"({', '.join(map(str, sizes))})"
                why = f"output '{name}' has shape {got} for {trial.rows} rows"
                break
        else:
            shape[0] = lead
    return tuple(shape), why


def _with_said(output: OutputTensor, said: MethodOptions) -> OutputTensor:
    own = said.outputs.get(output.name)
    if own is None:
        return output
    if own.dtype not in (None, output.dtype):
        msg = f"outputs.{output.name}.dtype: expected {output.dtype} as in a trial run, got {own.dtype}"
        raise DescriptionError(msg)
    shape = output.shape if own.shape is None else shape_of(own.shape)
    return OutputTensor(name=output.name, index=output.index, dtype=output.dtype, shape=shape)


def shape_of(said: Sequence[int | str]) -> tuple[Dim, ...]:
    """Return a configured shape: -1 is any size."""
    return tuple(None if dim == -1 else dim for dim in said)


def _check_names(said: MethodOptions, names: Sequence[str]) -> None:
    for name in said.outputs:
        if name not in names:
            msg = f"outputs: expected some of {{{', '.join(names)}}}, got '{name}'"
            raise DescriptionError(msg)


def _described(said: MethodOptions, error: str) -> Found:
    """Return the outputs as the configuration describes them, since the model cannot be tried."""
    names = said.output_names or tuple(said.outputs)
    outputs = []
    for index, name in enumerate(names):
        own = said.outputs.get(name)
        if own is None or own.dtype is None or own.shape is None:
            break
        outputs.append(OutputTensor(name=name, index=index, dtype=own.dtype, shape=shape_of(own.shape)))
    if not outputs or len(outputs) != len(names):
        msg = (
            f"a trial run with zeros failed ({error[:200]}), so its outputs are not known: write in navi.toml, for "
            'each output in order, runtime_options.outputs.NAME = { dtype = "float32", shape = [-1] } with its own '
            "dtype and shape, and check the shapes of the inputs"
        )
        raise DescriptionError(msg)
    return Found(tuple(outputs), "tree", ())
