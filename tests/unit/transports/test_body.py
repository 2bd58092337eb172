from __future__ import annotations

import logging

import pytest

from navi_core.budget import MemoryBudget
from navi_core.contracts.service import Response
from navi_core.errors import MemoryBudgetError
from navi_core.transports.body import BodyHold, closing_stream, join_body, run_on_written


def test_one_bytes_is_not_copied():
    body = b"abc"
    assert join_body(body) is body
    assert join_body([body]) is body


def test_views_and_pieces_are_copied_once_into_bytes():
    buffer = bytearray(b"abcdef")
    joined = [
        join_body(memoryview(buffer)),
        join_body([memoryview(buffer)]),
        join_body((b"x", memoryview(buffer)[:2])),
        join_body(()),
    ]
    buffer[:] = b"......"
    assert joined == [b"abcdef", b"abcdef", b"xab", b""]
    assert all(type(each) is bytes for each in joined)


def test_on_written_runs_once_and_what_it_raises_is_logged(caplog):
    calls = []
    response = Response(status=0, on_written=lambda: calls.append(1))
    run_on_written(response)
    run_on_written(response)
    assert calls == [1]

    def broken():
        raise RuntimeError("from the service")

    with caplog.at_level(logging.ERROR):
        run_on_written(Response(status=0, on_written=broken))
    assert "from the service" in caplog.text


def test_a_hold_grows_and_gives_everything_back():
    budget = MemoryBudget(100)
    hold = BodyHold(budget)
    hold.release()
    hold.grow(40)
    hold.grow(40)
    with pytest.raises(MemoryBudgetError):
        hold.grow(40)
    assert budget.in_use_bytes == 80
    hold.release()
    hold.release()
    assert budget.in_use_bytes == 0
    hold.grow(100)
    hold.release()
    assert budget.in_use_bytes == 0


async def test_generators_are_closed_and_other_iterators_left_alone():
    closed = []

    async def generator():
        try:
            yield b"x"
        finally:
            closed.append(1)

    stream = generator()
    async with closing_stream(stream):
        assert await anext(stream) == b"x"
    assert closed == [1]

    class Plain:
        def __aiter__(self):
            return self

        async def __anext__(self):
            raise StopAsyncIteration

    async with closing_stream(Plain()):
        pass
