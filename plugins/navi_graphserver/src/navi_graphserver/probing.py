"""What a graph's outputs look like, and whether they follow the rows: found by running it on made-up inputs.

A graph's file declares neither. It is run on two and on three rows; what changed with them is open. Whether a row's
answer depends on the rows beside it, the host finds out when it warms a version up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from navi_core import Array
from navi_graphserver.errors import OperationError
from navi_graphserver.evaluator import CancelledRunError
from navi_graphserver.flat.records import Address
from navi_graphserver.operations.table import bounded
from navi_graphserver.plan import Feed, GraphPlan

__all__ = ["Probe", "made_up_inputs", "probe"]

_LIMIT_S: Final = 2.0
_SIZES: Final = (3, 2)
_SEED: Final = 40123


class Engine(Protocol):
    """What computes a graph's values."""

    def run(
        self, feeds: Mapping[Address, Array], wanted: Sequence[int], is_cancelled: Callable[[], bool]
    ) -> dict[Address, Array]:
        """Compute values by address."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was found.

    Parameters
    ----------
    outputs
        Address -> dtype and shape, None for a dimension that changes with the rows. Empty: no run succeeded.
    why_not_batchable
        Empty: every input and output has a row for each of a request's.
    """

    outputs: Mapping[Address, tuple[np.dtype[Any], tuple[int | None, ...]]]
    why_not_batchable: str


def probe(plan: GraphPlan, inputs: Sequence[Feed], wanted: Sequence[int], engine: Engine) -> Probe:
    """Run a graph on made-up inputs.

    Parameters
    ----------
    plan
        The graph.
    inputs
        What is fed.
    wanted
        Ids of what is computed.
    engine
        Computes it.
    """
    started = time.monotonic()

    def is_late() -> bool:
        return time.monotonic() - started > _LIMIT_S

    runs: list[dict[Address, Array]] = []
    for size in _SIZES:
        try:
            runs.append(engine.run(made_up_inputs(inputs, size), wanted, is_late))
        except (CancelledRunError, OperationError, ValueError):
            continue
    if not runs:
        return Probe(outputs={}, why_not_batchable="a trial run on made-up inputs failed")
    outputs = {
        address: (array.dtype, _varying([values[address].shape for values in runs if address in values]))
        for address, array in runs[0].items()
    }
    return Probe(outputs=outputs, why_not_batchable=_why_not_joined(plan, inputs, outputs))


def made_up_inputs(inputs: Sequence[Feed], size: int) -> dict[Address, Array]:
    """Make inputs: numbers around 0, integers 0 or 1, texts that are empty; unknown dimensions of one size.

    Raises
    ------
    ValueError
        They would be too large.
    """
    random = np.random.default_rng(_SEED)
    fed: dict[Address, Array] = {}
    for feed in inputs:
        dtype = feed.dtype or np.dtype(np.float32)
        shape = bounded([size if each is None else each for each in feed.shape or ()], np.float64)
        if dtype.kind == "O":
            fed[feed.address] = np.full(shape, b"", object)
        elif dtype.kind in "fV":
            fed[feed.address] = random.uniform(-1, 1, shape).astype(dtype)
        else:
            fed[feed.address] = random.integers(0, 2, shape).astype(dtype)
    return fed


def _varying(shapes: Sequence[tuple[int, ...]]) -> tuple[int | None, ...]:
    if len({len(shape) for shape in shapes}) != 1:
        return ()
    return tuple(
        sizes[0] if len(set(sizes)) == 1 and len(shapes) > 1 else None for sizes in zip(*shapes, strict=True)
    )


def _why_not_joined(plan: GraphPlan, inputs: Sequence[Feed], outputs: Mapping[Address, Any]) -> str:
    if plan.has_control_flow:
        return "it has control flow, which may depend on all rows at once"
    if not inputs:
        return "it has no inputs"
    for feed in inputs:
        if not feed.shape or feed.shape[0] is not None:
            return f"the leading dimension of input '{feed.name or feed.address}' is not open"
    for address, (_, shape) in outputs.items():
        if not shape or shape[0] is not None:
            return f"the leading dimension of output {address} does not follow the rows"
    return ""
