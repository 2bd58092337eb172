"""Metrics of converters on the host's page."""

from __future__ import annotations

import pytest

from navi_core.contracts.converter_metrics import ConverterMetric, HistogramValue
from navi_core.metrics.converter_families import why_no_metric
from navi_core.metrics.metrics import Metrics


def counter(value=3.0, **changes):
    said = {
        "name": "records_total",
        "kind": "counter",
        "meaning": "Records.",
        "labels": ("outcome",),
        "unit": "records",
        "samples": [(("good",), value)],
    }
    return ConverterMetric(**{**said, **changes})


def histogram(*counts, total=9.0, bounds=(1.0, 5.0)):
    return ConverterMetric(
        name="size",
        kind="histogram",
        meaning="Sizes.",
        bounds=bounds,
        samples=[((), HistogramValue(counts, total))],
    )


def lines(metrics, prefix="navi_converter"):
    return [line for line in metrics.render()[1].decode().splitlines() if line.startswith(prefix)]


def test_metrics_of_all_versions_are_joined_under_the_converters_name():
    metrics = Metrics()
    metrics.set_converter("m", 1, "serving_default", "My-Form", lambda: [counter(), histogram(2, 0, 1)])
    metrics.set_converter("n", 2, "other", "My-Form", lambda: [counter(5)])
    target = 'model="m",signature="serving_default",version="1"'
    found = lines(metrics)
    assert (
        'navi_converter_my_form_records_total{model="n",outcome="good",signature="other",version="2"} 5.0'
        in found
    )
    assert f'navi_converter_my_form_size_bucket{{le="1.0",{target}}} 2.0' in found
    assert f'navi_converter_my_form_size_bucket{{le="+Inf",{target}}} 3.0' in found
    assert f"navi_converter_my_form_size_sum{{{target}}} 9.0" in found
    assert b"navi_converter_my_form_records" in metrics.render("application/openmetrics-text")[1]


def test_a_version_that_is_gone_is_asked_no_more():
    metrics = Metrics()
    metrics.set_converter("m", 1, "s", "c", lambda: [counter()])
    metrics.set_converter("m", 1, "t", "c", lambda: [counter()])
    metrics.set_converter("m", 2, "s", "c", lambda: [counter()])
    assert len(lines(metrics)) == 3
    metrics.forget("m", 1)
    assert [line for line in lines(metrics) if 'version="1"' in line] == []
    metrics.state_changed("m", 2, None, None)
    metrics.forget_model("m")
    assert lines(metrics) == []


def test_a_converter_that_raises_or_lies_costs_its_own_metrics_only():
    metrics = Metrics()

    def raises():
        raise RuntimeError("no")

    metrics.set_converter("a", 1, "s", "bad", raises)
    metrics.set_converter("b", 1, "s", "bad", lambda: [counter(name="records")])
    metrics.set_converter("c", 1, "s", "bad", lambda: None)
    metrics.set_converter("m", 1, "s", "good", lambda: [counter()])
    metrics.set_converter("n", 1, "s", "good", lambda: [counter(labels=("other",)), histogram(1, 1, 1)])
    assert {line.split("{")[0] for line in lines(metrics)} == {
        "navi_converter_good_records_total",
        "navi_converter_good_size_bucket",
        "navi_converter_good_size_count",
        "navi_converter_good_size_sum",
    }
    assert not any('model="n"' in line for line in lines(metrics, "navi_converter_good_records"))


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (counter(name="Records_total"), "small letters"),
        (counter(name="records"), "ends in _total"),
        (counter(kind="gauge"), "ends in _total"),
        (counter(labels=("model",)), "expected labels"),
        (counter(bounds=(1.0,)), "expected finite bounds"),
        (counter(samples=[((), 1.0)]), "every combination"),
        (counter(samples=[(("a",), 1.0), (("a",), 2.0)]), "every combination"),
        (counter(samples=[(("a",), HistogramValue([1], 1.0))]), "expected values of a counter"),
        (histogram(1, 2), "expected 3 counts, got 2"),
        (histogram(1, 2, 3, bounds=(5.0, 1.0)), "increasing bounds"),
        (histogram(1, 2, 3, bounds=(1.0, float("inf"))), "finite bounds"),
    ],
)
def test_why_something_is_no_metric(metric, text):
    assert text in why_no_metric(metric)
    assert why_no_metric(counter()) == why_no_metric(histogram(1, 2, 3)) == ""


def test_values_of_features_are_added_up_over_models_in_navis_family():
    metrics = Metrics(["navi"])
    bounds = (*map(float, range(0, 201, 10)), 250.0, 300.0, 500.0, 1000.0, 10000.0, 100000.0)

    def source():
        value = HistogramValue([1] * (len(bounds) + 1), 7.0)
        return [
            ConverterMetric(
                name="discrete_feature_value",
                kind="histogram",
                meaning="Values.",
                labels=("feature_id",),
                bounds=bounds,
                samples=[(("5",), value)],
            )
        ]

    metrics.set_converter("m", 1, "s", "c", source)
    metrics.set_converter("n", 1, "s", "c", source)
    for _ in range(2):  # each page anew
        found = lines(metrics, ":navi:feature_id")
        assert ':navi:feature_id:discrete_bucket{feature_id="5",le="0"} 2' in found
        assert ':navi:feature_id:discrete_sum{feature_id="5"} 14' in found
    metrics.forget("n", 1)
    assert ':navi:feature_id:discrete_sum{feature_id="5"} 7' in lines(metrics, ":navi:feature_id")
