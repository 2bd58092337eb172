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
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import structlog

from navi_core.batching.buffers import BufferPool, Lease
from navi_core.batching.late import late
from navi_core.batching.queue import pad_rows
from navi_core.contracts.converter import Plan
from navi_core.contracts.runtime import Servable
from navi_core.errors import (
    ErrorCode,
    InferenceError,
    NaviError,
    RequestCancelledError,
    StaleRequestError,
)
from navi_core.models.served import ServedSignature
from navi_core.signature import default_value, format_shape
from navi_core.tensors import numpy_dtype
from navi_core.types import Array, Int64Array, NamedArrays, Parameters

__all__ = ["BatchContext", "BatchReport", "Outcome", "Run", "Task", "batch_steps", "run_blocking"]

log = structlog.get_logger(__name__)

_NO_ROWS: Final[Int64Array] = np.empty(0, dtype=np.int64)


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """What running needs to know of one request.

    Parameters
    ----------
    inputs
        The model's inputs; empty when ``plan`` fills them.
    plan
        The converter's plan; None: ``inputs`` are arrays.
    num_rows
        Rows it adds.
    deadline, stale_at
        When its caller gives up, and when it has waited too long; in seconds on the monotonic clock; None: never.
    is_gone
        Set when its caller has gone or has been answered otherwise.
    """

    inputs: NamedArrays
    plan: Plan | None
    num_rows: int
    deadline: float | None = None
    stale_at: float | None = None
    is_gone: bool = False

    def why_not_run(self, now: float) -> NaviError | None:
        """Return why a run for this task would be of no use any more; None: it is of use."""
        if self.deadline is not None and now >= self.deadline:
            return late("queue")
        if self.is_gone:
            return RequestCancelledError("the caller has gone")
        if self.stale_at is not None and now >= self.stale_at:
            return StaleRequestError("the request waited too long and was dropped")
        return None


@dataclass(slots=True)
class Outcome:
    """One task's answer: outputs, or an error. ``lease`` is a share of the outputs' buffers."""

    outputs: NamedArrays | None = None
    error: NaviError | None = None
    lease: Lease | None = None


@dataclass(slots=True)
class BatchReport:
    """What a batch cost.

    Parameters
    ----------
    num_rows, padding_rows
        Rows asked for, and rows added to reach an allowed size.
    convert_seconds, run_seconds
        Gathering (kernels, copies), and the model.
    ok
        The joint run succeeded.
    retried
        Requests that were run again alone.
    refused
        Requests that turned out to be late, stale or abandoned before the run.
    """

    num_rows: int = 0
    padding_rows: int = 0
    convert_seconds: float = 0.0
    run_seconds: float = 0.0
    ok: bool = True
    retried: int = 0
    refused: list[NaviError] = field(default_factory=list)


