"""The exact counts of what every version answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.contracts.versions import BatchTally, Tally, VersionStatistics
from navi_core.metrics.tallies import Tallies, VersionTally


def answered(tally, num_rows=1, batch_rows=1, run_seconds=0.5):
    tally.succeeded(
        num_rows=num_rows,
        batch_rows=batch_rows,
        total_seconds=2.0,
        prepare_seconds=0.25,
        queue_seconds=1.0,
        run_seconds=run_seconds,
        now_ms=17,
    )


def test_three_requests_of_one_batch__are_one_run():
    tally = VersionTally()
    for rows in (1, 2, 3):
        answered(tally, num_rows=rows, batch_rows=6)
    tally.failed(0.125)
    assert tally.snapshot(5) == VersionStatistics(
        version=5,
        num_rows=6,
        num_runs=1,
        last_request_ms=17,
        success=Tally(3, 6_000_000_000),
        fail=Tally(1, 125_000_000),
        queue=Tally(3, 3_000_000_000),
        prepare=Tally(3, 750_000_000),
        run=Tally(3, 1_500_000_000),
        batches=(BatchTally(6, Tally(1, 500_000_000)),),
    )


def test_requests_that_do_not_batch__are_a_row_and_a_run_each():
    tally = VersionTally()
    answered(tally, num_rows=0, batch_rows=0)
    answered(tally, num_rows=0, batch_rows=0)
    snapshot = tally.snapshot(1)
    assert (snapshot.num_rows, snapshot.num_runs) == (2, 2)
    assert snapshot.batches == (BatchTally(1, Tally(2, 1_000_000_000)),)


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), max_size=30))
def test_whatever_was_joined__runs_are_counted_once(batches):
    tally = VersionTally()
    for batch in batches:
        for rows in batch:
            answered(tally, num_rows=rows, batch_rows=sum(batch), run_seconds=0.125)
    snapshot = tally.snapshot(1)
    assert snapshot.num_runs == len(batches)
    assert snapshot.num_rows == sum(map(sum, batches))
    assert sum(each.run.count for each in snapshot.batches) == len(batches)
    assert sum(each.run.ns for each in snapshot.batches) == pytest.approx(
        len(batches) * 125_000_000, abs=1000
    )


def test_batch_sizes_without_end__do_not_take_memory_without_end():
    tally = VersionTally()
    for rows in range(1, 6000):
        answered(tally, num_rows=rows, batch_rows=rows)
    snapshot = tally.snapshot(1)
    assert len(tally.batches) == 4097
    assert snapshot.num_runs == 5999


def test_versions_that_are_gone__are_forgotten():
    tallies = Tallies()
    for version in (1, 2):
        tallies.of("m", version).failed(1.0)
    tallies.keep({("m", 2)})
    assert tallies.get("m", 1) is None
    assert tallies.get("m", 2) is tallies.of("m", 2)
