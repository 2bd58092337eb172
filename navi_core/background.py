"""Blocking work in threads that never hold up the exit of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["run_in_daemon_thread"]

T = TypeVar("T")


async def run_in_daemon_thread(function: Callable[..., T], *args: Any, name: str) -> T:
    """Run ``function`` in a thread of its own and return what it returns.

    A thread cannot be stopped: when the caller is cancelled it runs on, and its result is dropped. Being a
    daemon, it does not keep the process alive, as an executor's thread would: a load that takes minutes
    must not delay a shutdown.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # T may itself be None

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = function(*args)
        except BaseException as error:  # handed to the caller, whatever it is
            failure = RuntimeError(f"{name} stopped iterating") if isinstance(error, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await future
