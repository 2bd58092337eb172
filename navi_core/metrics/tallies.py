"""Exact counts of what every version answered, for protocols that ask for them by model.

Metrics are for collectors: labelled, bucketed, spread over families. A protocol's statistics are a few plain numbers
a version. Both are fed by the same calls. All of it runs on the event loop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from navi_core.contracts.versions import BatchTally, Tally, VersionStatistics

__all__ = ["Tallies", "VersionTally", "joined_statistics"]

_MAX_BATCH_SIZES: Final = 4096
"""Different batch sizes that are told apart, per version."""


@dataclass(slots=True)
class _Batches:
    """What ran in batches of one size: a batch of three rows counts a third for each of its rows."""

    parts: float = 0.0
    run_seconds: float = 0.0


@dataclass(slots=True)
class VersionTally:
    """What one version answered; plain fields, since every request adds to them."""

    num_success: int = 0
    num_fail: int = 0
    num_encoded: int = 0
    success_seconds: float = 0.0
    fail_seconds: float = 0.0
    queue_seconds: float = 0.0
    prepare_seconds: float = 0.0
    run_seconds: float = 0.0
    encode_seconds: float = 0.0
    rows: int = 0
    last_request_ms: int = 0
    batches: dict[int, _Batches] = field(default_factory=dict)

    def failed(self, total_seconds: float) -> None:
        """Count a request that got an error."""
        self.num_fail += 1
        self.fail_seconds += total_seconds

    def encoded(self, seconds: float) -> None:
        """Count the time that one answer took to encode."""
        self.num_encoded += 1
        self.encode_seconds += seconds

    def succeeded(
        self,
        *,
        num_rows: int,
        batch_rows: int,
        total_seconds: float,
        prepare_seconds: float,
        queue_seconds: float,
        run_seconds: float,
        now_ms: int,
    ) -> None:
        """Count a request that was answered."""
        self.num_success += 1
        self.success_seconds += total_seconds
        self.prepare_seconds += prepare_seconds
        self.queue_seconds += queue_seconds
        self.run_seconds += run_seconds
        self.last_request_ms = now_ms
        rows = num_rows or 1  # what does not batch has no rows
        self.rows += rows
        size = batch_rows or rows
        batches = self.batches.get(size)
        if batches is None:
            # a client cannot make this grow without end
            size = size if len(self.batches) < _MAX_BATCH_SIZES else 0
            batches = self.batches.setdefault(size, _Batches())
        part = min(rows / size, 1.0) if size else 1.0
        batches.parts += part
        batches.run_seconds += run_seconds * part

    def snapshot(self, version: int) -> VersionStatistics:
        """Return the counts so far."""
        counts = {size: round(each.parts) or 1 for size, each in sorted(self.batches.items())}
        return VersionStatistics(
            version=version,
            num_rows=self.rows,
            num_runs=sum(counts.values()),
            last_request_ms=self.last_request_ms,
            success=_tally(self.num_success, self.success_seconds),
            fail=_tally(self.num_fail, self.fail_seconds),
            queue=_tally(self.num_success, self.queue_seconds),
            prepare=_tally(self.num_success, self.prepare_seconds),
            run=_tally(self.num_success, self.run_seconds),
            encode=_tally(self.num_encoded, self.encode_seconds),
            batches=tuple(
                BatchTally(size, _tally(count, self.batches[size].run_seconds))
                for size, count in counts.items()
                if size
            ),
        )


def _tally(count: int, seconds: float) -> Tally:
    return Tally(count, round(seconds * 1e9))


class Tallies:
    """The counts of one host's versions."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], VersionTally] = {}

    def of(self, model: str, version: int) -> VersionTally:
        """Return a version's counts; they begin with its first request."""
        found = self._versions.get((model, version))
        if found is None:
            found = self._versions[model, version] = VersionTally()
        return found

    def get(self, model: str, version: int) -> VersionTally | None:
        """Return a version's counts; None: it had no request."""
        return self._versions.get((model, version))

    def keep(self, known: Collection[tuple[str, int]]) -> None:
        """Forget every (model, version) that is not among ``known``."""
        for key in [key for key in self._versions if key not in known]:
            del self._versions[key]


def joined_statistics(parts: Iterable[Iterable[VersionStatistics]]) -> tuple[VersionStatistics, ...]:
    """Return the statistics of several processes as one's, oldest version first."""
    found: dict[int, VersionStatistics] = {}
    for part in parts:
        for each in part:
            known = found.get(each.version)
            found[each.version] = each if known is None else _joined(known, each)
    return tuple(found[version] for version in sorted(found))


def _joined(ours: VersionStatistics, theirs: VersionStatistics) -> VersionStatistics:
    batches: dict[int, Tally] = {}
    for batch in (*ours.batches, *theirs.batches):
        batches[batch.num_rows] = _added(batches.get(batch.num_rows, Tally()), batch.run)
    return VersionStatistics(
        version=ours.version,
        num_rows=ours.num_rows + theirs.num_rows,
        num_runs=ours.num_runs + theirs.num_runs,
        last_request_ms=max(ours.last_request_ms, theirs.last_request_ms),
        success=_added(ours.success, theirs.success),
        fail=_added(ours.fail, theirs.fail),
        queue=_added(ours.queue, theirs.queue),
        prepare=_added(ours.prepare, theirs.prepare),
        run=_added(ours.run, theirs.run),
        encode=_added(ours.encode, theirs.encode),
        batches=tuple(BatchTally(num_rows, run) for num_rows, run in sorted(batches.items())),
    )


def _added(ours: Tally, theirs: Tally) -> Tally:
    return Tally(ours.count + theirs.count, ours.ns + theirs.ns)
