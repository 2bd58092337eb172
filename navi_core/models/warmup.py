"""Warm-up: run a version before anybody waits for it, and see whether its outputs follow the rows.

Inputs are small random numbers, the same ones in every run, integers zero and strings empty. A model that refuses
them is no worse for it: the finding is noted, and what its shapes say about batching stands, checked at every run.
A row that is answered otherwise when other rows run beside it may not share a batch with strangers' rows.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import structlog

from navi_core.batching.buffers import BufferPool
from navi_core.batching.contexts import BatchContext
from navi_core.batching.tasks import Task
from navi_core.contracts.runtime import RunContext, Servable
from navi_core.errors import TensorMismatchError
from navi_core.signature import Signature, default_value, format_shape, why_not_batchable, zero_rows
from navi_core.tensors import DType
from navi_core.types import Array, NamedArrays

__all__ = ["DEFAULT_ROWS", "run_now", "warm_up"]

log = structlog.get_logger(__name__)

_MAX_NOTE: Final = 200

_SEED: Final = 20260
_MAX_SAMPLED: Final = 1 << 24
"""Elements: a larger input stays zero, since making random numbers would take longer than the run."""

_TOLERANCE: Final = 0.01
"""Of the largest value: kernels for one row and for many sum in another order, in halves too."""

_REAL: Final = frozenset({DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64})

DEFAULT_ROWS: Final = (1, 2)
"""Two different row counts: one alone cannot tell a batch dimension from a fixed one."""


def warm_up(
    servable: Servable,
    signatures: Mapping[str, Signature],
    rows: Sequence[int],
    *,
    model: str,
    batched: Collection[str] = (),
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
    batched
        Signatures that the configuration says to batch, whatever their values say.

    Returns
    -------
    signatures, notes
        The signatures, not batchable where an output does not follow the rows or mixes them; and what a
        person should know.
    """
    found: dict[str, Signature] = {}
    notes: list[str] = []
    for name, signature in signatures.items():
        counts = tuple(dict.fromkeys(rows)) if signature.batchable else rows[:1]
        try:
            inputs = _sample(signature, max(counts))
        except TensorMismatchError as error:
            notes.append(f"signature '{name}' was not warmed up: {error.message}")
            found[name] = signature
            continue
        seen: dict[int, NamedArrays] = {}
        for num_rows in counts:
            try:
                seen[num_rows] = _run(
                    servable, name, signature, _first(signature, inputs, num_rows), num_rows
                )
            except Exception as error:
                log.info("warmup_refused", model=model, signature=name, rows=num_rows, error=str(error))
                if not _has_text(signature):  # no empty text is what a model of texts expects
                    counted = "1 row" if num_rows == 1 else f"{num_rows} rows"
                    notes.append(f"signature '{name}': the warm-up with {counted} failed: {_short(error)}")
                break
        found[name] = signature
        if not signature.batchable:
            continue
        if len(counts) < 2:
            notes.append(f"signature '{name}': one row count cannot tell whether the outputs follow the rows")
        shapes = {
            num_rows: {output: array.shape for output, array in outputs.items()}
            for num_rows, outputs in seen.items()
        }
        because = _why_rows_do_not_follow(shapes)
        if not because and (output := _mixing_output(seen)):
            fewest = min(seen)
            if not _repeats(
                servable, name, signature, _first(signature, inputs, fewest), output, seen[fewest]
            ):
                notes.append(f"signature '{name}': output '{output}' is another one in every run")
            elif name in batched:
                notes.append(
                    f"signature '{name}': output '{output}' of a row depends on the rows beside it, and the "
                    "configuration says that it is batched"
                )
            else:
                because = f"output '{output}' of a row depends on the rows beside it"
        if because:
            notes.append(f"signature '{name}' runs requests alone: {because}")
            log.warning("outputs_do_not_follow_rows", model=model, signature=name, detail=because)
            found[name] = dataclasses.replace(signature, batchable=False, not_batchable_because=because)
    return found, notes


def _sample(signature: Signature, num_rows: int) -> NamedArrays:
    """Return inputs to try a model with; defaults where there are any, what the model knows itself is left out."""
    random = np.random.default_rng(_SEED)
    has_rows = signature.batchable or not why_not_batchable(signature.inputs, {})
    inputs = {}
    for spec in signature.inputs.values():
        if spec.default is not None:
            rows = num_rows if has_rows and not spec.is_per_request else None
            inputs[spec.name] = np.asarray(default_value(spec, rows), order="C")
        elif not spec.optional:
            array = zero_rows(spec, num_rows)
            if spec.dtype in _REAL and array.size <= _MAX_SAMPLED:
                array = random.random(array.shape, np.float32).astype(array.dtype)
            inputs[spec.name] = array
    return inputs


def _first(signature: Signature, inputs: NamedArrays, num_rows: int) -> NamedArrays:
    """Return the first rows of every input that has rows."""
    if not signature.batchable:
        return inputs
    return {
        name: array if signature.inputs[name].is_per_request else array[:num_rows]
        for name, array in inputs.items()
    }


def _has_text(signature: Signature) -> bool:
    return any(spec.dtype is DType.STRING for spec in signature.inputs.values())


def _mixing_output(seen: Mapping[int, NamedArrays]) -> str:
    """Return an output whose first rows are other ones where more rows ran; empty: none. Shapes follow the rows."""
    if len(seen) < 2:
        return ""
    fewest, most = min(seen), max(seen)
    for name, array in seen[fewest].items():
        if not _agree(array, seen[most][name][:fewest]):
            return name
    return ""


def _repeats(
    servable: Servable,
    name: str,
    signature: Signature,
    inputs: NamedArrays,
    output: str,
    before: NamedArrays,
) -> bool:
    """Tell whether the same inputs give the same output again."""
    try:
        again = _run(servable, name, signature, inputs, len(before[output]))
    except Exception as error:
        log.info("warmup_refused", signature=name, error=str(error))
        return False
    return _agree(again[output], before[output])


def _agree(one: Array, other: Array) -> bool:
    """Tell whether floats are equal but for the order of sums; whole numbers may be near a threshold and say nothing."""
    if one.dtype.kind != "f" or one.size == 0:
        return True
    a, b = one.astype(np.float64), other.astype(np.float64)
    scale = float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b)))
    return bool(np.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True))


def _run(
    servable: Servable, name: str, signature: Signature, inputs: NamedArrays, num_rows: int
) -> NamedArrays:
    tasks = [Task(inputs=inputs, plan=None, num_rows=num_rows)]
    context = BatchContext(tasks, np.asarray([num_rows], dtype=np.int64), {}, BufferPool().lease())
    return run_now(servable, name, inputs, tuple(signature.outputs), context)


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
