"""What runs take of one turn of the event loop."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.batching.turns import TurnTime

LIMIT_S = 200e-6


class Loop:
    """Turns by hand."""

    def __init__(self):
        self.calls = []

    def call_soon(self, call):
        self.calls.append(call)

    def turn(self):
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def test_a_turn_is_over_once_runs_took_more_than_the_limit():
    loop = Loop()
    turn = TurnTime(loop.call_soon)
    turn.took(LIMIT_S, LIMIT_S)
    assert not turn.is_over(LIMIT_S)
    turn.took(1e-6, LIMIT_S)
    assert turn.is_over(LIMIT_S)
    assert not turn.is_over(2 * LIMIT_S), "another model's limit"


def test_the_next_turn_is_asked_for_once_and_begins_anew():
    loop = Loop()
    turn = TurnTime(loop.call_soon)
    turn.took(2 * LIMIT_S, LIMIT_S)
    assert [turn.is_over(LIMIT_S) for _ in range(3)] == [True] * 3
    assert len(loop.calls) == 1
    loop.turn()
    assert not turn.is_over(LIMIT_S)
    turn.took(2 * LIMIT_S, LIMIT_S)
    assert turn.is_over(LIMIT_S)
    assert len(loop.calls) == 1


def test_runs_of_turns_apart_are_not_added_up_against_a_request():
    """One request a turn: the run that uses the limit up has the next turn begin anew."""
    loop = Loop()
    turn = TurnTime(loop.call_soon)
    for _ in range(100):
        loop.turn()
        assert not turn.is_over(LIMIT_S)
        turn.took(LIMIT_S / 10, LIMIT_S)


@settings(max_examples=100)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 3 * LIMIT_S), st.sampled_from([LIMIT_S, 2 * LIMIT_S])), max_size=30),
        max_size=20,
    )
)
def test_no_turn_takes_more_than_a_limit_and_one_run(turns):
    """Of two models, one with twice the limit; a request that comes in a turn that is over does not run."""
    loop = Loop()
    turn = TurnTime(loop.call_soon)
    for requests in turns:
        loop.turn()
        taken_s, longest_s, is_over = 0.0, 0.0, False
        for seconds, limit_s in requests:
            if turn.is_over(limit_s):
                is_over = True
                continue
            taken_s += seconds
            longest_s = max(longest_s, seconds)
            turn.took(seconds, limit_s)
        assert taken_s <= 2 * LIMIT_S + longest_s + 1e-12
        if is_over:
            assert loop.calls, "or it would be over for ever"
