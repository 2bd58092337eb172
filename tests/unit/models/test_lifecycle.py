"""The transition table: what it takes, what it refuses, and how it is drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.contracts.versions import ServableState
from navi_core.errors import LifecycleError
from navi_core.models.lifecycle import LEGAL_EVENTS, TRANSITIONS, Event, advance, draw_mermaid, draw_text

ORDER = list(ServableState)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], ServableState.START),
        ([Event.LOAD_STARTED], ServableState.LOADING),
        ([Event.LOAD_STARTED, Event.LOAD_SUCCEEDED], ServableState.AVAILABLE),
        ([Event.LOAD_STARTED, Event.LOAD_FAILED], ServableState.END),
        ([Event.DROPPED], ServableState.END),
        ([Event.LOAD_STARTED, Event.LOAD_SUCCEEDED, Event.UNLOAD_STARTED], ServableState.UNLOADING),
        (
            [Event.LOAD_STARTED, Event.LOAD_SUCCEEDED, Event.UNLOAD_STARTED, Event.UNLOAD_FINISHED],
            ServableState.END,
        ),
    ],
)
def test_advance__follows_each_life(events, expected):
    state = ServableState.START
    for event in events:
        state = advance(state, event)
    assert expected is state


def test_advance__refuses_every_pair_outside_the_table():
    refused = 0
    for state in ServableState:
        for event in Event:
            if (state, event) not in TRANSITIONS:
                with pytest.raises(LifecycleError, match=f"in state {state}: expected .*, got {event}"):
                    advance(state, event)
                refused += 1
    assert len(ServableState) * len(Event) - 6 == refused


def test_advance__error_lists_what_the_state_takes():
    with pytest.raises(LifecycleError) as caught:
        advance(ServableState.LOADING, Event.UNLOAD_STARTED)
    assert (
        caught.value.message
        == "lifecycle in state LOADING: expected LOAD_FAILED, LOAD_SUCCEEDED, got UNLOAD_STARTED"
    )


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_advance__only_moves_forward_and_ends_for_good(events):
    """Whatever happens in whatever order, the state never goes back, and END takes nothing."""
    state = ServableState.START
    for event in events:
        try:
            after = advance(state, event)
        except LifecycleError:
            assert event not in LEGAL_EVENTS[state]
            continue
        assert ORDER.index(after) > ORDER.index(state)
        state = after
    assert bool(LEGAL_EVENTS[state]) == (state is not ServableState.END)


@given(st.data())
def test_advance__every_life_can_reach_end(data):
    state = ServableState.START
    steps = 0
    while LEGAL_EVENTS[state]:
        state = advance(state, data.draw(st.sampled_from(sorted(LEGAL_EVENTS[state]))))
        steps += 1
    assert state is ServableState.END
    assert steps <= len(ServableState) - 1


def test_table__every_state_and_event_is_used():
    assert set(Event) == {event for _, event in TRANSITIONS}
    assert set(ServableState) == {ServableState.START} | set(TRANSITIONS.values())


def test_drawings__show_every_transition():
    mermaid, text = draw_mermaid(), draw_text()
    for (before, event), after in TRANSITIONS.items():
        assert f"    {before} --> {after}: {event}\n" in mermaid
        assert any(line.split() == [before, "--", event, "-->", after] for line in text.splitlines())
    assert mermaid.startswith("stateDiagram-v2\n    [*] --> START\n")
    assert mermaid.endswith("    END --> [*]\n")
    assert len(TRANSITIONS) == len(text.splitlines())
