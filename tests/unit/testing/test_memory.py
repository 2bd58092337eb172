"""Slopes of memory, and how pytest shows them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.testing.memory import resident_bytes, slope_bytes

pytest_plugins = ["pytester"]


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=50))
def test_slope__is_the_least_squares_one(readings):
    expected = np.polyfit(np.arange(len(readings)), np.array(readings, float), 1)[0]
    np.testing.assert_allclose(slope_bytes(readings), expected, rtol=1e-6, atol=1e-3)


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_resident_bytes__grow_with_what_is_touched():
    before = resident_bytes()
    held = np.ones(50_000_000, np.uint8)
    assert resident_bytes() - before > 0.9 * held.nbytes


SUITE = """
import pytest
from navi_core.testing.memory import MemoryCases

class TestCycles(MemoryCases):
    def test_cycles(self, memory_cycles, record_property):
        kept = []
        self._repeat(lambda: kept.append(bytearray({size})), memory_cycles, record_property)
        assert len(kept) == memory_cycles
"""


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
@pytest.mark.parametrize(("size", "outcome"), [(0, {"passed": 1}), (1_000_000, {"failed": 1})])
def test_summary__shows_the_slope_whether_it_passes_or_not(pytester, size, outcome):
    pytester.makepyfile(SUITE.format(size=size))
    result = pytester.runpytest_subprocess("--navi-memory-cycles=60", "-p", "no:cacheprovider")
    result.assert_outcomes(**outcome)
    result.stdout.re_match_lines(
        [r".*resident memory.*", r"TestCycles: [+-]\d+\.\d KB a cycle over cycles 20 to 60 .*"]
    )


def test_summary__says_nothing_where_few_cycles_tell_nothing(pytester):
    pytester.makepyfile(SUITE.format(size=0))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert "resident memory" not in result.stdout.str()
