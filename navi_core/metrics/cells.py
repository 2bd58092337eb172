"""Cells that hold metric values, families of them, and their form for prometheus-client.

Recording must cost next to nothing, and other servers' families need names that prometheus-client's own
counters cannot have; so values live in plain cells, and prometheus-client is what turns them into text.
A cell has no lock of its own: whoever records or reads holds the owner's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, Literal, TypeAlias, TypeVar

from prometheus_client.metrics_core import Metric

__all__ = [
    "Family",
    "FamilySnapshot",
    "FamilySpec",
    "HistogramCell",
    "HistogramFamily",
    "HistogramSnapshot",
    "Kind",
    "Labels",
    "ScalarCell",
    "ScalarFamily",
    "to_metric",
]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """One metric family.

    Parameters
    ----------
    name
        The whole name, as on the page; ``_bucket``, ``_sum`` and ``_count`` come on top for a histogram.
    kind
        ``counter``, ``gauge`` or ``histogram``.
    meaning
        One line for the page.
    labels
        Label names, in order.
    unit
        ``seconds``, ``bytes``, or empty.
    bounds
        Increasing upper bounds of a histogram's buckets, inclusive; ``+Inf`` comes by itself.
    merged
        How the values that several worker processes have of a gauge become one; counters and histograms add up.
    """

    name: str
    kind: Kind
    meaning: str
    labels: Labels = ()
    unit: str = ""
    bounds: tuple[float, ...] = ()
    merged: Literal["sum", "max", "min"] = "sum"


class ScalarCell:
    """One counter's or gauge's value."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def snapshot(self) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """A histogram at one moment.

    Parameters
    ----------
    cumulative
        How many values were at most each bound; the last one counts all.
    total
        The values' sum.
    """

    cumulative: tuple[int, ...]
    total: float


class HistogramCell:
    """One histogram.

    Parameters
    ----------
    bounds
        See :class:`FamilySpec`.
    """

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def observe_all(self, values: Iterable[float]) -> None:
        """Count several values; takes less than to count each by itself."""
        counts, bounds, total = self._counts, self._bounds, self._total
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            total += value
        self._total = total

    def observe_alike(self, value: float, times: int) -> None:
        """Count one value several times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._total += value * times

    def set(self, counts: Sequence[int], total: float) -> None:
        """Take the counts of all buckets, and the values' sum, from somebody who observed the values."""
        self._counts = list(counts)
        self._total = total

    def snapshot(self) -> HistogramSnapshot:
        """Return a copy."""
        return HistogramSnapshot(tuple(accumulate(self._counts)), self._total)


_Cell = TypeVar("_Cell", ScalarCell, HistogramCell)

FamilySnapshot: TypeAlias = Sequence[tuple[Labels, float | HistogramSnapshot]]
"""Label values and value of every cell of one family, in the order of their making."""


class Family(Generic[_Cell]):
    """A family and its cells, one per combination of label values.

    A family without labels has its cell from the start; one with labels begins empty.

    Parameters
    ----------
    spec
        What it is.
    new_cell
        Makes an empty cell.
    """

    def __init__(self, spec: FamilySpec, new_cell: Callable[[], _Cell]) -> None:
        self.spec = spec
        self.new_cell: Callable[[], _Cell] = new_cell
        self._cells: dict[Labels, _Cell] = {}
        if not spec.labels:
            self.child()

    def child(self, *values: str) -> _Cell:
        """Return the cell of these label values; it is made when it is new.

        Raises
        ------
        ValueError
            The number of values is not that of the labels.
        """
        cell = self._cells.get(values)
        if cell is None:
            if len(values) != len(self.spec.labels):
                raise ValueError(
                    f"metric '{self.spec.name}': expected labels {self.spec.labels}, got {values}"
                )
            cell = self._cells[values] = self.new_cell()
        return cell

    def forget(self, *prefix: str) -> None:
        """Drop every cell whose first label values are these."""
        for values in [values for values in self._cells if values[: len(prefix)] == prefix]:
            del self._cells[values]

    def snapshot(self) -> FamilySnapshot:
        """Return a copy of all values."""
        return [(values, cell.snapshot()) for values, cell in self._cells.items()]


class ScalarFamily(Family[ScalarCell]):
    """A family of counters or gauges."""

    def __init__(self, spec: FamilySpec) -> None:
        super().__init__(spec, ScalarCell)


class HistogramFamily(Family[HistogramCell]):
    """A family of histograms."""

    def __init__(self, spec: FamilySpec) -> None:
        super().__init__(spec, lambda: HistogramCell(spec.bounds))


def to_metric(spec: FamilySpec, snapshot: FamilySnapshot) -> Metric:
    """Return prometheus-client's form of a family; a counter's name must end in ``_total``."""
    name = spec.name.removesuffix("_total") if spec.kind == "counter" else spec.name
    metric = Metric(name, spec.meaning, spec.kind, spec.unit if name.endswith(f"_{spec.unit}") else "")
    bounds = [*(repr(float(bound)) for bound in spec.bounds), "+Inf"]  # OpenMetrics wants 1.0, not 1
    for values, value in snapshot:
        labels = dict(zip(spec.labels, values, strict=True))
        if isinstance(value, HistogramSnapshot):
            for bound, count in zip(bounds, value.cumulative, strict=True):
                metric.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
            metric.add_sample(f"{name}_count", labels, value.cumulative[-1])
            metric.add_sample(f"{name}_sum", labels, value.total)
        else:
            metric.add_sample(spec.name, labels, value)
    return metric
