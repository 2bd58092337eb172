"""The batching decisions over random histories: nothing is lost, doubled, mixed up or let wait for ever."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from queue_entries import entry

from navi_core.batching.queue import (
    BatchPolicy,
    BatchQueue,
    DropReason,
)
from navi_core.errors import QueueFullError


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
