"""The interpreter's switch interval while versions load."""

from __future__ import annotations

import sys

import pytest

from navi_core.models.load_turns import LOADING_SWITCH_INTERVAL_S, short_turns


@pytest.fixture(autouse=True)
def usual():
    """Have the interval of a fresh interpreter, and leave it as it was."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before)


def test_short_turns__end_with_the_last_of_several_loads():
    first, second = short_turns(), short_turns()
    first.__enter__()
    second.__enter__()
    assert sys.getswitchinterval() == pytest.approx(LOADING_SWITCH_INTERVAL_S)
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(LOADING_SWITCH_INTERVAL_S)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_short_turns__end_where_a_load_fails():
    with pytest.raises(ValueError, match="broken"), short_turns():
        raise ValueError("broken")
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_short_turns__leave_an_interval_that_is_shorter_still():
    sys.setswitchinterval(0.00025)
    before = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == before
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("usual_s", [0.005, 0.003, 0.0019])
def test_short_turns__bring_the_same_interval_back_however_often(usual_s):
    sys.setswitchinterval(usual_s)
    before = sys.getswitchinterval()
    for _ in range(100):
        with short_turns():
            pass
    assert sys.getswitchinterval() == before
