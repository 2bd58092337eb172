"""What a batch is made of, and what comes of it: tasks, outcomes, a report."""

from __future__ import annotations

from dataclasses import dataclass, field

from navi_core.batching.buffers import Lease
from navi_core.batching.late import late
from navi_core.contracts.converter import Plan
from navi_core.errors import NaviError, RequestCancelledError, StaleRequestError
from navi_core.metrics.metrics import RunPlace
from navi_core.types import NamedArrays

__all__ = ["BatchReport", "Outcome", "Task"]


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
    where
        Where it ran.
    """

    num_rows: int = 0
    padding_rows: int = 0
    convert_seconds: float = 0.0
    run_seconds: float = 0.0
    ok: bool = True
    retried: int = 0
    refused: list[NaviError] = field(default_factory=list)
    where: RunPlace = "thread"
