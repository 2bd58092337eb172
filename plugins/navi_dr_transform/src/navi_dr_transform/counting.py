"""What a bound converter counts: records, features, time, and the values of the features that are reported.

Kernels count into arrays that one request has for itself; they are added up here, under a lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import count
from threading import Lock
from typing import Final

import numpy as np

from navi_core import ConverterMetric, HistogramValue
from navi_dr_transform.reports import BOUNDS, Reported, Reports
from navi_dr_transform.tables import NUM_COUNTERS, Counter, Int64Array

__all__ = ["Counting"]

_RECORD_SECONDS: Final = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2)


class Counting:
    """Sums over all requests. Thread-safe.

    Parameters
    ----------
    reports
        The features whose values are reported.
    count_every
        Of so many requests one's features are counted, which costs a second lookup of each; 0: of none.
    """

    def __init__(self, reports: Reports, count_every: int) -> None:
        self._reports = reports
        self._count_every = count_every
        self._requests = count()
        self._lock = Lock()
        self._num_records = 0
        self._counters = np.zeros(NUM_COUNTERS, np.int64)
        self._reported = reports.new()
        self._seconds_counts = [0] * (len(_RECORD_SECONDS) + 1)
        self._seconds = 0.0

    @property
    def reports(self) -> Reports:
        """The features whose values are reported."""
        return self._reports

    def new(self) -> tuple[Int64Array | None, Reported | None]:
        """Return what one request's features and their values are counted in; None where they are not."""
        # counting up is atomic
        is_counted = self._count_every > 0 and next(self._requests) % self._count_every == 0
        counters = np.zeros(NUM_COUNTERS, np.int64) if is_counted else None
        return counters, self._reports.new() if len(self._reports) else None

    def add(
        self, num_records: int, seconds: float, counters: Int64Array | None, reported: Reported | None
    ) -> None:
        """Add one request.

        Parameters
        ----------
        num_records
            Its records.
        seconds
            Time that it took, planning and filling together.
        counters, reported
            What ``new`` gave, filled by kernels.
        """
        with self._lock:
            self._num_records += num_records
            if counters is not None:
                self._counters += counters
            if reported is not None:
                self._reported.counts += reported.counts
                self._reported.sums += reported.sums
            if num_records:
                # as many observations as records: each took its share
                self._seconds_counts[bisect_left(_RECORD_SECONDS, seconds / num_records)] += num_records
            self._seconds += seconds

    def metrics(self) -> Sequence[ConverterMetric]:
        """Return what was counted so far."""
        with self._lock:
            num_records, counters = self._num_records, self._counters.tolist()
            counts, sums = self._reported.counts.tolist(), self._reported.sums.tolist()
            seconds = HistogramValue(list(self._seconds_counts), self._seconds)
        found = [
            ConverterMetric(
                name="records_total",
                kind="counter",
                meaning="Records that became rows.",
                unit="records",
                samples=[((), num_records)],
            ),
            ConverterMetric(
                name="record_seconds",
                kind="histogram",
                meaning="Time to decode one record: of its request's time its share.",
                unit="seconds",
                bounds=_RECORD_SECONDS,
                samples=[((), seconds)],
            ),
        ]
        if self._count_every:
            found.append(_features(counters))
        found += (
            ConverterMetric(
                name=f"{kind}_feature_value",
                kind="histogram",
                meaning=f"Values of the {kind} features that are reported.",
                labels=("feature_id",),
                bounds=BOUNDS,
                samples=[
                    ((str(feature_id),), HistogramValue(counts[row], sums[row]))
                    for feature_id, row in rows.items()
                ],
            )
            for kind, rows in self._reports.rows.items()
            if rows
        )
        return found


def _features(counters: Sequence[int]) -> ConverterMetric:
    samples: list[tuple[tuple[str, ...], float]] = []
    for kind, seen, matched in (
        ("scalar", counters[Counter.FEATURES], counters[Counter.MATCHED]),
        ("tensor", counters[Counter.TENSORS], counters[Counter.MATCHED_TENSORS]),
    ):
        samples += [((kind, "matched"), matched), ((kind, "unknown"), seen - matched)]
    return ConverterMetric(
        name="features_total",
        kind="counter",
        meaning="Features of the requests whose features are counted, by whether a tensor has a place for them.",
        unit="features",
        labels=("kind", "outcome"),
        samples=samples,
    )
