"""Changes of graphs take turns."""

from __future__ import annotations

import asyncio

import pytest
from navi_graphserver.service.turns import Turns


class Signal(asyncio.Event):
    async def wait(self):
        await super().wait()
        self.clear()


async def test_turns_are_taken_in_the_order_of_coming_one_at_a_time():
    turns, order, inside = Turns(Signal), [], 0

    async def change(number):
        nonlocal inside
        async with turns.turn():
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            order.append(number)
            inside -= 1

    await asyncio.gather(*(change(number) for number in range(20)))
    assert order == list(range(20))


async def test_who_fails_or_leaves_holds_nobody_up():
    turns, order = Turns(Signal), []
    release = asyncio.Event()

    async def change(number):
        async with turns.turn():
            await release.wait()
            order.append(number)
            if number == 2:
                raise ValueError

    tasks = [asyncio.ensure_future(change(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()  # waits for its turn
    await asyncio.sleep(0)
    tasks[0].cancel()  # has it
    release.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [2, 3, 4]
    assert [type(each) for each in done] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
        ValueError,
        type(None),
        type(None),
    ]
    async with turns.turn():
        pass


@pytest.mark.parametrize("steps", range(4))
async def test_a_turn_that_comes_to_one_who_just_left_goes_on(steps):
    turns, order = Turns(Signal), []

    async def change(number):
        async with turns.turn():
            order.append(number)

    async with turns.turn():
        leaving, staying = (asyncio.ensure_future(change(number)) for number in (1, 2))
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, staying, return_exceptions=True)
    assert order[-1] == 2
