"""Answers several messages of a stream at once, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from navi_core.contracts.transport import BodyBudget
from navi_core.errors import MemoryBudgetError
from navi_core.types import Bytes

__all__ = ["AnswerAhead"]

T = TypeVar("T")


class AnswerAhead:
    """An :class:`~navi_core.contracts.service_context.AnswerStream` with a task for each message.

    A transport holds memory for the last message that it gave away only, so those that are worked on while
    the next one is read are held here. Where the budget has no room for that, the next one is left unread: reading
    ahead never costs a message its answer.

    Parameters
    ----------
    budget
        The process-wide budget.
    """

    def __init__(self, budget: BodyBudget) -> None:
        self._budget: Final = budget

    async def __call__(
        self,
        messages: AsyncIterator[Bytes],
        answer: Callable[[Bytes], Awaitable[T]],
        /,
        *,
        limit: int,
    ) -> AsyncGenerator[T, None]:
        """Yield the answers in the order of the messages; what reading or answering raises comes in its turn.

        Parameters
        ----------
        messages
            The client's.
        answer
            Answers one.
        limit
            Messages that are worked on, or whose answers wait to be written, at any time.
        """
        room = asyncio.Semaphore(limit)
        begun: asyncio.Queue[asyncio.Task[T] | None] = asyncio.Queue()
        unanswered: set[asyncio.Task[T]] = set()

        async def read() -> None:
            """Begin on every message; whatever ends it, the end comes after the last one's answer."""
            try:
                while True:
                    await room.acquire()
                    try:
                        message = await anext(messages)
                    except StopAsyncIteration:
                        return
                    task = asyncio.ensure_future(_awaited(answer, message))
                    unanswered.add(task)
                    begun.put_nowait(task)
                    await self._hold(task, len(message))
            finally:
                begun.put_nowait(None)

        reader = asyncio.ensure_future(read())
        try:
            while (task := await begun.get()) is not None:
                answered = await task
                unanswered.discard(task)
                yield answered
                room.release()  # only now: an answer that the client does not take holds the next message up
            await reader
        finally:
            for each in (reader, *unanswered):
                each.cancel()
            await asyncio.gather(reader, *unanswered, return_exceptions=True)

    async def _hold(self, task: asyncio.Task[T], size_bytes: int) -> None:
        """Hold a message's memory until it is answered, or wait until it is."""
        await asyncio.sleep(0)  # it begins, and may well have ended
        if task.done():
            return
        try:
            reservation = self._budget.reserve(size_bytes)
            reservation.__enter__()
        except MemoryBudgetError:
            await asyncio.wait((task,))
            return
        task.add_done_callback(lambda _: _leave(reservation))


async def _awaited(answer: Callable[[Bytes], Awaitable[T]], message: Bytes) -> T:
    return await answer(message)


def _leave(reservation: AbstractContextManager[None]) -> None:
    reservation.__exit__(None, None, None)
