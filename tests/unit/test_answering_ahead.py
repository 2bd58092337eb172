"""Streams that are answered ahead: order, bounds, memory, and every way to end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.answering_ahead import AnswerAhead
from navi_core.budget import MemoryBudget
from navi_core.contracts.service_context import answer_one_by_one
from navi_core.errors import InvalidRequestError


class Server:
    """Answers when a test says so, and remembers what is going on."""

    def __init__(self):
        self.begun = []
        self.cancelled = []
        self._gates = {}

    async def answer(self, message):
        self.begun.append(bytes(message))
        try:
            await self._gate(message).wait()
        except asyncio.CancelledError:
            self.cancelled.append(bytes(message))
            raise
        if message == b"bad":
            raise InvalidRequestError("bad")
        return message.upper()

    def _gate(self, message):
        return self._gates.setdefault(bytes(message), asyncio.Event())

    def let(self, *messages):
        for message in messages:
            self._gate(message).set()


async def stream_of(*messages, error=None):
    for message in messages:
        yield message
    if error is not None:
        raise error


async def settle():
    for _ in range(30):
        await asyncio.sleep(0)


def ahead(server, messages, *, limit=8, budget=None):
    answering = AnswerAhead(budget or MemoryBudget(1000))
    return aclosing(answering(messages, server.answer, limit=limit))


async def test_all_messages_are_begun_at_once_and_answered_in_their_order():
    server = Server()
    async with ahead(server, stream_of(b"a", b"b", b"c")) as answers:
        first = asyncio.ensure_future(anext(answers))
        await settle()
        assert server.begun == [b"a", b"b", b"c"]
        server.let(b"c", b"b")
        await settle()
        assert not first.done()
        server.let(b"a")
        assert [await first, *[each async for each in answers]] == [b"A", b"B", b"C"]


async def test_no_more_are_begun_than_the_limit_allows():
    server = Server()
    async with ahead(server, stream_of(b"a", b"b", b"c", b"d"), limit=2) as answers:
        first = asyncio.ensure_future(anext(answers))
        await settle()
        assert server.begun == [b"a", b"b"]
        server.let(b"b", b"a")
        assert await first == b"A"
        await settle()
        assert server.begun == [b"a", b"b"]  # the answer has been taken, but the next one was not asked for
        assert await anext(answers) == b"B"
        await settle()
        assert server.begun == [b"a", b"b", b"c"]


async def test_what_is_worked_on_is_held_in_the_budget():
    server, budget = Server(), MemoryBudget(1000)
    async with ahead(server, stream_of(b"a" * 300, b"b" * 200), budget=budget) as answers:
        first = asyncio.ensure_future(anext(answers))
        await settle()
        assert budget.in_use_bytes == 500
        server.let(b"a" * 300)
        await first
        assert budget.in_use_bytes == 200
    assert budget.in_use_bytes == 0


async def test_without_memory_the_next_message_is_left_unread_and_none_is_lost():
    server, budget = Server(), MemoryBudget(100)
    async with ahead(server, stream_of(b"a" * 80, b"b" * 80, b"c" * 10), budget=budget) as answers:
        first = asyncio.ensure_future(anext(answers))
        await settle()
        assert server.begun == [b"a" * 80, b"b" * 80]
        server.let(b"b" * 80)
        await settle()
        assert server.begun[2:] == [b"c" * 10]
        server.let(b"a" * 80, b"c" * 10)
        assert await first == b"A" * 80
        assert [each async for each in answers] == [b"B" * 80, b"C" * 10]
    assert budget.in_use_bytes == 0


async def test_an_error_comes_in_its_turn_and_ends_what_is_behind_it():
    server, budget = Server(), MemoryBudget(1000)
    async with ahead(server, stream_of(b"a", b"bad", b"c"), budget=budget) as answers:
        first = asyncio.ensure_future(anext(answers))
        await settle()
        server.let(b"bad", b"a")
        assert await first == b"A"
        with pytest.raises(InvalidRequestError):
            await anext(answers)
    assert server.cancelled == [b"c"]
    assert budget.in_use_bytes == 0


async def test_an_error_of_reading_comes_after_the_answers_and_is_the_same_one():
    server, error = Server(), InvalidRequestError("a message that is too large")
    server.let(b"a")
    async with ahead(server, stream_of(b"a", error=error)) as answers:
        assert await anext(answers) == b"A"
        with pytest.raises(InvalidRequestError) as caught:
            await anext(answers)
    assert caught.value is error


async def test_a_client_that_goes_ends_everything_that_was_begun():
    server, budget = Server(), MemoryBudget(1000)

    async def take():
        async with ahead(server, stream_of(b"a", b"b"), budget=budget) as answers:
            await anext(answers)

    taking = asyncio.ensure_future(take())
    await settle()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert sorted(server.cancelled) == [b"a", b"b"]
    assert budget.in_use_bytes == 0


async def test_a_read_that_waits_ends_with_the_stream():
    server = Server()
    server.let(b"a")
    ended = []

    async def forever():
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with ahead(server, forever()) as answers:
        assert await anext(answers) == b"A"
    await settle()
    assert ended


@given(
    steps=st.lists(st.integers(0, 5), max_size=12),
    limit=st.integers(1, 6),
    limit_bytes=st.integers(1, 10),
)
async def test_answers_are_those_of_one_after_the_other(steps, limit, limit_bytes):
    async def answer(message):
        for _ in range(message[0]):
            await asyncio.sleep(0)
        return message

    messages = [bytes([each, index]) for index, each in enumerate(steps)]
    budget = MemoryBudget(limit_bytes)
    got = [each async for each in AnswerAhead(budget)(stream_of(*messages), answer, limit=limit)]
    one_by_one = [each async for each in answer_one_by_one(stream_of(*messages), answer, limit=1)]

    assert got == one_by_one == messages
    assert budget.in_use_bytes == 0
