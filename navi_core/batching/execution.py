"""One batch from waiting requests to answers: gather, run, split.

:func:`batch_steps` is a generator: it yields what to run and is sent what came out (or has the failure
thrown in), so that the same logic drives blocking servables on a worker thread and async ones on the loop. It
never raises for what a request or the model did wrong: every task gets an outcome.

What fails alone, fails alone: a ``fill`` that raises costs its own request; a run of several requests that
raises, or whose outputs do not have the batch's rows, is repeated once for each request (not when memory ran
out). A run of a single request is given back as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import structlog

from navi_core.batching.buffers import BufferPool, Lease
from navi_core.batching.contexts import BatchContext
from navi_core.batching.failures import as_navi_error, check_computed
from navi_core.batching.gathering import gather
from navi_core.batching.queue import pad_rows
from navi_core.batching.tasks import BatchReport, Outcome, Task
from navi_core.contracts.runtime import Servable
from navi_core.errors import InferenceError, NaviError, RequestCancelledError
from navi_core.models.served import ServedSignature
from navi_core.signature import format_shape
from navi_core.types import Int64Array, NamedArrays, Parameters

__all__ = ["Run", "Steps", "batch_steps", "run_blocking"]

log = structlog.get_logger(__name__)

_NO_ROWS: Final[Int64Array] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Run:
    """One run that the driver is asked to make."""

    inputs: NamedArrays
    context: BatchContext


Steps: TypeAlias = Generator[Run, NamedArrays, list[Outcome]]


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Everything that the steps share."""

    served: ServedSignature
    outputs: tuple[str, ...]
    parameters: Parameters
    allowed_rows: Sequence[int]
    pool: BufferPool
    report: BatchReport
    model: str
    now: Callable[[], float] = time.perf_counter


class _RowsMismatchError(Exception):
    """An output's leading dimension is not the batch's."""


def batch_steps(
    tasks: Sequence[Task],
    *,
    served: ServedSignature,
    outputs: tuple[str, ...],
    parameters: Parameters,
    allowed_rows: Sequence[int],
    pool: BufferPool,
    report: BatchReport,
    model: str = "",
) -> Steps:
    """Gather, run and split one batch.

    Parameters
    ----------
    tasks
        Requests of one batch key, oldest first; at least one.
    served
        Their signature.
    outputs
        The outputs that they ask for.
    parameters
        Request parameters that reach the runtime.
    allowed_rows
        Row counts to pad to; empty: none.
    pool
        Where buffers come from.
    report
        Filled in.
    model
        For error texts.

    Yields
    ------
    run
        What to run; send its outputs, or throw its failure.

    Returns
    -------
    outcomes
        One for each task, in order.
    """
    batch = _Batch(
        served=served,
        outputs=outputs,
        parameters=parameters,
        allowed_rows=allowed_rows,
        pool=pool,
        report=report,
        model=model,
    )
    now = time.monotonic()  # a worker may have been long in coming
    refusals = [task.why_not_run(now) for task in tasks]
    live = [task for task, refusal in zip(tasks, refusals, strict=True) if refusal is None]
    report.refused += [refusal for refusal in refusals if refusal is not None]
    report.num_rows = sum(task.num_rows for task in live)
    outcomes = iter((yield from _run_all(batch, live)) if live else ())
    return [next(outcomes) if refusal is None else Outcome(error=refusal) for refusal in refusals]


