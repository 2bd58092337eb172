from __future__ import annotations

import asyncio

import pytest

from navi_core.transports.in_flight import Ending, InFlight, RunningCall


async def spin(turns=5):
    for _ in range(turns):
        await asyncio.sleep(0)


async def run(calls, gate, *, is_read=False, ends=None):
    call = calls.begin(is_read=is_read)
    try:
        await gate.wait()
    except asyncio.CancelledError:
        ending = call.ending()
        if ends is not None:
            ends.append(ending)
        if ending is Ending.CLIENT_GONE:
            raise
    finally:
        calls.end(call)


async def test_idle_at_once():
    calls = InFlight()
    assert await calls.wait_idle(0, including_reads=True)
    assert await calls.finish(0)
    assert len(calls) == 0


async def test_waits_for_what_works():
    calls, gate = InFlight(), asyncio.Event()
    task = asyncio.create_task(run(calls, gate))
    await spin()
    assert len(calls) == 1
    waiter = asyncio.create_task(calls.finish(10))
    await spin()
    assert not waiter.done()
    gate.set()
    assert await waiter
    await task


async def test_time_is_up():
    calls, gate = InFlight(), asyncio.Event()
    task = asyncio.create_task(run(calls, gate))
    await spin()
    assert not await calls.wait_idle(0, including_reads=False)
    assert not await calls.finish(0)
    gate.set()
    await task
    assert await calls.finish(0)


async def test_reads_do_not_hold_a_drain_up_and_are_told():
    calls, gate, ends = InFlight(), asyncio.Event(), []
    task = asyncio.create_task(run(calls, gate, is_read=True, ends=ends))
    await spin()
    assert await calls.wait_idle(0, including_reads=False)
    assert not await calls.wait_idle(0, including_reads=True)
    assert await calls.finish(0)
    await task
    assert ends == [Ending.DRAINING]


async def test_abandon_interrupts_everything():
    calls, gate, ends = InFlight(), asyncio.Event(), []
    tasks = [asyncio.create_task(run(calls, gate, is_read=read, ends=ends)) for read in (False, True)]
    await spin()
    await calls.abandon()
    await asyncio.gather(*tasks)
    assert ends == [Ending.DRAINING] * 2
    assert len(calls) == 0


async def test_the_first_reason_counts_and_a_cancellation_from_outside_is_the_clients():
    ends = []

    async def handler(box):
        call = RunningCall(asyncio.current_task(), is_read=False)
        box.append(call)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append(call.ending())

    for act in (
        lambda call, task: (call.interrupt(Ending.DEADLINE), call.interrupt(Ending.DRAINING)),
        lambda call, task: task.cancel(),
        lambda call, task: (call.interrupt(Ending.DRAINING), task.cancel()),
    ):
        box = []
        task = asyncio.create_task(handler(box))
        await spin()
        act(box[0], task)
        await task
    assert ends == [Ending.DEADLINE, Ending.CLIENT_GONE, Ending.CLIENT_GONE]


async def test_a_handler_that_raises_cancelled_by_itself():
    async def handler():
        raise asyncio.CancelledError

    call = RunningCall(asyncio.current_task(), is_read=False)
    try:
        await handler()
    except asyncio.CancelledError:
        assert call.ending() is Ending.NOBODY
    else:
        pytest.fail("not raised")


async def test_an_interruption_that_was_absorbed_leaves_the_task_usable():
    calls, gate, ends = InFlight(), asyncio.Event(), []

    async def body():
        await run(calls, gate, ends=ends)
        await asyncio.sleep(0)  # would raise if the cancellation were still pending
        return "answered"

    task = asyncio.create_task(body())
    await spin()
    calls.interrupt(only_reads=False)
    assert await task == "answered"


async def test_after_its_end_a_call_cannot_be_interrupted():
    calls = InFlight()
    call = calls.begin(is_read=False)
    calls.end(call)
    calls.end(call)
    call.interrupt(Ending.DRAINING)
    await asyncio.sleep(0)
    assert await calls.wait_idle(0, including_reads=True)


@pytest.mark.parametrize("count", [1, 7])
async def test_every_waiter_is_woken(count):
    calls, gate = InFlight(), asyncio.Event()
    task = asyncio.create_task(run(calls, gate))
    await spin()
    waiters = [asyncio.create_task(calls.wait_idle(10, including_reads=True)) for _ in range(count)]
    await spin()
    gate.set()
    assert await asyncio.gather(*waiters) == [True] * count
    await task
