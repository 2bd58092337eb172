"""Metrics pages as values: what one process counted, and how those of several become one. Pure.

Counters and histograms add up. A gauge says itself how it is joined (``FamilySpec.merged``): lengths of queues
add up, a certificate ends when the first one does, and a fact that all processes share stays what it is.

A process that is gone keeps its counts: a sum that falls when a worker is replaced looks to a collector as if
every counter had begun anew, and makes a peak out of nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct

from navi_core.metrics.cells import FamilySpec, HistogramSnapshot, Labels

__all__ = ["FamilyPage", "Page", "counts_of", "merge", "without_unknown"]

Value: TypeAlias = float | HistogramSnapshot


class FamilyPage(Struct, frozen=True):
    """One family and its values at one moment.

    Attributes
    ----------
    spec
        What it is.
    values
        Label values and value of every cell.
    """

    spec: FamilySpec
    values: tuple[tuple[Labels, Value], ...] = ()


class Page(Struct, frozen=True):
    """Everything that one process shows.

    Attributes
    ----------
    own
        navi's families, in the order of the page.
    compat
        Other servers' families, by the server's name.
    """

    own: tuple[FamilyPage, ...] = ()
    compat: dict[str, tuple[FamilyPage, ...]] = {}


def merge(pages: Iterable[Page]) -> Page:
    """Return one page of several; families and cells come in the order in which they are met first.

    Of families with one name that differ in kind, labels or buckets, the first counts.
    """
    pages = list(pages)
    servers = dict.fromkeys(name for page in pages for name in page.compat)
    return Page(
        own=_merged(page.own for page in pages),
        compat={name: _merged(page.compat.get(name, ()) for page in pages) for name in servers},
    )


def counts_of(page: Page) -> Page:
    """Return what stays true of a process that is gone: what it counted, and none of its gauges."""
    return Page(
        own=_counts(page.own), compat={name: _counts(families) for name, families in page.compat.items()}
    )


def without_unknown(page: Page, models: Mapping[str, Collection[int]], keep: Collection[str] = ()) -> Page:
    """Return a page without the cells of models and versions that are not there any more.

    Parameters
    ----------
    page
        What to go through.
    models
        Model -> its versions.
    keep
        Values of a model's label that stand for no model.
    """
    versions = {name: {str(each) for each in numbers} for name, numbers in models.items()}

    def is_known(spec: FamilySpec, labels: Labels) -> bool:
        if not labels or spec.labels[0] not in _MODEL_LABELS or labels[0] in keep:
            return True
        if labels[0] not in versions:
            return False
        return len(spec.labels) == 1 or spec.labels[1] != "version" or labels[1] in versions[labels[0]]

    def known(families: Iterable[FamilyPage]) -> tuple[FamilyPage, ...]:
        return tuple(
            FamilyPage(each.spec, tuple(value for value in each.values if is_known(each.spec, value[0])))
            for each in families
        )

    return Page(own=known(page.own), compat={name: known(found) for name, found in page.compat.items()})


_MODEL_LABELS: Final = frozenset({"model", "model_name"})


def _counts(families: Iterable[FamilyPage]) -> tuple[FamilyPage, ...]:
    return tuple(each for each in families if each.spec.kind != "gauge")


def _merged(pages: Iterable[Iterable[FamilyPage]]) -> tuple[FamilyPage, ...]:
    specs: dict[str, FamilySpec] = {}
    cells: dict[str, dict[Labels, Value]] = {}
    for page in pages:
        for family in page:
            spec = specs.setdefault(family.spec.name, family.spec)
            if (spec.kind, spec.labels, spec.bounds) != (
                family.spec.kind,
                family.spec.labels,
                family.spec.bounds,
            ):
                continue
            own = cells.setdefault(spec.name, {})
            for labels, value in family.values:
                own[labels] = _joined(spec, own[labels], value) if labels in own else value
    return tuple(FamilyPage(spec, tuple(cells.get(name, {}).items())) for name, spec in specs.items())


def _joined(spec: FamilySpec, ours: Value, theirs: Value) -> Value:
    if isinstance(ours, HistogramSnapshot) and isinstance(theirs, HistogramSnapshot):
        counts = tuple(a + b for a, b in zip(ours.cumulative, theirs.cumulative, strict=True))
        return HistogramSnapshot(counts, ours.total + theirs.total)
    if isinstance(ours, HistogramSnapshot) or isinstance(theirs, HistogramSnapshot):
        return ours
    return _JOINS["sum" if spec.kind == "counter" else spec.merged](ours, theirs)


def _sum(ours: float, theirs: float) -> float:
    return ours + theirs


_JOINS: Final[Mapping[str, Callable[[float, float], float]]] = MappingProxyType(
    {"sum": _sum, "max": max, "min": min}
)
