"""Callers that wait for a batch: what the loop keeps of each, and how all of them are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from navi_core.batching.prepared import Answer, Prepared
from navi_core.batching.queue import CloseReason
from navi_core.batching.tasks import BatchReport, Outcome, Task
from navi_core.errors import InferenceError, NaviError, RequestCancelledError, StaleRequestError
from navi_core.metrics.metrics import SignatureMetrics, WorkSaved

__all__ = ["Pending", "all_failed", "answer", "count"]

_SAVED: Final[dict[type[NaviError], WorkSaved]] = {
    RequestCancelledError: "cancelled",
    StaleRequestError: "stale",
}
"""Why a request was refused before its run -> what metrics call the work saved; else it was late."""


@dataclass(slots=True, eq=False)
class Pending:
    """One queued request or part: what the loop keeps beside the task."""

    request: Prepared
    task: Task
    future: asyncio.Future[Answer]
    metrics: SignatureMetrics
    timer: asyncio.TimerHandle | None = None
    queue_seconds: float = 0.0


def answer(batch: Sequence[Pending], outcomes: Sequence[Outcome], report: BatchReport) -> None:
    """Answer the callers of one batch, which runs no more."""
    for pending, outcome in zip(batch, outcomes, strict=True):
        if pending.future.done():  # cancelled, or answered at its deadline
            if outcome.lease is not None:
                outcome.lease.release()
        elif outcome.error is not None:
            pending.future.set_exception(outcome.error)
        else:
            pending.future.set_result(
                Answer(
                    outputs=outcome.outputs or {},
                    lease=outcome.lease,
                    batch_rows=report.num_rows,
                    queue_seconds=pending.queue_seconds,
                    run_seconds=report.run_seconds,
                )
            )


def count(batch: Sequence[Pending], report: BatchReport, reason: CloseReason) -> None:
    """Write one batch into the metrics of its signature."""
    metrics = batch[0].metrics
    for refusal in report.refused:
        metrics.work_saved(_SAVED.get(type(refusal), "late"))
    metrics.batch_finished(
        [pending.queue_seconds for pending in batch],
        len(batch) - len(report.refused),
        report.num_rows,
        report.padding_rows,
        reason,
        report.convert_seconds,
        report.run_seconds,
        ok=report.ok,
        where=report.where,
    )
    if report.retried:
        metrics.retried(report.retried)


def all_failed(batch: Sequence[Pending], error: BaseException) -> list[Outcome]:
    """Return the outcomes of a batch that ended as a whole."""
    failure = (
        error
        if isinstance(error, NaviError)
        else InferenceError(f"running the batch failed: {type(error).__name__}")
    )
    return [Outcome(error=failure) for _ in batch]
