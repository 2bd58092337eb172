"""SIGHUP: what is read, what is done with it, and what happens where there is nothing to read."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from structlog.testing import capture_logs

from navi_core.cli.hangup import Hangup, ignore_hangup
from navi_core.config.records import HostConfig, ModelConfig
from navi_core.errors import ConfigError

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")


def config(*names, **more):
    return HostConfig(models=tuple(ModelConfig(path=name) for name in names), **more)


class Reading:
    """What is read, one after the other; what is applied, and whether it is done."""

    def __init__(self, *found):
        self.left = list(found)
        self.applied = asyncio.Queue()
        self.is_fine = True

    def read(self):
        found = self.left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def apply(self, before, after):
        self.applied.put_nowait(tuple([model.path for model in models] for models in (before, after)))
        return self.is_fine


@pytest.fixture
def events():
    with capture_logs() as found:
        yield found


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def follow(hangup, reading, start):
    return asyncio.ensure_future(hangup.follow(start, reading.apply))


async def stopped(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_signal_has_the_models_applied(events):
    reading = Reading(config("b"), config("b", "c"))
    with Hangup(reading.read, "host.toml") as hangup:
        task = await follow(hangup, reading, config("a"))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGHUP)
        assert await asyncio.wait_for(reading.applied.get(), 60) == (["a"], ["b"])
        os.kill(os.getpid(), signal.SIGHUP)
        assert await asyncio.wait_for(reading.applied.get(), 60) == (["b"], ["b", "c"])
        await stopped(task)
    assert {event["event"] for event in events} == {"config_read_again"}


async def test_one_that_came_before_the_host_ran_is_not_lost(events):
    reading = Reading(config("b"))
    with Hangup(reading.read, "host.toml") as hangup:
        os.kill(os.getpid(), signal.SIGHUP)
        task = await follow(hangup, reading, config("a"))
        assert await asyncio.wait_for(reading.applied.get(), 60) == (["a"], ["b"])
        await stopped(task)


async def test_what_is_wrong_or_refused_is_told_and_the_next_one_starts_from_what_holds(events):
    reading = Reading(ConfigError("expected a table", path="models"), config("b"), config("c"))
    reading.is_fine = False
    with Hangup(reading.read, "host.toml") as hangup:
        task = await follow(hangup, reading, config("a"))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: any(event["event"] == "config_refused" for event in events))
        assert events[-1]["error"] == "models: expected a table"
        for path in "bc":
            os.kill(os.getpid(), signal.SIGHUP)
            assert await asyncio.wait_for(reading.applied.get(), 60) == (["a"], [path])
        await stopped(task)


async def test_settings_that_need_another_start_are_named(events):
    reading = Reading(config("a", admin=True))
    with Hangup(reading.read, "host.toml") as hangup:
        task = await follow(hangup, reading, config("a"))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(reading.applied.get(), 60)
        await stopped(task)
    (told,) = [event for event in events if event["event"] == "config_needs_restart"]
    assert told["settings"] == ["admin"]


async def test_without_a_file_it_is_ignored_aloud(events):
    reading = Reading()
    with Hangup(reading.read, "") as hangup:
        task = await follow(hangup, reading, config("a"))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: events)
        await stopped(task)
    assert [event["event"] for event in events] == ["signal_ignored"]
    assert reading.applied.empty()


def test_at_the_end_the_signal_means_what_it_meant():
    before = signal.getsignal(signal.SIGHUP)
    with Hangup(HostConfig, ""):
        assert signal.getsignal(signal.SIGHUP) != before
    assert signal.getsignal(signal.SIGHUP) == before


def test_ignored_it_does_nothing():
    before = signal.getsignal(signal.SIGHUP)
    try:
        ignore_hangup()
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
