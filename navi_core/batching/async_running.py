"""Batches of async servables: their run is awaited on the loop, gathering and splitting is a thread's, if it is long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, cast

from navi_core.batching.execution import Run, Steps
from navi_core.batching.tasks import Outcome
from navi_core.batching.threads import RunThreads
from navi_core.contracts.runtime import Servable
from navi_core.types import NamedArrays

__all__ = ["run_async"]

_Taken: TypeAlias = "Run | list[Outcome]"


async def run_async(
    steps: Steps,
    servable: Servable,
    signature: str,
    outputs: tuple[str, ...],
    *,
    threads: RunThreads | None,
) -> list[Outcome]:
    """Drive the steps with an async servable.

    Parameters
    ----------
    steps
        From :func:`~navi_core.batching.execution.batch_steps`, not begun.
    servable
        Its ``run`` is a coroutine.
    signature, outputs
        What to run.
    threads
        Where the steps are taken; None: here, they are short.
    """
    step: Callable[[], Run] = partial(next, steps)
    while True:
        taken = _take(step) if threads is None else await _take_on_thread(step, threads)
        if isinstance(taken, list):
            return taken
        try:
            coming = cast(
                "Awaitable[NamedArrays]", servable.run(signature, taken.inputs, outputs, taken.context)
            )
            result = await coming
        except Exception as error:
            step = partial(steps.throw, error)
        else:
            step = partial(steps.send, result)


def _take(step: Callable[[], Run]) -> _Taken:
    """Take one step; the outcomes come as a value, since a StopIteration cannot be a future's exception."""
    try:
        return step()
    except StopIteration as stop:
        outcomes: list[Outcome] = stop.value
        return outcomes


async def _take_on_thread(step: Callable[[], Run], threads: RunThreads) -> _Taken:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Taken] = loop.create_future()

    def settle(taken: _Taken | None, error: BaseException | None) -> None:
        if future.done():
            return  # nobody waits for it any more
        if error is not None:
            future.set_exception(error)
        elif taken is not None:
            future.set_result(taken)

    def work() -> None:
        taken: _Taken | None = None
        failure: BaseException | None = None
        try:
            taken = _take(step)
        except BaseException as error:  # it is the waiting coroutine's to raise
            failure = error
        loop.call_soon_threadsafe(settle, taken, failure)

    threads.start(work)
    return await future
