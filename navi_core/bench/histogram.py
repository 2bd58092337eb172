"""A histogram of latencies with a bounded relative error, in the manner of HdrHistogram.

Each power of two is cut into 128 buckets of equal width, so that a bucket is at most 1/128 of its values wide, and its
middle is at most 1/256 away from each of them. Small values, below 256 ns, have a bucket each. Histograms of several
processes are merged by adding their counts: percentiles of the whole are not means of percentiles.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

__all__ = ["RELATIVE_ERROR", "LatencyHistogram"]

_BITS: Final = 7
_EXACT_BITS: Final = _BITS + 1
RELATIVE_ERROR: Final = 1 / 2**_EXACT_BITS
"""How far a percentile may be from the value that it stands for, as a part of it."""


def _middle(bucket: int) -> int:
    """Return the middle of a bucket, rounded down."""
    if bucket < 1 << _EXACT_BITS:
        return bucket
    shift = (bucket >> _BITS) - 1
    low = (bucket - (shift << _BITS)) << shift
    return low + ((1 << shift) - 1) // 2


class LatencyHistogram(msgspec.Struct):
    """Counts of latencies, and what can be kept exactly beside them.

    Attributes
    ----------
    counts
        Bucket -> how many latencies fell into it.
    num_values
        How many there are.
    total_ns, total_squares
        Their sum, and that of their squares.
    min_ns, max_ns
        The smallest and the largest; 0 where there is none.
    """

    counts: dict[int, int] = msgspec.field(default_factory=dict)
    num_values: int = 0
    total_ns: int = 0
    total_squares: float = 0.0
    min_ns: int = 0
    max_ns: int = 0

    def record(self, value_ns: int, times: int = 1) -> None:
        """Count a latency; one below 0 counts as 0."""
        value_ns = max(value_ns, 0)
        shift = value_ns.bit_length() - _EXACT_BITS
        bucket = (shift << _BITS) + (value_ns >> shift) if shift > 0 else value_ns
        self.counts[bucket] = self.counts.get(bucket, 0) + times
        if not self.num_values or value_ns < self.min_ns:
            self.min_ns = value_ns
        self.max_ns = max(self.max_ns, value_ns)
        self.num_values += times
        self.total_ns += value_ns * times
        self.total_squares += float(value_ns) * value_ns * times

    def add(self, other: LatencyHistogram) -> None:
        """Add the counts of another histogram."""
        if not other.num_values:
            return
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.min_ns = min(self.min_ns, other.min_ns) if self.num_values else other.min_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        self.num_values += other.num_values
        self.total_ns += other.total_ns
        self.total_squares += other.total_squares

    @property
    def mean_ns(self) -> float:
        """The average; 0 where there is nothing."""
        return self.total_ns / self.num_values if self.num_values else 0.0

    @property
    def deviation_ns(self) -> float:
        """The standard deviation."""
        if not self.num_values:
            return 0.0
        return math.sqrt(max(self.total_squares / self.num_values - self.mean_ns**2, 0.0))

    def percentiles_ns(self, *percents: float) -> list[int]:
        """Return the nearest-rank percentiles: the smallest value that so many percent of all do not exceed.

        Each is within ``RELATIVE_ERROR`` of that value; 0 where there is nothing.

        Parameters
        ----------
        percents
            From 0 to 100, in any order.
        """
        if not self.num_values:
            return [0 for _ in percents]
        found = dict.fromkeys(percents, self.max_ns)
        wanted = sorted(found, reverse=True)
        passed = 0
        for bucket in sorted(self.counts):
            passed += self.counts[bucket]
            while wanted and passed >= _rank(wanted[-1], self.num_values):
                found[wanted.pop()] = min(max(_middle(bucket), self.min_ns), self.max_ns)
        return [found[percent] for percent in percents]


def _rank(percent: float, num_values: int) -> int:
    # 99.9 percent of 1000 are 999, whatever floats say
    return max(1, math.ceil(round(percent * num_values / 100, 6)))
