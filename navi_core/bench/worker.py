"""``python -m navi_core.bench.worker``: one process of the generator that is written in Python.

It reads an order and, once it has said that it is connected, when to begin; it writes its progress and its tally.
When its stdin ends before that, it stops and writes what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from navi_core.bench.answers import AnswerCheck
from navi_core.bench.driving import Drive
from navi_core.bench.orders import Begin, Ended, FromWorker, Progress, Ready, Refused, WorkerOrder
from navi_core.bench.senders import open_sender
from navi_core.clients.exchanges.table import EXCHANGES

__all__ = ["run_on_fast_loop"]

_PROGRESS_S: Final = 0.2


def _say(message: FromWorker) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def run_on_fast_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop where it exists, else on Python's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


def _wait_for_stop(on_stop: Callable[[], None]) -> None:
    # not through the buffer, whose lock Python wants when it exits
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        on_stop()


async def _work() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerOrder)
    plan, target = order.plan, order.target
    sender = open_sender(target, plan.concurrency, plan.connections, plan.timeout_s)
    try:
        await sender.open()
    except OSError as error:
        _say(Refused(f"{target.address} cannot be reached: {error}"))
        return
    check = None
    if order.expected is not None:
        check = AnswerCheck(EXCHANGES[target.protocol].read, order.expected)
    _say(Ready())
    line = sys.stdin.buffer.readline()
    if not line:
        return
    begin = msgspec.json.decode(line, type=Begin)
    drive = Drive(sender, plan, check, part=order.part, num_parts=order.num_parts)
    loop = asyncio.get_running_loop()
    stopper = threading.Thread(
        target=_wait_for_stop, args=(lambda: loop.call_soon_threadsafe(drive.stop),), daemon=True
    )
    stopper.start()
    gc.collect()
    gc.freeze()  # collections walk over what the libraries brought otherwise, in the middle of a measurement
    running = asyncio.create_task(drive.run(begin.at_ns))
    while not running.done():
        await asyncio.wait({running}, timeout=_PROGRESS_S)
        _say(Progress(drive.num_ended))
    tally = running.result()
    await sender.close()
    _say(Ended(tally))


if __name__ == "__main__":
    run_on_fast_loop(_work())
