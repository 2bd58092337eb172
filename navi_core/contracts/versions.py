"""What is told of a model's versions: their states, and what they have answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from navi_core.errors import ErrorCode

__all__ = ["BatchTally", "ServableState", "Tally", "VersionStatistics", "VersionStatus"]


class ServableState(StrEnum):
    """The public states of a version; they only move forward. An error stands beside END."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStatus:
    """One version's state, as status calls show it.

    Parameters
    ----------
    version
        The version's number.
    state
        Where it is in its life.
    error_code, error_message
        Why it ended, where it ended badly; of an available one, why what its contents were replaced with cannot be
        loaded (it serves what it has).
    labels
        The version labels that point here.
    """

    version: int
    state: ServableState
    error_code: ErrorCode = ErrorCode.OK
    error_message: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened, and how many nanoseconds it took altogether."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchTally:
    """The runs of batches of ``num_rows`` rows."""

    num_rows: int
    run: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStatistics:
    """What one version answered since it was first asked.

    Parameters
    ----------
    version
        The version's number.
    num_rows
        Rows answered; a request that does not batch is one.
    num_runs
        Runs of the model that they took.
    last_request_ms
        When the last answer was made, in milliseconds since 1970; 0: there was none.
    success, fail
        Requests, from their arrival at the data plane to the answer or error.
    queue, prepare, run, encode
        Parts of the successful ones: waiting, checking and planning, the model's run (of the whole batch),
        writing the answer.
    batches
        Runs by batch size, smallest first.
    """

    version: int
    num_rows: int = 0
    num_runs: int = 0
    last_request_ms: int = 0
    success: Tally = Tally()
    fail: Tally = Tally()
    queue: Tally = Tally()
    prepare: Tally = Tally()
    run: Tally = Tally()
    encode: Tally = Tally()
    batches: tuple[BatchTally, ...] = ()
