"""When a request is sent again: decisions, with a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navi_client import Code, Retries
from navi_client.retrying import RETRIED, Attempts


class Clock:
    def __init__(self) -> None:
        self.time_s = 100.0

    def now(self) -> float:
        return self.time_s


def attempts(retries=None, timeout_s=None, chance=1.0):
    clock = Clock()
    return clock, Attempts(retries or Retries(), timeout_s, clock.now, lambda: chance)


def test_two_retries_with_growing_pauses_and_no_more():
    _, tried = attempts()
    assert [tried.pause_s(Code.RESOURCE_EXHAUSTED) for _ in range(4)] == [0.02, 0.04, None, None]
    assert tried.retries_done == 2


def test_pauses_are_random_up_to_their_limit():
    _, tried = attempts(Retries(at_most=100, longest_pause_s=0.5), chance=0.5)
    pauses = [tried.pause_s(Code.UNKNOWN) for _ in range(100)]
    assert pauses[:2] == [0.01, 0.02]
    assert max(pauses) == pauses[-1] == 0.25


@pytest.mark.parametrize("code", Code)
def test_only_what_navis_callers_retry_is_retried(code):
    _, tried = attempts()
    assert (tried.pause_s(code) is not None) == (code in {"RESOURCE_EXHAUSTED", "UNKNOWN"})
    assert {"RESOURCE_EXHAUSTED", "UNKNOWN"} == RETRIED


def test_the_deadline_is_for_all_attempts_together():
    clock, tried = attempts(timeout_s=0.1)
    assert tried.remaining_s() == pytest.approx(0.1)
    clock.time_s += 0.07
    assert tried.remaining_s() == pytest.approx(0.03)
    assert tried.pause_s(Code.UNKNOWN) == 0.02
    clock.time_s += 0.02
    assert tried.pause_s(Code.UNKNOWN) is None  # 0.04 s would outlast it: the reason is told now
    assert tried.retries_done == 1
    clock.time_s += 5
    assert tried.remaining_s() == 0


def test_no_retries():
    _, tried = attempts(Retries(at_most=0))
    assert tried.pause_s(Code.UNKNOWN) is None
    assert tried.remaining_s() is None


@given(st.integers(0, 5), st.floats(0.001, 2), st.lists(st.sampled_from(list(Code)), max_size=10))
def test_pauses_never_add_up_to_more_than_the_time(at_most, timeout_s, codes):
    clock, tried = attempts(Retries(at_most=at_most), timeout_s)
    for code in codes:
        pause_s = tried.pause_s(code)
        clock.time_s += pause_s or 0
    assert tried.retries_done <= at_most
    assert clock.time_s - 100 <= timeout_s + 1e-9


@pytest.mark.parametrize("name", ["at_most", "first_pause_s", "longest_pause_s"])
def test_negative_numbers_are_refused(name):
    with pytest.raises(ValueError, match=f"retries: {name}: expected >= 0, got -1"):
        Retries(**{name: -1})
