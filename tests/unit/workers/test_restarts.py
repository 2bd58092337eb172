"""A worker that ended is started anew at once, and not again and again."""

from __future__ import annotations

from navi_core.workers.restarts import LOOP_AFTER, MAX_BACKOFF_S, Restarts


def test_the_first_end_costs_no_time():
    assert Restarts().ended(0.0) == 0.0


def test_one_that_served_for_long_is_started_at_once_however_often():
    restarts = Restarts()
    assert [restarts.ended(60.0) for _ in range(5)] == [0.0] * 5
    assert not restarts.is_loop


def test_a_loop_backs_off_and_is_one():
    restarts = Restarts()
    delays = [restarts.ended(0.5) for _ in range(12)]
    assert delays[:4] == [0.0, 0.5, 1.0, 2.0]
    assert delays == sorted(delays)
    assert delays[-1] == MAX_BACKOFF_S
    assert restarts.is_loop


def test_a_loop_is_one_only_after_some_ends():
    restarts = Restarts()
    for _ in range(LOOP_AFTER - 1):
        restarts.ended(0.0)
    assert not restarts.is_loop
    restarts.ended(0.0)
    assert restarts.is_loop
    assert restarts.ended(11.0) == 0.0
    assert not restarts.is_loop
