"""The table of operations: what a node's operation is called, how many values it takes, and how it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from navi_core import Array

__all__ = [
    "MAX_BYTES",
    "OPERATIONS",
    "Arguments",
    "Evaluate",
    "Operation",
    "are_small",
    "axes_of",
    "bounded",
    "integers",
    "operation",
]

MAX_BYTES: Final = 1 << 30
"""The largest array that an operation makes out of sizes that a graph or a client gives it."""

_FEW: Final = MAX_BYTES // 16
"""Elements of any type that fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a node says besides its inputs.

    Parameters
    ----------
    t, i, b, d, s
        Numbers, integers, booleans, element types (of GraphServer's numbering), texts.
    dimensions
        Axes.
    scalar
        The second operand of SCALAR operations.
    is_gen1
        The first generation: flags lie elsewhere, there is one element type.
    num_outputs
        How many outputs the graph knows of; 0: it does not say.
    """

    t: tuple[float, ...] = ()
    i: tuple[int, ...] = ()
    b: tuple[bool, ...] = ()
    d: tuple[int, ...] = ()
    s: tuple[str, ...] = ()
    dimensions: tuple[int, ...] = ()
    scalar: Array | None = None
    is_gen1: bool = False
    num_outputs: int = 0

    def integer(self, index: int, default: int) -> int:
        """Return an integer by its position."""
        return self.i[index] if index < len(self.i) else default

    def number(self, index: int, default: float) -> float:
        """Return a number by its position."""
        return self.t[index] if index < len(self.t) else default

    def flag(self, index: int, *, default: bool = False) -> bool:
        """Return a boolean by its position."""
        return self.b[index] if index < len(self.b) else default


Evaluate = Callable[[Sequence[Any], Arguments], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation.

    Parameters
    ----------
    name
        Its name in libnd4j, or the lower-case name of a legacy one.
    evaluate
        Computes its outputs: one array, or a sequence of them.
    min_inputs, max_inputs
        How many values it takes; None: any number.
    is_pure
        It may be computed once, when the graph is loaded, where its inputs are constant.
    """

    name: str
    evaluate: Evaluate
    min_inputs: int = 1
    max_inputs: int | None = 1
    is_pure: bool = True


OPERATIONS: Final[dict[str, Operation]] = {}
"""Name or synonym -> operation; filled by the modules beside this one."""


def operation(
    name: str, *synonyms: str, inputs: tuple[int, int | None] = (1, 1), pure: bool = True
) -> Callable[[Evaluate], Evaluate]:
    """Register a function as an operation, under its name and its synonyms."""

    def register(evaluate: Evaluate) -> Evaluate:
        made = Operation(
            name=name, evaluate=evaluate, min_inputs=inputs[0], max_inputs=inputs[1], is_pure=pure
        )
        for each in (name, *synonyms):
            if each in OPERATIONS:
                msg = f"the operation '{each}' is registered twice"
                raise ValueError(msg)
            OPERATIONS[each] = made
        return evaluate

    return register


def are_small(a: Array, b: Array) -> bool:
    """Tell whether any array of ``a``'s and ``b``'s dimensions together may be made: a look is quicker than a sum."""
    return 0 < a.size * b.size <= _FEW


def bounded(shape: Sequence[int], dtype: Any) -> tuple[int, ...]:
    """Return a shape whose array may be made.

    Raises
    ------
    ValueError
        It has a negative dimension, or takes more than :data:`MAX_BYTES`.
    """
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes):
        msg = f"a shape with a negative dimension: {list(sizes)}"
        raise ValueError(msg)
    size_bytes = math.prod(sizes) * np.dtype(dtype).itemsize
    if size_bytes > MAX_BYTES:
        msg = f"an array of {size_bytes} bytes, of shape {list(sizes)}; at most {MAX_BYTES} are made"
        raise ValueError(msg)
    return sizes


def integers(array: Array) -> tuple[int, ...]:
    """Return an array's values as integers: shapes, axes and indices are floats in the first generation.

    Raises
    ------
    ValueError
        There are too many to be any of these.
    """
    if array.size > 4096:
        msg = f"{array.size} numbers where a shape, axes or sizes are expected"
        raise ValueError(msg)
    return tuple(int(number) for number in array.ravel().tolist())


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes as they count from the front, each once.

    Raises
    ------
    ValueError
        One is outside of the rank.
    """
    for axis in axes:
        if not -rank <= axis < max(rank, 1):
            msg = f"axis {axis} of an array of rank {rank}"
            raise ValueError(msg)
    return tuple(sorted({axis % rank for axis in axes})) if rank else ()
