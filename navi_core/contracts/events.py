"""What observers are told."""

from __future__ import annotations

from dataclasses import dataclass

from navi_core.contracts.versions import ServableState
from navi_core.errors import ErrorCode

__all__ = ["RequestFinished", "StateChanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """A version moved to another state.

    Parameters
    ----------
    model, version
        Which.
    before, after
        The states; ``before`` is None when the version is new.
    error
        Why it ended, where it ended badly; else empty.
    """

    model: str
    version: int
    before: ServableState | None
    after: ServableState
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished:
    """A request was answered.

    Parameters
    ----------
    model, version, signature
        What answered. Where nothing did: the model that was asked for (empty: the request does not say),
        version 0 if it could not be resolved, and an empty signature.
    service, transport, method
        Who asked.
    code, reason
        The outcome.
    num_rows
        Rows of the request; 0 where it is not batchable.
    batch_rows
        Rows of the batch that it ran in.
    queue_seconds, run_seconds, total_seconds
        Where the time went, from the decoded request on; 0: it was refused before that.
    """

    model: str
    version: int
    signature: str
    service: str
    transport: str
    method: str
    code: ErrorCode
    reason: str
    num_rows: int
    batch_rows: int
    queue_seconds: float
    run_seconds: float
    total_seconds: float
