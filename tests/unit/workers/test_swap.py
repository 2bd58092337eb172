"""Two phases of a swap: who is told what, whatever comes in which order. No clock but the test's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from navi_core.clock import ManualClock
from navi_core.errors import LifecycleError
from navi_core.workers.swap import (
    HOLD_TIMEOUT_S,
    PATIENCE,
    REST_S,
    TRANSITIONS,
    End,
    Event,
    Phase,
    Say,
    Swaps,
    Word,
)


class Stage:
    """Swaps of some members on a manual clock."""

    def __init__(self, *members):
        self.clock = ManualClock()
        self.swaps = Swaps()
        for member in members:
            self.swaps.join(member, self.clock.now())

    def __getattr__(self, name):
        method = getattr(self.swaps, name)
        return lambda *args, **kwargs: method(*args, self.clock.now(), **kwargs)

    def held_up(self):
        """Bring swap 1 to where both members were told to hold; returns the barrier's number."""
        self.begin(1, needs_prepare=True)
        self.prepared(1, 1)
        told = self.prepared(2, 1)
        assert words(told) == [(Word.HOLD, 1), (Word.HOLD, 2)]
        return told[0].hold


def words(actions):
    return [(each.word, each.member) for each in actions if isinstance(each, Say)]


def ends(actions):
    return [(each.swap, each.is_made) for each in actions if isinstance(each, End)]


def test_a_swap_waits_for_all_twice():
    stage = Stage(1, 2)
    assert words(stage.begin(1, needs_prepare=True)) == [(Word.PREPARE, 1), (Word.PREPARE, 2)]
    assert stage.prepared(1, 1) == []
    told = stage.prepared(2, 1)
    assert words(told) == [(Word.HOLD, 1), (Word.HOLD, 2)]
    hold = told[0].hold
    assert stage.held(2, hold) == []
    assert words(stage.held(1, hold)) == [(Word.SWITCH, 1), (Word.SWITCH, 2)]
    assert stage.switched(1, hold) == []
    assert ends(stage.switched(2, hold)) == [(1, True)]
    assert stage.swaps.phase(1) is None


def test_one_that_cannot_load_ends_it_for_all():
    stage = Stage(1, 2)
    stage.begin(1, needs_prepare=True)
    stage.prepared(1, 1)
    told = stage.failed(2, 1)
    assert words(told) == [(Word.DISCARD, 1), (Word.DISCARD, 2)]
    assert ends(told) == [(1, False)]
    assert stage.prepared(1, 1) == []


def test_a_member_that_does_not_hold_in_time_delays_the_swap_and_no_request():
    stage = Stage(1, 2)
    hold = stage.held_up()
    stage.held(1, hold)
    stage.clock.advance(HOLD_TIMEOUT_S / 2)
    assert stage.swaps.tick(stage.clock.now()) == []
    stage.clock.advance(HOLD_TIMEOUT_S / 2)
    assert words(stage.swaps.tick(stage.clock.now())) == [(Word.RELEASE, 1), (Word.RELEASE, 2)]
    assert stage.swaps.next_due == stage.clock.now() + REST_S
    stage.clock.advance(REST_S)
    again = stage.swaps.tick(stage.clock.now())
    assert words(again) == [(Word.HOLD, 1), (Word.HOLD, 2)]
    assert stage.held(2, hold) == [], "an answer to the first try says nothing of the second"
    assert again[0].hold != hold
    stage.held(1, again[0].hold)
    assert words(stage.held(2, again[0].hold)) == [(Word.SWITCH, 1), (Word.SWITCH, 2)]


def test_after_many_tries_it_happens_all_the_same():
    stage = Stage(1)
    stage.begin(1, needs_prepare=False)
    for _ in range(PATIENCE):
        stage.clock.advance(HOLD_TIMEOUT_S)
        stage.swaps.tick(stage.clock.now())
        stage.clock.advance(REST_S)
        stage.swaps.tick(stage.clock.now())
    assert stage.swaps.next_due - stage.clock.now() > 10 * HOLD_TIMEOUT_S


def test_barriers_come_one_after_the_other():
    stage = Stage(1)
    first = stage.begin(1, needs_prepare=False)
    assert stage.begin(2, needs_prepare=False) == []
    stage.held(1, first[0].hold)
    told = stage.switched(1, first[0].hold)
    assert ends(told) == [(1, True)]
    assert words(told) == [(Word.HOLD, 1)]
    assert stage.swaps.phase(2) is Phase.HOLDING


@pytest.mark.parametrize("moment", ["preparing", "holding", "switching"])
def test_a_member_that_is_gone_is_not_waited_for(moment):
    stage = Stage(1, 2)
    if moment == "preparing":
        stage.begin(1, needs_prepare=True)
        stage.prepared(1, 1)
        assert words(stage.leave(2)) == [(Word.HOLD, 1)]
        return
    hold = stage.held_up()
    stage.held(1, hold)
    if moment == "holding":
        assert words(stage.leave(2)) == [(Word.SWITCH, 1)]
        return
    stage.held(2, hold)
    stage.switched(1, hold)
    assert ends(stage.leave(2)) == [(1, True)]


def test_a_member_that_comes_has_to_prepare_too():
    stage = Stage(1)
    stage.begin(1, needs_prepare=True)
    assert words(stage.join(2)) == [(Word.PREPARE, 2)]
    assert stage.prepared(1, 1) == []
    assert words(stage.prepared(2, 1)) == [(Word.HOLD, 1), (Word.HOLD, 2)]


