"""Families of bound converters: asked for whenever a page is made, joined over models and versions.

A converter is a plugin: one that raises, or whose metric is none, loses that metric and not the page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

import structlog

from navi_core.contracts.converter_metrics import ConverterMetric, HistogramValue
from navi_core.metrics.cells import FamilySnapshot, FamilySpec, HistogramSnapshot, Labels

__all__ = ["ConverterSource", "ConverterSources", "combined", "why_no_metric"]

log = structlog.get_logger(__name__)

ConverterSource: TypeAlias = Callable[[], Sequence[ConverterMetric]]
_TARGET: Final = ("model", "version", "signature")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


class ConverterSources:
    """The bound converters of all loaded versions. Whoever calls holds the metrics' lock, but for ``read``."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, int], dict[str, tuple[str, ConverterSource]]] = {}
        self._complained: set[str] = set()

    def add(self, model: str, version: int, signature: str, converter: str, source: ConverterSource) -> None:
        """Ask ``source`` for the metrics of the converter of a version's signature from now on."""
        self._sources.setdefault((model, version), {})[signature] = (converter, source)

    def forget(self, model: str, version: int) -> None:
        """Ask the version's converters no more."""
        self._sources.pop((model, version), None)

    def copy(self) -> list[tuple[Labels, str, ConverterSource]]:
        """Return target labels, converter's name and source of every signature that is converted."""
        return [
            ((model, str(version), signature), converter, source)
            for (model, version), signatures in self._sources.items()
            for signature, (converter, source) in signatures.items()
        ]

    def read(
        self, sources: Iterable[tuple[Labels, str, ConverterSource]]
    ) -> list[tuple[Labels, str, Sequence[ConverterMetric]]]:
        """Return target labels, converter's name and its metrics, those that are well-formed."""
        found: list[tuple[Labels, str, Sequence[ConverterMetric]]] = []
        for target, converter, source in sources:
            try:
                metrics = [metric for metric in source() if self._is_well_formed(converter, metric)]
            except Exception as error:
                self._complain(converter, f"metrics() raised {type(error).__name__}: {error}")
                continue
            found.append((target, converter, metrics))
        return found

    def families(
        self, read: Iterable[tuple[Labels, str, Sequence[ConverterMetric]]]
    ) -> list[tuple[FamilySpec, FamilySnapshot]]:
        """Return the families that metrics make; of those with one name and other labels or bounds the first counts."""
        specs: dict[str, FamilySpec] = {}
        values: dict[str, dict[Labels, float | HistogramSnapshot]] = {}
        for target, converter, metrics in read:
            for metric in metrics:
                spec = _spec(converter, metric)
                known = specs.setdefault(spec.name, spec)
                if (known.kind, known.labels, known.bounds) != (spec.kind, spec.labels, spec.bounds):
                    self._complain(converter, f"'{metric.name}' differs from version to version")
                    continue
                own = values.setdefault(spec.name, {})
                own.update(((*target, *labels), _snapshot(value)) for labels, value in metric.samples)
        return [(spec, list(values.get(name, {}).items())) for name, spec in specs.items()]

    def _is_well_formed(self, converter: str, metric: ConverterMetric) -> bool:
        because = why_no_metric(metric)
        if because:
            self._complain(converter, because)
        return not because

    def _complain(self, converter: str, reason: str) -> None:
        if reason not in self._complained:
            self._complained.add(reason)
            log.warning("converter_metric_dropped", converter=converter, reason=reason)


def why_no_metric(metric: ConverterMetric) -> str:
    """Return why something is no metric that can be shown; empty: it is one."""
    name = f"metric '{metric.name}'"
    if not _NAME.fullmatch(metric.name):
        return f"{name}: expected small letters, digits and underscores"
    if (metric.kind == "counter") != metric.name.endswith("_total"):
        return f"{name}: expected a name that ends in _total for a counter, and for nothing else"
    if any(not _NAME.fullmatch(label) or label in _TARGET or label == "le" for label in metric.labels):
        return f"{name}: expected labels of small letters, digits and underscores, got {metric.labels}"
    if any(later <= bound for bound, later in zip(metric.bounds, metric.bounds[1:], strict=False)):
        return f"{name}: expected increasing bounds, got {metric.bounds}"
    if bool(metric.bounds) != (metric.kind == "histogram") or not all(map(math.isfinite, metric.bounds)):
        return f"{name}: expected finite bounds for a histogram, and for nothing else"
    seen = set()
    for labels, value in metric.samples:
        if len(labels) != len(metric.labels) or labels in seen:
            return f"{name}: expected every combination of {metric.labels} once, got {labels}"
        seen.add(labels)
        counts = value.counts if isinstance(value, HistogramValue) else None
        if (counts is not None) != (metric.kind == "histogram"):
            return f"{name}: expected values of a {metric.kind}, got {type(value).__name__}"
        if counts is not None and len(counts) != len(metric.bounds) + 1:
            return f"{name}: expected {len(metric.bounds) + 1} counts, got {len(counts)}"
    return ""


def combined(metrics: Iterable[ConverterMetric], name: str) -> Mapping[Labels, HistogramValue]:
    """Return the histograms of one name, added up over all converters that give it in the same buckets."""
    found: dict[Labels, HistogramValue] = {}
    for metric in metrics:
        if metric.name != name:
            continue
        for labels, value in metric.samples:
            before = found.get(labels)
            if not isinstance(value, HistogramValue):
                continue
            if before is None or len(before.counts) != len(value.counts):
                found[labels] = value
            else:
                counts = [a + b for a, b in zip(before.counts, value.counts, strict=True)]
                found[labels] = HistogramValue(counts, before.total + value.total)
    return found


def _spec(converter: str, metric: ConverterMetric) -> FamilySpec:
    prefix = re.sub(r"[^a-z0-9]+", "_", converter.lower())
    return FamilySpec(
        name=f"navi_converter_{prefix}_{metric.name}",
        kind=metric.kind,
        meaning=metric.meaning,
        labels=(*_TARGET, *metric.labels),
        unit=metric.unit,
        bounds=metric.bounds,
    )


def _snapshot(value: float | HistogramValue) -> float | HistogramSnapshot:
    if isinstance(value, HistogramValue):
        return HistogramSnapshot(tuple(accumulate(int(count) for count in value.counts)), float(value.total))
    return float(value)
