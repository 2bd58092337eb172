"""The part of the converter suite about metrics: what a converter counts can be shown, and never goes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from navi_core.contracts.converter import BoundConverter
from navi_core.contracts.converter_metrics import ConverterMetric, HistogramValue
from navi_core.metrics.converter_families import why_no_metric
from navi_core.testing.converter_buffers import fill_alone
from navi_core.testing.converter_cases import ConverterCases
from navi_core.types import NamedArrays

__all__ = ["ConverterMetricsCases"]


class ConverterMetricsCases(ConverterCases):
    """What holds for metrics, of which there may be none."""

    def test_metrics_are_well_formed(self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]) -> None:
        """Every metric can be shown, before anything was filled and after; names are unique."""
        for _ in range(2):
            metrics = bound.metrics()
            reasons = [reason for reason in map(why_no_metric, metrics) if reason]
            if reasons:
                pytest.fail(reasons[0])
            names = [metric.name for metric in metrics]
            if len(set(names)) < len(names):
                pytest.fail(f"expected every metric once, got {', '.join(names)}")
            for inputs in good_inputs:
                fill_alone(bound, inputs)

    def test_counters_never_go_down(self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]) -> None:
        """With every request counters and histograms stay or rise, and no combination of labels disappears."""
        before: Mapping[object, float] = {}
        for inputs in [*good_inputs, *good_inputs]:
            fill_alone(bound, inputs)
            after = _numbers(bound.metrics())
            fallen = [key for key, value in before.items() if after.get(key, -1.0) < value]
            if fallen:
                pytest.fail(f"{fallen[0]}: expected at least {before[fallen[0]]}, got {after.get(fallen[0])}")
            before = after


def _numbers(metrics: Sequence[ConverterMetric]) -> dict[object, float]:
    """Return every number that may only rise, by what it is."""
    numbers: dict[object, float] = {}
    for metric in metrics:
        if metric.kind == "gauge":
            continue
        for labels, value in metric.samples:
            if isinstance(value, HistogramValue):
                numbers.update(((metric.name, labels, at), count) for at, count in enumerate(value.counts))
            else:
                numbers[metric.name, labels] = value
    return numbers
