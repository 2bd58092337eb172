"""When requests are due, lists and ramps, and how work is shared."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.bench.schedule import arrivals_s, parse_steps, share
from navi_core.errors import ConfigError


@settings(max_examples=100)
@given(st.floats(0.5, 1e5), st.integers(1, 9), st.integers(1, 200))
def test_constant__all_parts_together_are_evenly_spaced(rate, num_parts, count):
    parts = [arrivals_s(rate, "constant", part=part, num_parts=num_parts) for part in range(num_parts)]
    together = sorted(itertools.chain.from_iterable(itertools.islice(each, count) for each in parts))
    expected = [index / rate for index in range(count * num_parts)]
    assert together == pytest.approx(expected)


@settings(max_examples=60)
@given(st.floats(0.5, 1e5), st.integers(1, 5), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_poisson__rises_and_is_the_same_again(rate, num_parts, part, seed):
    part %= num_parts

    def times():
        found = arrivals_s(rate, "poisson", part=part, num_parts=num_parts, seed=seed)
        return list(itertools.islice(found, 1500))  # more than one block of random numbers

    assert times() == times()
    assert np.all(np.diff(times()) >= 0)
    assert times()[0] >= 0


@pytest.mark.parametrize("num_parts", [1, 3])
def test_poisson__gaps_of_all_parts_together_are_exponential(num_parts):
    rate, until_s = 200.0, 100.0
    parts = [
        itertools.takewhile(
            lambda at: at < until_s, arrivals_s(rate, "poisson", part=part, num_parts=num_parts, seed=5)
        )
        for part in range(num_parts)
    ]
    together = np.sort(np.array(list(itertools.chain.from_iterable(parts))))
    gaps = np.diff(together)
    # 20,000 arrivals: the standard deviation of their number is 141, that of the mean gap 0.7 percent
    assert together.size == pytest.approx(rate * until_s, abs=4 * np.sqrt(rate * until_s))
    assert gaps.mean() == pytest.approx(1 / rate, rel=0.03)
    assert gaps.std() == pytest.approx(1 / rate, rel=0.05)  # evenly spaced ones would have 0
    for part in (1.0, 2.0, 3.0):
        assert np.mean(gaps > part / rate) == pytest.approx(np.exp(-part), abs=0.015)


def test_poisson__parts_differ():
    first, second = (
        list(itertools.islice(arrivals_s(1.0, "poisson", part=part, num_parts=2), 10)) for part in range(2)
    )
    assert first != second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", [1]),
        ("1,16,64", [1, 16, 64]),
        ("1, 2", [1, 2]),
        ("1..8", [1, 2, 4, 8]),
        ("1..10", [1, 2, 4, 8, 10]),
        ("10..50+20", [10, 30, 50]),
        ("1..81*3", [1, 3, 9, 27, 81]),
        ("3..3", [3]),
        ("1..4,100", [1, 2, 4, 100]),
    ],
)
def test_steps(text, expected):
    assert parse_steps(text, "-c", largest=1000, whole=True) == expected


def test_steps__rates_have_fractions():
    assert parse_steps("0.5..2*2,2.25", "--rate", largest=10) == [0.5, 1.0, 2.0, 2.25]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1,",
        "-1",
        "0",
        "1001",
        "1.5",
        "8..1",
        "1..8+0",
        "1..8*1",
        "0..8",
        "1..2..3",
        "1..1000+1",
        "..",
        "1e3",
    ],
)
def test_steps__what_is_none(text):
    with pytest.raises(ConfigError, match=r"-c: expected .*, got "):
        parse_steps(text, "-c", largest=1000, whole=True)


@given(st.integers(0, 10**6), st.integers(1, 100))
def test_share__is_even_and_loses_nothing(total, parts):
    found = share(total, parts)
    assert (len(found), sum(found)) == (parts, total)
    assert max(found) - min(found) <= 1
    assert found == sorted(found, reverse=True)
