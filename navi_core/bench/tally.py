"""What a load generator counts: latencies, answers by the second, failures by code."""

from __future__ import annotations

from typing import Final

import msgspec

from navi_core.bench.histogram import LatencyHistogram

__all__ = ["Failure", "Second", "Tally"]

_EXAMPLE_LETTERS: Final = 300
_MAX_SECONDS: Final = 7 * 24 * 3600


class Failure(msgspec.Struct):
    """How often requests failed with one code, and what one of them was told."""

    count: int = 0
    example: str = ""


class Second(msgspec.Struct):
    """What ended within one second."""

    num_succeeded: int = 0
    num_failed: int = 0
    latencies: LatencyHistogram = msgspec.field(default_factory=LatencyHistogram)


class Tally(msgspec.Struct):
    """The outcome of requests, all of one generator or of several, added up.

    Attributes
    ----------
    latencies
        Of requests that succeeded: until the whole answer was there, from when they were sent, or, where requests
        have a schedule, from when they were due.
    seconds
        Second after the start of the measurement -> what ended in it.
    failures
        Code -> how often.
    last_ns
        When the last request ended, after the start of the measurement.
    lateness
        Where requests have a schedule: how much later than it they were sent for want of a generator, not of a
        connection.
    num_unsent
        Requests that were due and never sent, because as many as allowed were waiting for answers already.
    """

    latencies: LatencyHistogram = msgspec.field(default_factory=LatencyHistogram)
    seconds: dict[int, Second] = msgspec.field(default_factory=dict)
    failures: dict[str, Failure] = msgspec.field(default_factory=dict)
    last_ns: int = 0
    lateness: LatencyHistogram = msgspec.field(default_factory=LatencyHistogram)
    num_unsent: int = 0

    @property
    def num_succeeded(self) -> int:
        """How many requests succeeded."""
        return self.latencies.num_values

    @property
    def num_failed(self) -> int:
        """How many failed."""
        return sum(each.count for each in self.failures.values())

    def succeed(self, ended_ns: int, latency_ns: int, times: int = 1) -> None:
        """Count an answer.

        Parameters
        ----------
        ended_ns
            When it was there, after the start of the measurement.
        latency_ns
            How long it took.
        times
            Count so many of them.
        """
        self.latencies.record(latency_ns, times)
        second = self._second(ended_ns)
        second.num_succeeded += times
        second.latencies.record(latency_ns, times)

    def fail(self, ended_ns: int, code: str, example: str, times: int = 1) -> None:
        """Count a failure; the first one with a code is its example."""
        failure = self.failures.setdefault(code, Failure(example=example[:_EXAMPLE_LETTERS]))
        failure.count += times
        self._second(ended_ns).num_failed += times

    def add(self, other: Tally) -> None:
        """Add what another generator counted at the same time."""
        self.latencies.add(other.latencies)
        self.lateness.add(other.lateness)
        for index, second in other.seconds.items():
            mine = self.seconds.setdefault(index, Second())
            mine.num_succeeded += second.num_succeeded
            mine.num_failed += second.num_failed
            mine.latencies.add(second.latencies)
        for code, failure in other.failures.items():
            self.failures.setdefault(code, Failure(example=failure.example)).count += failure.count
        self.last_ns = max(self.last_ns, other.last_ns)
        self.num_unsent += other.num_unsent

    def _second(self, ended_ns: int) -> Second:
        self.last_ns = max(self.last_ns, ended_ns)
        index = min(max(ended_ns, 0) // 10**9, _MAX_SECONDS)
        second = self.seconds.get(index)
        if second is None:
            second = self.seconds[index] = Second()
        return second
