"""What the generator and its worker processes tell each other: one JSON document a line."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from navi_core.bench.load import LoadPlan, Target
from navi_core.bench.tally import Tally

__all__ = ["Begin", "Ended", "FromWorker", "Progress", "Ready", "Refused", "WorkerOrder"]


class WorkerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The first line to a worker.

    Attributes
    ----------
    target, plan
        The plan as a whole; the numbers of lanes, connections and requests are this worker's own.
    part, num_parts
        Which worker this is: it sends its part of a schedule.
    expected
        The right answer; None: answers are not compared.
    """

    target: Target
    plan: LoadPlan
    part: int
    num_parts: int
    expected: bytes | None = None


class Begin(msgspec.Struct, frozen=True):
    """The second line to a worker: when to begin, by the system's monotonic clock. The end of stdin means stop."""

    at_ns: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker is connected."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The worker could not connect."""

    text: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """So many requests have ended, warm-up included."""

    num_ended: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The worker is done."""

    tally: Tally


FromWorker: TypeAlias = Ready | Refused | Progress | Ended
