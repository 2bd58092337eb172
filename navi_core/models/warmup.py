"""Warm-up: run a version before anybody waits for it, and see whether its outputs follow the rows.

Inputs are zeros (empty strings). A model that refuses them is no worse for it: the finding is noted, and
what its shapes say about batching stands, checked at every run. Requests that the model brings along are
:mod:`navi_core.models.replay`'s.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import structlog

from navi_core.batching.buffers import BufferPool
from navi_core.batching.execution import BatchContext, Task
from navi_core.contracts.runtime import RunContext, Servable
from navi_core.signature import Signature, default_value, format_shape, zero_rows
from navi_core.types import NamedArrays

__all__ = ["DEFAULT_ROWS", "run_now", "warm_up"]

log = structlog.get_logger(__name__)

_MAX_NOTE: Final = 200

DEFAULT_ROWS: Final = (1, 2)
"""Two different row counts: one alone cannot tell a batch dimension from a fixed one."""


def warm_up(
    servable: Servable, signatures: Mapping[str, Signature], rows: Sequence[int], *, model: str
) -> tuple[dict[str, Signature], list[str]]:
    """Run every signature with every row count.

    Parameters
    ----------
    servable
        The loaded version.
    signatures
        Its signatures, after the configuration's say.
    rows
        Row counts for signatures that batch; the others run once.
    model
        For the log.

    Returns
    -------
    signatures, notes
        The signatures, not batchable where an output does not follow the rows; and what a person
        should know.
    """
    found: dict[str, Signature] = {}
    notes: list[str] = []
    for name, signature in signatures.items():
        shapes: dict[int, dict[str, tuple[int, ...]]] = {}
        for num_rows in rows if signature.batchable else rows[:1]:
            try:
                inputs = _zeros(signature, num_rows)
                outputs = _run(servable, name, inputs, tuple(signature.outputs), num_rows)
            except Exception as error:
                notes.append(
                    f"signature '{name}': the warm-up with {num_rows} rows of zeros failed: {_short(error)}"
                )
                log.info("warmup_refused", model=model, signature=name, rows=num_rows, error=str(error))
                break
            shapes[num_rows] = {output: array.shape for output, array in outputs.items()}
        if signature.batchable and len(set(rows)) < 2:
            notes.append(f"signature '{name}': one row count cannot tell whether the outputs follow the rows")
        because = _why_rows_do_not_follow(shapes) if signature.batchable else ""
        if because:
            notes.append(f"signature '{name}' runs requests alone: {because}")
            log.warning("outputs_do_not_follow_rows", model=model, signature=name, detail=because)
            found[name] = dataclasses.replace(signature, batchable=False, not_batchable_because=because)
        else:
            found[name] = signature
    return found, notes


def _zeros(signature: Signature, num_rows: int) -> NamedArrays:
    """Return inputs of zeros; defaults where there are any, and what the model knows itself is left out."""
    inputs = {}
    for spec in signature.inputs.values():
        if spec.default is not None:
            has_rows = signature.batchable and not spec.is_per_request
            inputs[spec.name] = np.asarray(default_value(spec, num_rows if has_rows else None), order="C")
        elif not spec.optional:
            inputs[spec.name] = zero_rows(spec, num_rows)
    return inputs


def _run(
    servable: Servable, name: str, inputs: NamedArrays, outputs: tuple[str, ...], num_rows: int
) -> NamedArrays:
    tasks = [Task(inputs=inputs, plan=None, num_rows=num_rows)]
    context = BatchContext(tasks, np.asarray([num_rows], dtype=np.int64), {}, BufferPool().lease())
    return run_now(servable, name, inputs, outputs, context)


def run_now(
    servable: Servable, name: str, inputs: NamedArrays, outputs: Sequence[str], context: RunContext
) -> NamedArrays:
    """Run a servable and wait for it, whether it blocks or is async. On a loader thread, which has no loop."""
    result = servable.run(name, inputs, outputs, context)
    if not inspect.isawaitable(result):
        return result

    async def wait() -> NamedArrays:
        return await result

    return asyncio.run(wait())


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MAX_NOTE else f"{text[:_MAX_NOTE]}..."


def _why_rows_do_not_follow(shapes: Mapping[int, Mapping[str, tuple[int, ...]]]) -> str:
    for num_rows, outputs in shapes.items():
        for name, shape in outputs.items():
            if not shape or shape[0] != num_rows:
                return f"output '{name}' has shape {format_shape(shape)} for {num_rows} rows"
    rest = {
        num_rows: {name: shape[1:] for name, shape in outputs.items()} for num_rows, outputs in shapes.items()
    }
    first = next(iter(rest.values()), {})
    for outputs in rest.values():
        for name, shape in outputs.items():
            if shape != first.get(name):
                return f"rows of output '{name}' have shape {format_shape(first[name])} in one run and {format_shape(shape)} in another"
    return ""