def test_a_member_that_comes_while_the_barrier_rests_has_to_prepare_too():
    stage = Stage(1, 2)
    stage.held_up()
    stage.clock.advance(HOLD_TIMEOUT_S)
    stage.swaps.tick(stage.clock.now())
    assert stage.swaps.phase(1) is Phase.RESTING
    assert words(stage.join(3)) == [(Word.PREPARE, 3)]
    assert words(stage.prepared(3, 1)) == [(Word.HOLD, 1), (Word.HOLD, 2), (Word.HOLD, 3)]


def test_nobody_joins_under_a_barrier():
    stage = Stage(1, 2)
    stage.held_up()
    with pytest.raises(LifecycleError, match="worker 3 cannot join while the others switch"):
        stage.join(3)


def test_what_is_not_wanted_any_more_is_discarded():
    stage = Stage(1, 2)
    hold = stage.held_up()
    told = stage.abandon(1)
    assert words(told) == [(Word.RELEASE, 1), (Word.RELEASE, 2), (Word.DISCARD, 1), (Word.DISCARD, 2)]
    assert ends(told) == [(1, False)]
    assert stage.held(1, hold) == []


def test_a_switch_that_was_said_is_not_taken_back():
    stage = Stage(1, 2)
    hold = stage.held_up()
    stage.held(1, hold)
    stage.held(2, hold)
    assert stage.abandon(1) == []
    assert stage.swaps.phase(1) is Phase.SWITCHING


def test_without_any_member_nothing_counts_as_prepared():
    stage = Stage()
    assert stage.begin(1, needs_prepare=True) == []
    assert stage.swaps.phase(1) is Phase.PREPARING


def test_the_table_leads_every_phase_to_an_end():
    ends_ = {Phase.DONE, Phase.FAILED}
    assert {phase for phase, _ in TRANSITIONS} == set(Phase) - ends_
    assert {event for _, event in TRANSITIONS} == set(Event)
    reached = set(ends_)
    while grown := {phase for (phase, _), after in TRANSITIONS.items() if after in reached} - reached:
        reached |= grown
    assert reached == set(Phase)


class Anything(RuleBasedStateMachine):
    """Members come, go, answer late or never; time passes; swaps begin and are abandoned."""

    swaps_made = Bundle("swaps_made")

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.swaps = Swaps()
        self.numbers = 0
        self.version = {}  # member -> newest swap that it serves
        self.holding = {}  # member -> barrier that it holds
        self.told = {}  # member -> messages on their way to it, in order
        self.answers = []
        self.ended = {}
        self.switched_any = 0

    def take(self, actions):
        for each in actions:
            if isinstance(each, End):
                assert each.swap not in self.ended
                self.ended[each.swap] = each.is_made
            elif each.member in self.told:
                self.told[each.member].append(each)

    @rule(member=st.integers(1, 3))
    def join(self, member):
        if member in self.swaps.members or self.swaps.is_barrier_up:
            return
        self.told[member], self.holding[member] = [], None
        self.version[member] = self.switched_any
        self.take(self.swaps.join(member, self.clock.now()))

    @rule(member=st.integers(1, 3))
    def leave(self, member):
        if member in self.told:
            del self.told[member], self.holding[member], self.version[member]
            self.answers = [each for each in self.answers if each[1] != member]
            self.take(self.swaps.leave(member, self.clock.now()))

    @rule(target=swaps_made, needs_prepare=st.booleans())
    def begin(self, needs_prepare):
        self.numbers += 1
        self.take(self.swaps.begin(self.numbers, self.clock.now(), needs_prepare=needs_prepare))
        return self.numbers

    @rule(swap=swaps_made)
    def abandon(self, swap):
        self.take(self.swaps.abandon(swap, self.clock.now()))

    @rule(seconds=st.sampled_from([0.0, 0.01, HOLD_TIMEOUT_S, REST_S, 2.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)
        self.take(self.swaps.tick(self.clock.now()))

    @rule(member=st.integers(1, 3), fails=st.booleans())
    def deliver(self, member, fails):
        """One message arrives, and what it is answered with sets out."""
        if not self.told.get(member):
            return
        say = self.told[member].pop(0)
        if say.word is Word.PREPARE:
            self.answers.append(("failed" if fails and say.swap % 5 == 0 else "prepared", member, say.swap))
        elif say.word is Word.HOLD:
            self.holding[member] = say.hold
            self.answers.append(("held", member, say.hold))
        elif say.word is Word.RELEASE:
            self.holding[member] = None
        elif say.word is Word.SWITCH:
            assert self.holding[member] == say.hold, "switched without holding"
            others = [self.holding[each] for each in self.told if each != member]
            behind = [
                each
                for each in self.told
                if each != member and self.version[each] < say.hold and self.holding[each] != say.hold
            ]
            assert not behind, f"{behind} admit to the old version, others hold {others}"
            self.holding[member], self.version[member] = None, say.hold
            self.switched_any = max(self.switched_any, say.hold)
            self.answers.append(("switched", member, say.hold))

    @rule()
    def answer(self):
        if self.answers:
            kind, member, number = self.answers.pop(0)
            self.take(getattr(self.swaps, kind)(member, number, self.clock.now()))

    @invariant()
    def one_barrier_at_most(self):
        up = [
            n for n in range(1, self.numbers + 1) if self.swaps.phase(n) in (Phase.HOLDING, Phase.SWITCHING)
        ]
        assert len(up) <= 1


Anything.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestAnything = Anything.TestCase


@given(st.permutations([("prepared", 1), ("prepared", 2), ("prepared", 3)]))
def test_the_order_of_answers_does_not_matter(order):
    stage = Stage(1, 2, 3)
    stage.begin(1, needs_prepare=True)
    told = [getattr(stage, kind)(member, 1) for kind, member in order]
    assert [words(each) for each in told[:-1]] == [[], []]
    assert words(told[-1]) == [(Word.HOLD, 1), (Word.HOLD, 2), (Word.HOLD, 3)]
