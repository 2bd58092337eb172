"""The loops of a worker, with a sender that is the test."""

from __future__ import annotations

import asyncio
import time

from navi_core.bench.driving import WRONG, Drive
from navi_core.bench.load import LoadPlan
from navi_core.bench.senders import Sender


class SlowSender(Sender):
    """Answers each request after a while."""

    def __init__(self, seconds=0.01, code=""):
        self.seconds = seconds
        self.code = code
        self.num_sent = 0

    async def open(self):
        pass

    async def send(self, lane):
        self.num_sent += 1
        await asyncio.sleep(self.seconds)
        return self.code, b"answer"

    async def close(self):
        pass


async def test_what_the_warm_up_could_not_send_does_not_stand_in_the_way_of_what_counts():
    plan = LoadPlan(concurrency=2, connections=2, rate_per_s=2000.0, warm_up_s=0.3, duration_s=2.0)
    tally = await Drive(SlowSender(0.03), plan, None).run(time.monotonic_ns())
    # some 130 fit into the window; the 580 of the warm-up that waited would have taken four times as long
    assert tally.num_succeeded >= 4
    assert tally.num_unsent > 0
    assert tally.num_succeeded + tally.num_unsent <= 4000


async def test_open_loop_without_a_queue_sends_everything():
    plan = LoadPlan(concurrency=64, connections=1, rate_per_s=200.0, warm_up_s=0.05, duration_s=0.2)
    tally = await Drive(SlowSender(0.001), plan, None).run(time.monotonic_ns())
    assert (tally.num_succeeded, tally.num_unsent) == (40, 0)


async def test_closed_loop_counts_what_was_asked_for():
    sender = SlowSender(0.001)
    plan = LoadPlan(concurrency=4, connections=4, num_requests=25)
    tally = await Drive(sender, plan, lambda _: "").run(time.monotonic_ns())
    assert (tally.num_succeeded, tally.num_failed, sender.num_sent) == (25, 0, 25)


async def test_answers_that_are_wrong_and_failures_are_told_apart():
    plan = LoadPlan(concurrency=1, connections=1, num_requests=3)
    wrong = await Drive(SlowSender(0.0), plan, lambda _: "y differs").run(time.monotonic_ns())
    assert {code: (each.count, each.example) for code, each in wrong.failures.items()} == {
        WRONG: (3, "y differs")
    }
    failed = await Drive(SlowSender(0.0, "NOT_FOUND"), plan, lambda _: "y differs").run(time.monotonic_ns())
    assert {code: each.count for code, each in failed.failures.items()} == {"NOT_FOUND": 3}
