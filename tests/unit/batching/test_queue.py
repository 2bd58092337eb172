"""The batching decisions: limits, order, turns, and what is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_entries import entry, items, queue_of

from navi_core.batching.queue import (
    BatchPolicy,
    CloseReason,
    DropReason,
    pad_rows,
    split_rows,
)
from navi_core.config.records import BatchingSettings
from navi_core.errors import ErrorCode, QueueFullError


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
