"""The batching decisions: limits, order, turns, and what is dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from navi_core.batching.queue import (
    BatchPolicy,
    BatchQueue,
    CloseReason,
    DropReason,
    Entry,
    pad_rows,
    split_rows,
)
from navi_core.config.records import BatchingSettings
from navi_core.errors import ErrorCode, QueueFullError


def entry(item, *, key="k", rows=1, size=10, at=0.0, deadline=None, level=0):
    return Entry(
        item=item,
        key=key,
        num_rows=rows,
        size_bytes=size,
        enqueued_at=at,
        deadline=deadline,
        level=level,
    )


def queue_of(*entries, **policy):
    queue = BatchQueue(BatchPolicy(**policy), model="m")
    for one in entries:
        queue.offer(one)
    return queue


def items(decision):
    return [one.item for one in decision.batch]


def test_take__a_free_worker_takes_what_is_queued_at_once():
    queue = queue_of(entry(1), entry(2), entry(3))

    decision = queue.take(0.0)

    assert items(decision) == [1, 2, 3]
    assert CloseReason.FREE_WORKER is decision.reason
    assert 0 == len(queue) == queue.num_rows == queue.size_bytes


def test_take__an_empty_queue_has_nothing_and_no_wake_up():
    decision = queue_of().take(0.0)

    assert decision.batch == []
    assert decision.wake_at is None


def test_take__rows_limit_stops_before_the_request_that_does_not_fit():
    queue = queue_of(entry(1, rows=4), entry(2, rows=4), entry(3, rows=4), max_batch_rows=10)

    first, second = queue.take(0.0), queue.take(0.0)

    assert (items(first), first.reason) == ([1, 2], CloseReason.ROWS)
    assert (items(second), second.reason) == ([3], CloseReason.FREE_WORKER)


def test_take__requests_limit_of_one_runs_each_request_whole():
    queue = queue_of(entry(1, rows=64), entry(2, rows=64), max_batch_requests=1)

    decision = queue.take(0.0)

    assert (items(decision), decision.reason) == ([1], CloseReason.REQUESTS)
    assert queue.num_rows == 64


def test_take__a_request_over_the_row_limit_runs_alone_and_whole():
    queue = queue_of(entry(1, rows=100), entry(2, rows=1), max_batch_rows=10)

    first, second = queue.take(0.0), queue.take(0.0)

    assert (items(first), first.reason) == ([1], CloseReason.ALONE)
    assert items(second) == [2]


def test_take__different_keys_never_share_a_batch_and_take_turns():
    queue = queue_of(entry(1, key="a"), entry(2, key="b"), entry(3, key="a"), max_batch_requests=1)

    assert [items(queue.take(0.0)) for _ in range(3)] == [[1], [2], [3]]


def test_take__no_key_runs_alone():
    queue = queue_of(entry(1, key=None), entry(2, key=None))

    first = queue.take(0.0)

    assert (items(first), first.reason) == ([1], CloseReason.ALONE)
    assert items(queue.take(0.0)) == [2]


def test_take__disabled_batching_runs_every_request_alone():
    queue = queue_of(entry(1), entry(2), enabled=False)

    assert items(queue.take(0.0)) == [1]


def test_take__a_linger_waits_for_more_but_not_longer():
    queue = queue_of(entry(1, at=5.0), entry(2, at=5.5), batch_timeout_s=1.0)

    early, late = queue.take(5.9), queue.take(6.0)

    assert (items(early), early.wake_at) == ([], 6.0)
    assert (items(late), late.reason) == ([1, 2], CloseReason.TIMEOUT)


@pytest.mark.parametrize(
    ("limits", "fields"), [({"batch_drop_s": 0.4}, {}), ({}, {"deadline": 0.4})], ids=["drop", "deadline"]
)
def test_take__a_linger_never_costs_a_request_its_life(limits, fields):
    """A lone request on an idle host must not be lost by waiting for company."""
    queue = queue_of(entry(1, at=0.0, **fields), batch_timeout_s=10.0, **limits)

    early, late = queue.take(0.1), queue.take(0.2)

    assert early.wake_at == 0.2
    assert (items(late), late.dropped) == ([1], [])


def test_take__cancelled_requests_do_not_end_a_linger():
    first, second = entry(1), entry(2)
    queue = queue_of(first, second, batch_timeout_s=1.0, max_batch_requests=2)
    queue.drop(second, DropReason.CANCELLED)

    assert items(queue.take(0.5)) == []


def test_take__a_full_group_does_not_linger():
    queue = queue_of(entry(1, rows=5), entry(2, rows=5), batch_timeout_s=1.0, max_batch_rows=10)

    decision = queue.take(0.0)

    assert (items(decision), decision.reason) == ([1, 2], CloseReason.ROWS)


def test_take__a_full_group_overtakes_one_that_lingers():
    queue = queue_of(
        entry(1, key="slow"), entry(2, key="full", rows=10), batch_timeout_s=1.0, max_batch_rows=10
    )

    assert items(queue.take(0.0)) == [2]


def test_drain__what_lingers_is_ready_at_once():
    queue = queue_of(entry(1), batch_timeout_s=100.0)
    queue.drain()

    assert items(queue.take(0.0)) == [1]


@pytest.mark.parametrize(
    ("limit", "policy", "extra"),
    [
        ("requests", {"max_queue_requests": 1}, entry(2)),
        ("rows", {"max_queue_rows": 2}, entry(2, rows=2)),
        ("bytes", {"max_queue_bytes": 15}, entry(2)),
    ],
)
def test_offer__a_full_queue_says_which_limit(limit, policy, extra):
    queue = queue_of(entry(1), **policy)

    with pytest.raises(QueueFullError) as caught:
        queue.offer(extra)

    assert f"queue_{limit}" == caught.value.reason
    assert ErrorCode.RESOURCE_EXHAUSTED is caught.value.code
    assert len(queue) == 1


def test_offer__an_empty_queue_takes_a_request_larger_than_itself():
    queue = queue_of(entry(1, rows=100), max_queue_rows=10)

    assert items(queue.take(0.0)) == [1]


def test_take__late_and_stale_requests_are_handed_back_without_their_neighbours():
    queue = queue_of(
        entry(1, at=0.0, deadline=1.0),
        entry(2, at=0.0),
        entry(3, at=1.9),
        entry(4, at=1.95, deadline=1.99),
        batch_drop_s=1.5,
    )

    decision = queue.take(2.0)

    assert items(decision) == [3]
    assert {one.item: one.dropped for one in decision.dropped} == {
        1: DropReason.DEADLINE,
        2: DropReason.STALE,
        4: DropReason.DEADLINE,
    }


def test_drop__a_cancelled_request_costs_no_run_and_frees_its_place():
    first, second = entry(1), entry(2)
    queue = queue_of(first, second)

    assert queue.drop(first, DropReason.CANCELLED)
    assert not queue.drop(first, DropReason.CANCELLED)

    assert len(queue) == 1
    assert items(queue.take(0.0)) == [2]


def test_drop__a_flood_of_cancelled_requests_is_forgotten():
    """Dropped entries hold their bodies: they must not pile up while every worker is busy."""
    queue = queue_of()
    for index in range(1000):
        one = entry(index)
        queue.offer(one)
        queue.drop(one, DropReason.CANCELLED)

    assert sum(len(group) for groups in queue._levels for group in groups.values()) <= 130


# --- priorities -----------------------------------------------------------------------------------


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


@given(rows=st.integers(0, 100), allowed=st.lists(st.integers(1, 64), unique=True).map(sorted))
def test_pad_rows__is_the_smallest_allowed_that_fits(rows, allowed):
    padded = pad_rows(rows, allowed)

    fits = [size for size in allowed if size >= rows]
    assert (fits[0] if fits and rows else rows) == padded


@given(rows=st.integers(1, 1000), limit=st.integers(1, 100))
def test_split_rows__parts_cover_all_rows_in_order(rows, limit):
    parts = split_rows(rows, limit)

    assert list(range(rows)) == [row for start, stop in parts for row in range(start, stop)]
    assert all(0 < stop - start <= limit for start, stop in parts)


def test_policy__settings_in_milliseconds_become_seconds_and_the_largest_allowed_size_is_the_limit():
    settings = BatchingSettings(batch_timeout_ms=2, batch_drop_ms=90, allowed_batch_rows=(8, 32))

    policy = BatchPolicy.from_settings(settings, max_concurrent_batches=3)

    assert (
        policy.batch_timeout_s,
        policy.batch_drop_s,
        policy.max_batch_rows,
        policy.max_concurrent_batches,
    ) == (0.002, 0.09, 32, 3)


def test_policy__is_bounded_by_the_rows_that_the_model_takes():
    policy = BatchPolicy(max_batch_rows=32, allowed_batch_rows=(4, 8, 32))
    bounded = policy.with_max_rows(10)
    assert (bounded.max_batch_rows, bounded.allowed_batch_rows) == (10, (4, 8))
    assert policy.with_max_rows(None) is policy
    assert policy.with_max_rows(64) is policy


class BatchingMachine(RuleBasedStateMachine):
    """Whatever happens: order kept within a key and level, nothing lost or doubled, limits never exceeded."""

    POLICY = BatchPolicy(
        max_batch_rows=8,
        max_batch_requests=3,
        batch_timeout_s=0.5,
        batch_drop_s=5.0,
        max_queue_rows=30,
        max_queue_requests=12,
        max_queue_bytes=200,
    )

    def __init__(self):
        super().__init__()
        self.queue = BatchQueue(self.POLICY)
        self.now = 0.0
        self.waiting = {}
        self.ended = []
        self.count = 0

    @rule(
        key=st.sampled_from(["a", "b", None]),
        rows=st.integers(0, 12),
        size=st.integers(0, 60),
        patience=st.none() | st.floats(0, 3),
        priority=st.integers(0, 4),
    )
    def offer(self, key, rows, size, patience, priority):
        self.count += 1
        one = entry(
            (key, self.count),
            key=key,
            rows=rows,
            size=size,
            at=self.now,
            deadline=None if patience is None else self.now + patience,
            level=self.POLICY.level_of(priority),
        )
        empty = not self.waiting
        try:
            self.queue.offer(one)
        except QueueFullError:
            assert not empty
        else:
            self.waiting[one.item] = one

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data):
        item = data.draw(st.sampled_from(sorted(self.waiting, key=lambda one: one[1])))
        assert self.queue.drop(self.waiting.pop(item), DropReason.CANCELLED)
        self.ended.append(item)

    @rule()
    def drain(self):
        self.queue.drain()

    @rule()
    def take(self):
        decision = self.queue.take(self.now)

        for one in decision.dropped:
            assert one.dropped in (DropReason.DEADLINE, DropReason.STALE)
            self.ended.append(self.waiting.pop(one.item).item)
        batch = decision.batch
        taken = [self.waiting.pop(one.item) for one in batch]
        assert taken == batch
        self.ended.extend(one.item for one in batch)
        if batch:
            assert len({one.item[0] for one in batch}) == 1
            assert len(batch) <= self.POLICY.max_batch_requests
            assert len(batch) == 1 or sum(one.num_rows for one in batch) <= self.POLICY.max_batch_rows
            assert batch[0].item[0] is not None or len(batch) == 1
            order = [(one.level, one.item[1]) for one in batch]
            assert sorted(order) == order
            key = batch[0].item[0]
            if key is not None:
                waiting = [one for one in self.waiting.values() if one.item[0] == key]
                assert all((one.level, one.item[1]) > order[-1] for one in waiting)
            if not self.POLICY.batch_timeout_s:
                assert all(one.level >= batch[0].level for one in self.waiting.values())
            assert all(one.deadline is None or one.deadline > self.now for one in batch)
        elif self.waiting:
            assert decision.wake_at is not None
            assert decision.wake_at > self.now

    @invariant()
    def counts_are_right(self):
        assert len(self.waiting) == len(self.queue)
        assert sum(one.num_rows for one in self.waiting.values()) == self.queue.num_rows
        assert sum(one.size_bytes for one in self.waiting.values()) == self.queue.size_bytes
        assert len(self.ended) == len(set(self.ended))


BatchingMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestBatchingMachine = BatchingMachine.TestCase


class LevelledMachine(BatchingMachine):
    """The same with priority levels: they change the order, and nothing else."""

    POLICY = replace(BatchingMachine.POLICY, priority_levels=3, default_priority_level=2)


class EagerLevelledMachine(LevelledMachine):
    """Without a linger, nobody waits while a lower level runs."""

    POLICY = replace(LevelledMachine.POLICY, batch_timeout_s=0.0)


for _machine in (LevelledMachine, EagerLevelledMachine):
    _machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLevelledMachine = LevelledMachine.TestCase
TestEagerLevelledMachine = EagerLevelledMachine.TestCase