def _run_all(batch: _Batch, tasks: Sequence[Task]) -> Steps:
    """Run tasks together, or one by one where that fails."""
    report, model = batch.report, batch.model
    try:
        return (yield from _joint(batch, tasks))
    except _RowsMismatchError as error:
        log.warning(
            "batch_rows_mismatch",
            model=model,
            signature=batch.served.name,
            detail=str(error),
            requests=len(tasks),
        )
    except Exception as error:
        failure = as_navi_error(error, model)
        report.ok = False
        out_of_memory = isinstance(failure, InferenceError) and failure.out_of_memory
        if len(tasks) == 1 or out_of_memory:
            return [Outcome(error=failure) for _ in tasks]
    # One by one, so that a bad request fails alone and no answer is split wrongly.
    outcomes = []
    for task in tasks:
        if task.is_gone:
            outcomes.append(Outcome(error=RequestCancelledError("the caller has gone")))
            continue
        report.retried += 1
        try:
            outcomes += yield from _joint(batch, [task], pad=False)
        except Exception as error:
            outcomes.append(Outcome(error=as_navi_error(error, model)))
    return outcomes


def run_blocking(steps: Steps, servable: Servable, signature: str, outputs: tuple[str, ...]) -> list[Outcome]:
    """Drive the steps with a blocking servable, on this thread."""
    try:
        run = next(steps)
        while True:
            try:
                result = servable.run(signature, run.inputs, outputs, run.context)
            except Exception as error:
                run = steps.throw(error)
            else:
                run = steps.send(result)  # type: ignore[arg-type]  # async servables are driven elsewhere
    except StopIteration as stop:
        outcomes: list[Outcome] = stop.value
        return outcomes


def _joint(batch: _Batch, tasks: Sequence[Task], *, pad: bool = True) -> Steps:
    """Run all tasks together; raises what the run raised, or that the rows do not fit."""
    report, served = batch.report, batch.served
    total = sum(task.num_rows for task in tasks)
    rows = pad_rows(total, batch.allowed_rows) if pad and served.model.batchable else total
    input_lease = batch.pool.lease()
    output_lease = batch.pool.lease(len(tasks))
    started = batch.now()
    try:
        inputs, errors = gather(served, tasks, rows, input_lease, batch.model)
        row_ends = None if served.model.batchable else _NO_ROWS
        context = BatchContext(tasks, row_ends, batch.parameters, output_lease)
        ran_at = batch.now()
        report.convert_seconds += ran_at - started
        report.padding_rows += rows - total
        if len(errors) == len(tasks):
            return [Outcome(error=errors[index]) for index in range(len(tasks))]
        try:
            result = yield Run(inputs, context)
        finally:
            report.run_seconds += batch.now() - ran_at
    finally:
        input_lease.release()  # run keeps no input and answers with no view of one
    lease = None if output_lease.is_empty else output_lease
    return _split(batch, tasks, errors, result, rows, lease)


def _split(
    batch: _Batch,
    tasks: Sequence[Task],
    errors: Mapping[int, NaviError],
    result: NamedArrays,
    rows: int,
    lease: Lease | None,
) -> list[Outcome]:
    """Give each task its rows: views, no copies."""
    check_computed(batch.outputs, result, batch.model)
    whole = len(tasks) == 1 and rows == tasks[0].num_rows
    if not whole and batch.served.model.batchable:
        for name in batch.outputs:
            array = result[name]
            if array.ndim == 0 or array.shape[0] != rows:
                msg = f"output '{name}' has shape {format_shape(array.shape)} for a batch of {rows} rows"
                raise _RowsMismatchError(msg)
    outcomes = []
    start = 0
    for index, task in enumerate(tasks):
        stop = start + task.num_rows
        error = errors.get(index)
        if error is not None:
            if lease is not None:
                lease.release()
            outcomes.append(Outcome(error=error))
        else:
            own = {name: result[name] if whole else result[name][start:stop] for name in batch.outputs}
            outcomes.append(_encode(batch, task, own, lease))
        start = stop
    return outcomes


def _encode(batch: _Batch, task: Task, own: NamedArrays, lease: Lease | None) -> Outcome:
    converter = batch.served.converter
    if task.plan is None or converter is None:
        return Outcome(outputs=own, lease=lease)
    try:
        return Outcome(outputs=converter.encode(own, task.plan), lease=lease)
    except Exception as error:
        if lease is not None:
            lease.release()
        return Outcome(error=as_navi_error(error, batch.model))