class BatchContext:
    """The :class:`~navi_core.contracts.runtime.RunContext` of one run."""

    __slots__ = ("_lease", "_tasks", "deadline", "parameters", "row_ends")

    def __init__(
        self, tasks: Sequence[Task], row_ends: Int64Array, parameters: Parameters, lease: Lease
    ) -> None:
        self._tasks = tasks
        self._lease = lease
        self.row_ends = row_ends
        self.parameters = parameters
        deadlines = [task.deadline for task in tasks]
        self.deadline = None if None in deadlines else max(d for d in deadlines if d is not None)

    def is_cancelled(self) -> bool:
        """Tell whether every caller of the batch has gone."""
        return all(task.is_gone for task in self._tasks)

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an uninitialised array from the pool."""
        return self._lease.allocate(shape, dtype)


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
    errors: dict[int, NaviError] = field(default_factory=dict)


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
        failure = _as_navi_error(error, model)
        report.ok = False
        out_of_memory = isinstance(failure, InferenceError) and failure.out_of_memory
        if len(tasks) == 1 or out_of_memory:
            return [Outcome(error=failure) for _ in tasks]
    # One by one, so that a bad request fails alone and no answer is split wrongly.
    outcomes = []
    for task in tasks:
        batch.errors.clear()
        if task.is_gone:
            outcomes.append(Outcome(error=RequestCancelledError("the caller has gone")))
            continue
        report.retried += 1
        try:
            outcomes += yield from _joint(batch, [task], pad=False)
        except Exception as error:
            outcomes.append(Outcome(error=_as_navi_error(error, model)))
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
        inputs = _gather(batch, tasks, total, rows, input_lease)
        row_ends = (
            np.cumsum([task.num_rows for task in tasks], dtype=np.int64)
            if served.model.batchable
            else _NO_ROWS
        )
        context = BatchContext(tasks, row_ends, batch.parameters, output_lease)
        ran_at = batch.now()
        report.convert_seconds += ran_at - started
        report.padding_rows += rows - total
        if len(batch.errors) == len(tasks):
            return [Outcome(error=batch.errors[index]) for index in range(len(tasks))]
        try:
            result = yield Run(inputs, context)
        finally:
            report.run_seconds += batch.now() - ran_at
    finally:
        input_lease.release()  # run keeps no input and answers with no view of one
    lease = None if output_lease.is_empty else output_lease
    return _split(batch, tasks, result, rows, lease)


def _gather(batch: _Batch, tasks: Sequence[Task], total: int, rows: int, lease: Lease) -> NamedArrays:
    """Bring the tasks' rows together, and add what nobody sent and the model does not know itself."""
    inputs = _joined(batch, tasks, total, rows, lease)
    signature = batch.served.model
    if len(inputs) == len(signature.inputs):
        return inputs
    defaults = {
        spec.name: np.asarray(
            default_value(spec, rows if signature.batchable and not spec.is_per_request else None), order="C"
        )
        for spec in signature.inputs.values()
        if spec.default is not None and spec.name not in inputs
    }
    return {**inputs, **defaults} if defaults else inputs


def _joined(batch: _Batch, tasks: Sequence[Task], total: int, rows: int, lease: Lease) -> NamedArrays:
    """Bring the tasks' rows together: each fills its own; a batch of one is given as it is."""
    first = tasks[0]
    if len(tasks) == 1 and rows == total and first.plan is None:
        return first.inputs
    if first.plan is not None:
        shapes = {name: (row.shape, numpy_dtype(row.dtype)) for name, row in first.plan.rows.items()}
    else:
        shapes = {name: (array.shape[1:], array.dtype) for name, array in first.inputs.items()}
    buffers = {name: lease.allocate((rows, *shape), dtype) for name, (shape, dtype) in shapes.items()}
    start = 0
    for index, task in enumerate(tasks):
        stop = start + task.num_rows
        own = {name: buffer[start:stop] for name, buffer in buffers.items()}
        try:
            _fill(batch.served, task, own)
        except Exception as error:
            batch.errors[index] = _as_navi_error(error, batch.model)
            for view in own.values():
                view[...] = b"" if view.dtype.hasobject else 0
        start = stop
    if rows > total:
        for buffer in buffers.values():
            buffer[total:] = buffer[:1]
    return buffers


def _fill(served: ServedSignature, task: Task, out: Mapping[str, Array]) -> None:
    if task.plan is not None and served.converter is not None:
        served.converter.fill(task.plan, out)
    else:
        for name, array in task.inputs.items():
            np.copyto(out[name], array)


def _split(
    batch: _Batch, tasks: Sequence[Task], result: NamedArrays, rows: int, lease: Lease | None
) -> list[Outcome]:
    """Give each task its rows."""
    missing = [name for name in batch.outputs if name not in result]
    if missing:
        msg = f"the runtime did not compute output '{missing[0]}' (model '{batch.model}')"
        raise InferenceError(msg, model=batch.model)
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
        error = batch.errors.get(index)
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
        return Outcome(error=_as_navi_error(error, batch.model))


def _as_navi_error(error: BaseException, model: str) -> NaviError:
    """Return a typed error; what is not one already is logged and hidden behind an opaque text."""
    if isinstance(error, NaviError):
        return error
    if isinstance(error, MemoryError):
        return InferenceError(
            f"out of memory while running model '{model}'",
            model=model,
            out_of_memory=True,
            code=ErrorCode.RESOURCE_EXHAUSTED,
            reason="out_of_memory",
        )
    log.error("run_failed", model=model, exc_info=error)
    return InferenceError(f"running model '{model}' failed: {type(error).__name__}", model=model)
