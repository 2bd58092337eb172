"""The process that waits to replace a worker: taken once, replaced once, and never lost sight of."""

from __future__ import annotations

import asyncio

import pytest

from navi_core.workers import processes as module
from navi_core.workers.processes import Processes


class Stdin:
    def __init__(self, *, breaks):
        self.breaks, self.heard = breaks, b""

    def write(self, text):
        self.heard += text

    async def drain(self):
        if self.breaks:
            raise BrokenPipeError

    def close(self):
        pass


class Process:
    """A process that runs until it is killed."""

    pids = 0

    def __init__(self, *, breaks=False):
        Process.pids += 1
        self.pid, self.returncode = Process.pids, None
        self.stdin = Stdin(breaks=breaks)
        self.killed = asyncio.Event()

    async def wait(self):
        await self.killed.wait()
        return self.returncode

    def kill(self):
        self.returncode = -9
        self.killed.set()


class Started(Processes):
    """Starts those above, as soon as it is let."""

    def __init__(self, folder):
        super().__init__(folder, 2, log_level="info", log_format="json")
        self.started = {}
        self.may_start_spares = asyncio.Event()
        self.breaks = False

    async def _start(self, index):
        if index == module._SPARE:
            await self.may_start_spares.wait()
        process = Process(breaks=self.breaks)
        self.started.setdefault(index, []).append(process)
        return process


@pytest.fixture
async def processes(tmp_path):
    made = Started(tmp_path)
    keeper = asyncio.ensure_future(made.keep_spare())
    yield made
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def test_a_spare_is_told_which_worker_it_is_and_replaced(processes):
    processes.may_start_spares.set()
    await until(lambda: processes.spare)
    (spare,) = processes.spare
    assert await processes.spawn(2) is spare
    assert spare.stdin.heard == b"2\n"
    await until(lambda: processes.spare)
    assert processes.spare != (spare,)
    assert list(processes.started) == [module._SPARE]


async def test_a_worker_that_ends_while_the_spare_is_started_leaves_one_spare(processes):
    """It was taken for the spare's own being taken: a second one was started, and the first forgotten."""
    await asyncio.sleep(0)
    (fresh,) = [await processes.spawn(1)]
    processes.may_start_spares.set()
    await until(lambda: processes.spare)
    for _ in range(10):
        await asyncio.sleep(0)
    assert processes.started == {1: [fresh], module._SPARE: list(processes.spare)}


async def test_a_spare_that_cannot_be_told_is_ended(processes):
    processes.breaks = True
    processes.may_start_spares.set()
    await until(lambda: processes.spare)
    (deaf,) = processes.spare
    fresh = await processes.spawn(1)
    assert fresh is not deaf
    assert deaf.returncode == -9
