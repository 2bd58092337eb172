"""Who still answers, by counting beats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from navi_core.workers.pulse import BEAT_S, BUSY_FACTOR, Pulse

SILENCE_S = 3.0
BEATS = round(SILENCE_S / BEAT_S)


def pulse(*members):
    made = Pulse(SILENCE_S)
    for member in members:
        made.came(member)
    return made


def test_one_that_says_nothing_is_silent_after_the_time_and_not_before():
    made = pulse(1, 2)
    for _ in range(BEATS):
        assert made.beat() == []
        made.heard(2)
    assert made.beat() == [1]


def test_one_that_loads_has_longer():
    made = pulse(1)
    for _ in range(BUSY_FACTOR * BEATS):
        assert made.beat(busy={1}) == []
    assert made.beat(busy={1}) == [1]


def test_one_that_is_gone_is_not_listened_for():
    made = pulse(1)
    made.gone(1)
    made.heard(1)
    assert not any(made.beat() for _ in range(2 * BEATS))


def test_a_very_short_time_is_two_beats_all_the_same():
    made = Pulse(0.001)
    made.came(1)
    assert [made.beat() for _ in range(3)] == [[], [], [1]]


@given(st.lists(st.booleans(), max_size=60))
def test_whoever_answers_often_enough_is_never_silent(answers):
    made, missed = pulse(1), 0
    for answered in answers:
        silent = made.beat()
        assert silent == ([1] if missed >= BEATS else [])
        missed += 1
        if answered:
            made.heard(1)
            missed = 0
