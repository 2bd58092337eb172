"""From a file to something that runs: the calls of tract's Python binding, and nothing of navi.

The host plans with this module, and so does the rehearsal, in a process of its own.

tract infers shapes from those of the inputs ("facts"). A plan whose facts are sizes alone is checked
throughout; one that keeps a symbol takes any size for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import tract

__all__ = ["DATUM_TYPES", "Fact", "Job", "analyse", "plan"]

DATUM_TYPES: Final = {
    0x01: "bool",
    0x11: "uint8",
    0x12: "uint16",
    0x14: "uint32",
    0x18: "uint64",
    0x21: "int8",
    0x22: "int16",
    0x24: "int32",
    0x28: "int64",
    0x32: "float16",
    0x34: "float32",
    0x38: "float64",
}
"""tract's numbers of element types that its binding turns into arrays, and NumPy's names of them."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to plan.

    Parameters
    ----------
    kind
        ``onnx`` or ``nnef``.
    path
        The file, or the folder of a bare NNEF model.
    facts
        ONNX: input name -> its shape and type as tract writes them (``8,16,f32``).
    symbols
        NNEF: symbol -> size.
    """

    kind: str
    path: str
    facts: dict[str, str]
    symbols: dict[str, int]


@dataclass(frozen=True, slots=True)
class Fact:
    """What tract says of one tensor.

    Parameters
    ----------
    name
        tract's own name of it.
    dtype
        NumPy's name of the element type; else tract's word for it.
    dims
        Texts: sizes, symbols, or expressions of them.
    """

    name: str
    dtype: str
    dims: tuple[str, ...]


def analyse(job: Job) -> tuple[tract.Model, list[Fact], list[Fact]]:
    """Read a model and infer its shapes.

    Returns
    -------
    model
        To be planned.
    inputs, outputs
        In the model's order.

    Raises
    ------
    tract.TractError
        tract refuses it. The text holds a Rust backtrace.
    """
    if job.kind == "onnx":
        read = tract.onnx().load(job.path)
        for index in range(read.input_count()):
            fact = job.facts.get(read.input_name(index))
            if fact is not None:
                read.set_input_fact(index, fact)
        model = read.into_model()
    else:
        model = tract.nnef().load(job.path)
        if job.symbols:
            model.transform(tract.SetSymbols(job.symbols))
    inputs = [_fact(model.input_name(index), model.input_fact(index)) for index in range(model.input_count())]
    outputs = [
        _fact(model.output_name(index), model.output_fact(index)) for index in range(model.output_count())
    ]
    return model, inputs, outputs


def plan(job: Job) -> tract.Runnable:
    """Return a plan that threads may share.

    Raises
    ------
    tract.TractError
        tract refuses the model. The text holds a Rust backtrace.
    """
    model, _, _ = analyse(job)
    return model.into_runnable()


def _fact(name: str, fact: tract.Fact) -> Fact:
    dims: Sequence[str] = [str(dim) for dim in fact.dims()]
    try:
        number = fact.datum_type()
    except tract.TractError:  # strings, and tract's own integers that may hold symbols
        return Fact(name, str(fact).rpartition(",")[2].lower(), tuple(dims))
    return Fact(name, DATUM_TYPES.get(number, str(fact).rpartition(",")[2].lower()), tuple(dims))
