"""When runs happen on the event loop: the gate alone."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.batching.inlining import (
    MAX_LONG,
    MAX_PAUSE_S,
    MAX_WAITED,
    MIN_PAUSE_S,
    NUM_SAMPLES,
    SEVERE,
    STREAK,
    InlineGate,
    InlineGates,
)
from navi_core.clock import ManualClock

LIMIT_S = 200e-6
SHORT_S, LONG_S = 20e-6, 5e-3


def opened(clock):
    gate = InlineGate(LIMIT_S)
    for _ in range(NUM_SAMPLES):
        gate.ran_elsewhere(SHORT_S, clock.now())
    assert gate.is_open
    return gate


def runs_elsewhere_until_open(gate, clock):
    """Return how many short runs on threads open the gate again."""
    for number in range(1, 100):
        gate.ran_elsewhere(SHORT_S, clock.now())
        if gate.is_open:
            return number
    return None


def test_it_opens_once_several_runs_were_seen():
    gate, clock = InlineGate(LIMIT_S), ManualClock()
    for _ in range(NUM_SAMPLES - 1):
        gate.ran_elsewhere(SHORT_S, clock.now())
        assert not gate.is_open
    gate.ran_elsewhere(SHORT_S, clock.now())
    assert gate.is_open
    assert gate.typical_s == SHORT_S


def test_it_stays_closed_for_a_model_that_is_long():
    gate, clock = InlineGate(LIMIT_S), ManualClock()
    for _ in range(1000):
        gate.ran_elsewhere(LONG_S, clock.advance(0.01))
        assert not gate.is_open


def test_one_of_the_last_runs_that_was_short_is_enough():
    """A thread's figure holds what it waited for the interpreter."""
    gate, clock = InlineGate(LIMIT_S), ManualClock()
    for _ in range(NUM_SAMPLES):
        gate.ran_elsewhere(LONG_S, clock.now())
    gate.ran_elsewhere(SHORT_S, clock.now())
    assert gate.is_open


def trusted(clock):
    gate = opened(clock)
    for _ in range(STREAK):
        assert gate.is_in_doubt
        gate.ran_inline(SHORT_S, clock.now(), SHORT_S)
    assert not gate.is_in_doubt
    return gate


def test_the_third_run_that_computes_too_long_closes_it():
    clock = ManualClock()
    gate = opened(clock)
    gate.ran_inline(LIMIT_S, clock.now(), LIMIT_S)
    for _ in range(MAX_LONG):
        assert gate.is_open
        gate.ran_inline(LIMIT_S * 1.001, clock.now(), LIMIT_S * 1.001)
    assert not gate.is_open


def test_one_that_computes_ten_times_as_long_closes_it_at_once():
    clock = ManualClock()
    gate = opened(clock)
    gate.ran_inline(LIMIT_S * SEVERE * 1.001, clock.now(), LIMIT_S * SEVERE * 1.001)
    assert not gate.is_open


def test_what_a_busy_machine_makes_long_is_let_pass_a_few_times():
    clock = ManualClock()
    gate = opened(clock)
    for _ in range(MAX_WAITED - 1):
        gate.ran_inline(LONG_S, clock.now(), SHORT_S)
        gate.ran_inline(SHORT_S, clock.now(), SHORT_S)
    assert gate.is_open
    gate.ran_inline(LONG_S, clock.now(), SHORT_S)
    assert not gate.is_open


def test_a_long_run_of_a_trusted_model_is_looked_into():
    clock = ManualClock()
    gate = trusted(clock)
    gate.ran_inline(LONG_S, clock.now())
    assert (gate.is_open, gate.is_in_doubt) == (True, True)
    gate.ran_inline(LONG_S, clock.now(), LONG_S)
    assert not gate.is_open
    for _ in range(NUM_SAMPLES):
        gate.ran_elsewhere(SHORT_S, clock.now())
    assert not gate.is_open, "not before its pause is over"
    clock.advance(MIN_PAUSE_S)
    assert runs_elsewhere_until_open(gate, clock) == 1


def test_long_runs_after_few_double_the_pause_up_to_its_maximum():
    clock = ManualClock()
    gate = opened(clock)
    pauses = []
    for _ in range(20):
        gate.ran_inline(LONG_S, clock.now(), LONG_S)
        closed_at = clock.now()
        while not gate.is_open:
            gate.ran_elsewhere(SHORT_S, clock.advance(MIN_PAUSE_S / 8))
        pauses.append(clock.now() - closed_at)
    assert pauses[1] >= 1.5 * pauses[0]
    assert MAX_PAUSE_S <= pauses[-1] < MAX_PAUSE_S * 1.01


def test_typical_time_follows_the_runs():
    clock = ManualClock()
    gate = opened(clock)
    for _ in range(200):
        gate.ran_inline(100e-6, clock.now())
    assert 90e-6 < gate.typical_s < 101e-6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1400)), max_size=60), st.floats(1e-5, 1e-1))
def test_of_many_runs_on_the_loop_few_are_long_whatever_the_model_does(stretches, period_s):
    """At most six in a streak, beside those that taught the gate to wait, and one for each of the longest pauses."""
    gate, clock = InlineGate(LIMIT_S), ManualClock()
    num_inline = num_long = 0
    are_long = [is_long for is_long, length in stretches for _ in range(length)]
    for is_long in are_long:
        now = clock.advance(period_s)
        if gate.is_open:
            num_inline += 1
            num_long += is_long
            seconds = 2 * LIMIT_S if is_long else SHORT_S
            gate.ran_inline(seconds, now, seconds if gate.is_in_doubt else None)
        else:
            gate.ran_elsewhere(SHORT_S, now)  # the worst that can be: threads never show it
    doublings = math.ceil(math.log2(MAX_PAUSE_S / MIN_PAUSE_S))
    assert num_long <= MAX_LONG * (
        2 * num_inline / STREAK + doublings + 1 + len(are_long) * period_s / MAX_PAUSE_S
    )


def test_gates_belong_to_sizes_by_powers_of_two():
    gates = InlineGates(LIMIT_S)
    assert gates.of(64) is gates.of(127)
    assert gates.of(64) is not gates.of(128)
    assert gates.of(0) is gates.of(0)
