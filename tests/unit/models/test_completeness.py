"""Marker and stability rules, on hand-made trees and clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.models.completeness import CompletenessRule, Entry, next_look
from navi_core.models.completeness import observe as observe_between

SECOND_NS = 10**9
WALL_NS = 1_700_000_000 * SECOND_NS
STABLE = CompletenessRule(stable_ms=2000)
MARKER = CompletenessRule(kind="marker", marker="_SUCCESS")


def observe(previous, there, rule, *, now, wall_ns=None):
    """Observe by a look that takes no time."""
    return observe_between(previous, there, rule, began=now, ended=now, wall_ns=wall_ns)


def tree(*entries):
    return frozenset(entries)


def file(name="model.onnx", size=10, age_s=0.0):
    return Entry(name, size, WALL_NS - int(age_s * SECOND_NS))


def folder(name=".", age_s=0.0):
    return Entry(name, 0, WALL_NS - int(age_s * SECOND_NS), is_file=False)


def test_stable__counts_after_stable_ms_without_change():
    first = observe(None, tree(file()), STABLE, now=100.0)
    assert not first.complete
    assert next_look(first, STABLE) == 102.0
    assert not observe(first, tree(file()), STABLE, now=101.999).complete
    done = observe(first, tree(file()), STABLE, now=102.0)
    assert done.complete
    assert next_look(done, STABLE) is None


@pytest.mark.parametrize(
    "changed",
    [
        tree(file(size=11)),
        tree(file(age_s=-1)),
        tree(file(age_s=5)),
        tree(file(name="other.onnx")),
        tree(file(), file("data.bin")),
        tree(file(), folder("sub")),
    ],
    ids=["size", "mtime newer", "mtime older", "renamed", "file added", "folder added"],
)
def test_stable__any_change_starts_the_wait_again(changed):
    seen = observe(None, tree(file()), STABLE, now=100.0)
    seen = observe(seen, changed, STABLE, now=103.0)
    assert not seen.complete
    assert next_look(seen, STABLE) == 105.0
    assert observe(seen, changed, STABLE, now=105.0).complete


@pytest.mark.parametrize(
    ("age_s", "expected"), [(3600, True), (2.0, True), (1.9, False), (0, False), (-3600, False)]
)
def test_stable__at_the_first_look_old_directories_count_at_once(age_s, expected):
    there = tree(file(age_s=age_s), folder(age_s=9000))
    assert observe(None, there, STABLE, now=5.0, wall_ns=WALL_NS).complete is expected
    assert not observe(None, there, STABLE, now=5.0).complete


def test_stable__a_copy_that_keeps_old_mtimes_is_seen_by_its_directory():
    there = tree(file(age_s=99999), folder(age_s=0.1))
    assert not observe(None, there, STABLE, now=5.0, wall_ns=WALL_NS).complete


def test_stable__an_empty_directory_never_counts_and_needs_no_look():
    empty = tree(folder(age_s=9000), folder("sub", age_s=9000))
    seen = observe(None, empty, STABLE, now=1.0, wall_ns=WALL_NS)
    assert not seen.complete
    assert next_look(seen, STABLE) is None
    assert not observe(seen, empty, STABLE, now=1000.0).complete


def test_stable__the_time_that_a_look_takes_is_not_counted():
    seen = observe_between(None, tree(file()), STABLE, began=100.0, ended=101.5)
    assert next_look(seen, STABLE) == 103.5
    assert not observe_between(seen, tree(file()), STABLE, began=103.4, ended=110.0).complete
    assert observe_between(seen, tree(file()), STABLE, began=103.5, ended=104.0).complete
    instant = CompletenessRule(stable_ms=0)
    assert observe_between(None, tree(file()), instant, began=100.0, ended=101.5).complete


def test_stable__zero_counts_at_once():
    assert observe(None, tree(file()), CompletenessRule(stable_ms=0), now=1.0).complete


def test_marker__counts_with_the_marker_and_not_before():
    seen = observe(None, tree(file(age_s=9000)), MARKER, now=1.0, wall_ns=WALL_NS)
    assert not seen.complete
    assert next_look(seen, MARKER) is None
    seen = observe(seen, tree(file(age_s=9000)), MARKER, now=9000.0)
    assert not seen.complete
    assert observe(seen, tree(file(), file("_SUCCESS", 0)), MARKER, now=9000.1).complete


@pytest.mark.parametrize("entry", [folder("_SUCCESS"), file("sub/_SUCCESS"), file("_success")])
def test_marker__must_be_a_file_at_the_top(entry):
    assert not observe(None, tree(file(), entry), MARKER, now=1.0).complete


def test_complete__stays_so_and_remembers_nothing():
    done = observe(None, tree(file()), CompletenessRule(stable_ms=0), now=1.0)
    assert done.tree == frozenset()
    assert observe(done, tree(file(size=99)), STABLE, now=1.1) is done


LOOKS = st.lists(
    st.tuples(st.floats(0.01, 3.0), st.integers(0, 2), st.integers(-(10**9), 10**9)), max_size=30
)


@given(LOOKS, st.sampled_from([500.0, 2000.0]))
def test_stable__counts_exactly_when_unchanged_for_long_enough(looks, stable_ms):
    """Beside a model that keeps the whole history; the wall clock jumps at will and changes nothing."""
    rule = CompletenessRule(stable_ms=stable_ms)
    now, seen, history = 0.0, None, []
    for step_s, size, _ in looks:
        now += step_s
        there = tree(file(size=size + 1))
        history.append((now, there))
        seen = observe(seen, there, rule, now=now)
        first_same = next(
            moment
            for index, (moment, _) in enumerate(history)
            if all(other == there for _, other in history[index:])
        )
        if now >= first_same + stable_ms / 1000.0:
            assert seen.complete
            return
        assert not seen.complete
        assert next_look(seen, rule) == pytest.approx(first_same + stable_ms / 1000.0)


@given(LOOKS)
def test_stable__after_the_first_look_mtimes_are_only_compared_never_measured(looks):
    """Shifting every mtime by any amount (a clock that jumps between hosts) changes no verdict."""

    def verdicts(shift_ns):
        now, seen, answers = 0.0, None, []
        for step_s, size, _ in looks:
            now += step_s
            there = tree(Entry("model.onnx", size, WALL_NS + size + shift_ns))
            seen = observe(seen, there, STABLE, now=now)
            answers.append(seen.complete)
        return answers

    assert verdicts(0) == verdicts(looks[0][2] * 10**9 if looks else 1)


def test_rules__say_what_they_wait_for():
    assert STABLE.waits_for == "no change for 2000 ms"
    assert MARKER.waits_for == "the file '_SUCCESS'"
