"""When runs happen on the event loop: the gate alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.batching.inlining import (
    BURST,
    MAX_PAUSE_S,
    MIN_PAUSE_S,
    NUM_SAMPLES,
    SEVERE_S,
    SHARE,
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


def test_single_long_runs_do_not_close_it():
    """A busy machine makes one of twenty runs long; the loop would have been held up all the same."""
    clock = ManualClock()
    gate = opened(clock)
    for number in range(10_000):
        gate.ran_inline(5 * LIMIT_S if number % 20 == 0 else SHORT_S, clock.advance(1e-3))
    assert gate.is_open


def test_a_model_that_turned_slow_closes_it_within_a_few_runs():
    clock = ManualClock()
    gate = opened(clock)
    for _ in range(1000):
        gate.ran_inline(SHORT_S, clock.advance(1e-3))
    runs = 0
    while gate.is_open:
        gate.ran_inline(4 * LIMIT_S, clock.advance(1e-3))
        runs += 1
    assert runs <= 11
    for _ in range(NUM_SAMPLES):
        gate.ran_elsewhere(SHORT_S, clock.now())
    assert not gate.is_open, "not before its pause is over"
    clock.advance(MIN_PAUSE_S)
    assert runs_elsewhere_until_open(gate, clock) == 1


def test_one_run_that_takes_very_long_closes_it_at_once():
    clock = ManualClock()
    gate = opened(clock)
    gate.ran_inline(LIMIT_S * (BURST + 1) * 1.001, clock.now())
    assert not gate.is_open


def test_long_runs_far_apart_are_forgotten():
    clock = ManualClock()
    gate = opened(clock)
    for _ in range(1000):
        gate.ran_inline(LIMIT_S * BURST, clock.advance(LIMIT_S * BURST / SHARE))
    assert gate.is_open


def test_long_runs_after_few_double_the_pause_up_to_its_maximum():
    clock = ManualClock()
    gate = opened(clock)
    pauses = []
    for _ in range(20):
        gate.ran_inline(2 * LONG_S, clock.now())
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
@given(
    st.lists(
        st.tuples(st.sampled_from([SHORT_S, 1.5 * LIMIT_S, LONG_S, 0.05]), st.integers(1, 900)), max_size=40
    ),
    st.floats(1e-5, 1e-1),
)
def test_runs_on_the_loop_take_little_of_its_time_beyond_the_limit_whatever_the_model_does(
    stretches, period_s
):
    """Of each opening: a tenth of the time, what may come at once, and the run that closes the gate."""
    gate, clock = InlineGate(LIMIT_S), ManualClock()
    excess_s, opened_at, longest_s = 0.0, 0.0, 0.0
    for seconds, length in stretches:
        for _ in range(length):
            now = clock.advance(period_s)
            if gate.is_open:
                excess_s += max(0.0, seconds - LIMIT_S)
                longest_s = max(longest_s, seconds)
                gate.ran_inline(seconds, now)
                assert excess_s <= SHARE * (now - opened_at) + BURST * LIMIT_S + longest_s + 1e-9
            else:
                gate.ran_elsewhere(SHORT_S, now)  # the worst that can be: threads never show it
                excess_s, opened_at, longest_s = 0.0, now, 0.0


def test_gates_belong_to_sizes_by_powers_of_two():
    gates = InlineGates(LIMIT_S)
    assert gates.of(64) is gates.of(127)
    assert gates.of(64) is not gates.of(128)
    assert gates.of(0) is gates.of(0)


def test_a_run_that_stands_still_closes_it_however_generous_the_limit():
    gate, clock = InlineGate(10e-3), ManualClock()
    for _ in range(NUM_SAMPLES):
        gate.ran_elsewhere(SHORT_S, clock.now())
    gate.ran_inline(0.99 * SEVERE_S, clock.advance(1.0))
    assert gate.is_open
    gate.ran_inline(SEVERE_S, clock.advance(1.0))
    assert not gate.is_open


def test_a_limit_beyond_that_is_kept_to():
    gate, clock = InlineGate(2 * SEVERE_S), ManualClock()
    for _ in range(NUM_SAMPLES):
        gate.ran_elsewhere(SHORT_S, clock.now())
    gate.ran_inline(2 * SEVERE_S, clock.now())
    assert gate.is_open
