"""The histogram of latencies against NumPy's percentiles, within the error that it states."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.bench.histogram import RELATIVE_ERROR, LatencyHistogram

LATENCIES = st.lists(
    st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 10**13)), min_size=1, max_size=200
)
PERCENTS = (0.0, 1.0, 50.0, 90.0, 95.0, 99.0, 99.9, 100.0)


def histogram_of(values) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in values:
        histogram.record(value)
    return histogram


def state(histogram: LatencyHistogram) -> tuple:
    """All but the sum of squares, whose rounding depends on the order."""
    fields = (histogram.num_values, histogram.total_ns, histogram.min_ns, histogram.max_ns)
    return (histogram.counts, *fields)


@settings(max_examples=150)
@given(LATENCIES)
def test_percentiles__are_numpys_within_the_stated_error(values):
    found = histogram_of(values).percentiles_ns(*PERCENTS)
    expected = np.percentile(np.array(values, np.float64), PERCENTS, method="inverted_cdf")
    for got, want in zip(found, expected, strict=True):
        assert abs(got - want) <= RELATIVE_ERROR * want


@settings(max_examples=100)
@given(LATENCIES)
def test_what_is_kept_exactly(values):
    histogram = histogram_of(values)
    assert (histogram.num_values, histogram.total_ns) == (len(values), sum(values))
    assert (histogram.min_ns, histogram.max_ns) == (min(values), max(values))
    assert histogram.mean_ns == pytest.approx(np.mean(np.array(values, np.float64)))
    # the difference of two large numbers: exact to a small part of the mean
    assert histogram.deviation_ns == pytest.approx(
        np.std(np.array(values, np.float64)), rel=1e-6, abs=1e-6 * max(values)
    )


@settings(max_examples=100)
@given(LATENCIES, LATENCIES)
def test_add__is_the_histogram_of_both(ones, others):
    histogram = histogram_of(ones)
    histogram.add(histogram_of(others))
    histogram.add(LatencyHistogram())
    assert state(histogram) == state(histogram_of([*ones, *others]))
    empty = LatencyHistogram()
    empty.add(histogram)
    assert state(empty) == state(histogram)


@settings(max_examples=50)
@given(LATENCIES)
def test_it_travels_as_json(values):
    histogram = histogram_of(values)
    assert msgspec.json.decode(msgspec.json.encode(histogram), type=LatencyHistogram) == histogram


def test_percentiles__every_small_value_is_exact():
    assert histogram_of(range(256)).percentiles_ns(*(100 * (n + 1) / 256 for n in range(256))) == [
        *range(256)
    ]


@pytest.mark.parametrize(
    ("percent", "rank"), [(0, 1), (50, 500), (95, 950), (99, 990), (99.9, 999), (99.95, 1000), (100, 1000)]
)
def test_percentiles__nearest_rank_of_a_thousand(percent, rank):
    """Ranks are whole numbers where percents of a thousand are, whatever floats make of 0.999."""
    histogram = LatencyHistogram()
    for value in range(1, 1001):
        histogram.record(value << 30)
    [found] = histogram.percentiles_ns(percent)
    assert found == pytest.approx(rank << 30, rel=RELATIVE_ERROR)


def test_an_empty_one_is_zeros():
    empty = LatencyHistogram()
    assert empty.percentiles_ns(50, 99) == [0, 0]
    assert (empty.mean_ns, empty.deviation_ns) == (0.0, 0.0)


def test_record__times_and_clocks_that_go_back():
    histogram = LatencyHistogram()
    histogram.record(7, times=3)
    histogram.record(-1)
    assert state(histogram) == ({7: 3, 0: 1}, 4, 21, 0, 7)
