"""What a graph's outputs look like, and whether its rows are independent: found by running it on made-up inputs.

A graph's file declares neither. It is run on one, two and three rows; what then fits together is taken for true.
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

__all__ = ["Probe", "probe"]

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
        Empty: rows are independent, and requests may be joined.
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

    runs = []
    for size in _SIZES:
        try:
            fed = _made_up(inputs, size)
            runs.append((fed, engine.run(fed, wanted, is_late)))
        except (CancelledRunError, OperationError, ValueError):
            continue
    if not runs:
        return Probe(outputs={}, why_not_batchable="a trial run on made-up inputs failed")
    outputs = {
        address: (array.dtype, _varying([values[address].shape for _, values in runs if address in values]))
        for address, array in runs[0][1].items()
    }
    why_not = _why_not_joined(plan, inputs, outputs) or _why_dependent(runs[0], wanted, engine, is_late)
    return Probe(outputs=outputs, why_not_batchable=why_not)


def _made_up(inputs: Sequence[Feed], size: int) -> dict[Address, Array]:
    """Make inputs: numbers around 0, integers 0 or 1, texts that are empty; unknown dimensions of one size."""
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


def _why_dependent(
    run: tuple[Mapping[Address, Array], Mapping[Address, Array]],
    wanted: Sequence[int],
    engine: Engine,
    is_late: Callable[[], bool],
) -> str:
    """Compare a run of several rows with one run for each of them."""
    fed, together = run
    rows = _SIZES[0]
    try:
        alone = [
            engine.run({key: each[row : row + 1] for key, each in fed.items()}, wanted, is_late)
            for row in range(rows)
        ]
    except (CancelledRunError, OperationError):
        return "a trial run of one row failed"
    for address, array in together.items():
        if array.shape[0] != rows or any(address not in each for each in alone):
            return f"output {address} does not have a row for each of the inputs'"
        joined = np.concatenate([each[address] for each in alone])
        if joined.shape != array.shape or not _close(joined, array):
            return f"rows of output {address} depend on other rows"
    return ""


def _close(x: Array, y: Array) -> bool:
    if x.dtype.kind in "fV":
        return np.allclose(x.astype(np.float64), y.astype(np.float64), rtol=1e-3, atol=1e-5, equal_nan=True)
    return bool(np.array_equal(x, y))
