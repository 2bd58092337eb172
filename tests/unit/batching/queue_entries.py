"""Requests that wait in a queue, and queues of them."""

from __future__ import annotations

from navi_core.batching.queue import BatchPolicy, BatchQueue, Entry


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
