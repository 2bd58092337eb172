"""Two reports side by side: ratios, and whether a difference is more than what one run varies by itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from navi_core.bench.report import Measurement, Report, SecondFigures

__all__ = ["ComparedFigure", "ComparedLoad", "Comparison", "compare"]

_MIN_SECONDS: Final = 3


class ComparedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of two runs.

    Attributes
    ----------
    name
        With its unit.
    a, b, ratio
        The figures, and B / A; None: A is 0.
    spread
        The standard deviation of a difference of two seconds, one of each run; None: not enough seconds are known.
    verdict
        ``better``, ``worse``, ``within the spread``, ``same`` or ``not known``: B beside A.
    """

    name: str
    a: float
    b: float
    ratio: float | None
    spread: float | None
    verdict: str


class ComparedLoad(msgspec.Struct, frozen=True):
    """All figures of one load."""

    load: str
    figures: tuple[ComparedFigure, ...]


class Comparison(msgspec.Struct, frozen=True):
    """What two reports have in common, and notes of what makes them hard to compare."""

    loads: tuple[ComparedLoad, ...]
    notes: tuple[str, ...]


Figure = tuple[str, bool, Callable[[Measurement], float], Callable[[SecondFigures], float] | None]

_FIGURES: Final[tuple[Figure, ...]] = (
    ("requests/s", True, lambda each: each.requests_per_s, lambda second: second.num_succeeded),
    ("average, ms", False, lambda each: each.latency.average_ms, lambda second: second.average_ms),
    ("median, ms", False, lambda each: each.latency.median_ms, lambda second: second.median_ms),
    ("p95, ms", False, lambda each: each.latency.p95_ms, lambda second: second.p95_ms),
    ("p99, ms", False, lambda each: each.latency.p99_ms, lambda second: second.p99_ms),
    ("failed, %", False, lambda each: each.failed_percent, None),
)
_SAID_OF_BOTH: Final = ("model", "signature", "protocol", "inputs", "request_bytes", "machine", "checked")


def compare(a: Report, b: Report) -> Comparison:
    """Compare the loads that both reports have.

    Parameters
    ----------
    a, b
        The one that counts as 1, and the other.
    """
    notes = list(_differences(a, b))
    theirs = {_key(each): each for each in b.measurements}
    loads: list[ComparedLoad] = []
    for mine in a.measurements:
        other = theirs.get(_key(mine))
        if other is None:
            continue
        loads.append(ComparedLoad(mine.load, tuple(_compared(mine, other))))
        if mine.engine != other.engine:
            notes.append(f"{mine.load}: A was made with {mine.engine}, B with {other.engine}")
        for which, each in (("A", mine), ("B", other)):
            if each.is_near_ceiling:
                notes.append(f"{mine.load}: {which} is within 20 percent of its generator's ceiling")
            if not each.is_complete:
                notes.append(f"{mine.load}: {which} was interrupted")
    left_out = len(a.measurements) + len(b.measurements) - 2 * len(loads)
    if left_out:
        words = "1 measurement is" if left_out == 1 else f"{left_out} measurements are"
        notes.append(f"{words} left out: the other run has no such load")
    return Comparison(tuple(loads), tuple(notes))


def _key(each: Measurement) -> tuple[object, ...]:
    if each.rate_per_s is None:
        return (each.concurrency, each.connections)
    return (each.rate_per_s, each.arrival)


def _differences(a: Report, b: Report) -> Iterator[str]:
    for name in _SAID_OF_BOTH:
        left, right = getattr(a, name), getattr(b, name)
        if left != right:
            yield f"{name.replace('_', ' ')}: A has {_shown(left)}, B has {_shown(right)}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_shown(each) for each in value)
    if isinstance(value, msgspec.Struct):
        return " ".join(str(getattr(value, name)) for name in value.__struct_fields__)
    return str(value)


def _compared(a: Measurement, b: Measurement) -> Iterator[ComparedFigure]:
    for name, is_more_better, of_all, of_second in _FIGURES:
        left, right = of_all(a), of_all(b)
        spread = None if of_second is None else _spread(a.seconds, b.seconds, of_second)
        yield ComparedFigure(
            name=name,
            a=left,
            b=right,
            ratio=right / left if left else None,
            spread=spread,
            verdict=_verdict(left, right, spread, is_more_better=is_more_better, is_exact=of_second is None),
        )


def _spread(
    a: Sequence[SecondFigures], b: Sequence[SecondFigures], of_second: Callable[[SecondFigures], float]
) -> float | None:
    """Return the standard deviation of the difference of a second of A and one of B."""
    variances = []
    for seconds in (a, b):
        values = [float(of_second(each)) for each in seconds if each.is_whole]
        if len(values) < _MIN_SECONDS:
            return None
        variances.append(statistics.variance(values))
    return float(sum(variances) ** 0.5)


def _verdict(a: float, b: float, spread: float | None, *, is_more_better: bool, is_exact: bool) -> str:
    if a == b:
        return "same"
    if spread is None and not is_exact:
        return "not known"
    if spread is not None and abs(a - b) <= spread:
        return "within the spread"
    return "better" if (b > a) == is_more_better else "worse"
