"""The batching decisions where requests have priorities."""

from __future__ import annotations

import pytest
from queue_entries import entry, items, queue_of

from navi_core.batching.queue import (
    BatchPolicy,
    CloseReason,
    DropReason,
)


def test_levels__are_served_one_after_the_other_and_in_order_within():
    queue = queue_of(
        entry("late low", level=2),
        entry("high", level=0),
        entry("middle", level=1),
        entry("high again", level=0),
        priority_levels=3,
        max_batch_requests=1,
    )

    taken = [items(queue.take(0.0))[0] for _ in range(4)]

    assert taken == ["high", "high again", "middle", "late low"]


def test_levels__lower_ones_fill_what_higher_ones_leave_of_a_batch():
    queue = queue_of(
        entry(1, rows=2, level=1),
        entry(2, rows=5, level=0),
        entry(3, rows=2, level=1),
        priority_levels=2,
        max_batch_rows=8,
    )

    first, second = queue.take(0.0), queue.take(0.0)

    assert (items(first), first.reason) == ([2, 1], CloseReason.ROWS)
    assert items(second) == [3]


def test_levels__a_lower_one_does_not_overtake_a_higher_one_that_does_not_fit():
    queue = queue_of(
        entry(1, rows=5, level=0),
        entry(2, rows=5, level=0),
        entry(3, rows=1, level=1),
        priority_levels=2,
        max_batch_rows=8,
    )

    assert [items(queue.take(0.0)) for _ in range(2)] == [[1], [2, 3]]


def test_levels__of_other_keys_go_first_too():
    queue = queue_of(
        entry(1, key="a", level=1),
        entry(2, key=None, level=1),
        entry(3, key="b", level=0),
        priority_levels=2,
    )

    assert [items(queue.take(0.0)) for _ in range(3)] == [[3], [1], [2]]


def test_levels__a_ripe_low_request_brings_its_batch_but_not_itself_to_the_front():
    queue = queue_of(
        entry("low", at=0.0, level=1), entry("high", at=0.9, level=0), priority_levels=2, batch_timeout_s=1.0
    )

    early, late = queue.take(0.95), queue.take(1.0)

    assert (items(early), early.wake_at) == ([], 1.0)
    assert (items(late), late.reason) == (["high", "low"], CloseReason.TIMEOUT)


def test_levels__a_ripe_low_request_does_not_wait_for_a_high_one_that_lingers():
    queue = queue_of(
        entry("low", key="a", at=0.0, level=1),
        entry("high", key="b", at=0.9, level=0),
        priority_levels=2,
        batch_timeout_s=1.0,
    )

    assert items(queue.take(1.0)) == ["low"]


def test_levels__a_low_request_that_waits_too_long_is_handed_back_when_its_turn_comes():
    low, high = entry("low", deadline=1.0, level=1), entry("high", level=0)
    queue = queue_of(low, high, priority_levels=2, max_batch_requests=1)

    assert items(queue.take(0.5)) == ["high"]
    decision = queue.take(1.5)

    assert (decision.batch, decision.dropped) == ([], [low])
    assert DropReason.DEADLINE is low.dropped


def test_levels__what_is_too_old_is_handed_back_though_its_turn_never_comes():
    low = entry("low", at=0.0, level=1)
    queue = queue_of(low, priority_levels=2, max_batch_requests=1, batch_drop_s=1.0)
    dropped = []
    for step in range(14):
        queue.offer(entry(step, at=step / 10, level=0))
        queue.offer(entry(step, at=step / 10, level=0))
        decision = queue.take(step / 10)
        assert items(decision) != ["low"]
        dropped += decision.dropped

    assert dropped == [low]
    assert DropReason.STALE is low.dropped


@pytest.mark.parametrize(
    ("levels", "default", "priority", "level"),
    [
        (0, None, 7, 0),
        (4, 2, 0, 1),
        (4, 2, 1, 0),
        (4, 2, 4, 3),
        (4, 2, 5, 1),  # one that there is not asks for the default level, as in Triton
        (4, 2, 2**64 - 1, 1),
        (4, None, 0, 3),
        (2, 3, 0, 1),  # settings that say so only once they are merged
    ],
)
def test_policy__a_priority_becomes_a_level(levels, default, priority, level):
    policy = BatchPolicy(priority_levels=levels, default_priority_level=default)
    assert policy.level_of(priority) == level
