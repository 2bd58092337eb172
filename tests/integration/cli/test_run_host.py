"""Signals and the end of the process, with hosts that start, stop or hang as the test wants."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from navi_core.cli.run_host import write_addresses
from navi_core.errors import ConfigError

pytestmark = pytest.mark.integration

SCRIPT = """
import asyncio, sys, threading, time
from pathlib import Path
from navi_core.cli import run_host as module
from navi_core.config.records import HostConfig
from navi_core.errors import ConfigError
from navi_core.logs import configure_logging

configure_logging()

class FakeHost:
    config = HostConfig(drain_timeout_s={drain_timeout_s})
    addresses = {{}}
    async def start(self):
        print("starting", flush=True)
        {start}
        print("started", flush=True)
    async def wait_ready(self):
        pass
    async def stop(self):
        print("stop begins", flush=True)
        {stop}
        print("stop ends", flush=True)

module._UNLOAD_TIMEOUT_S = 0.3
module._END_TIMEOUT_S = {end_timeout_s}
module.run_host(FakeHost())
print("returned", flush=True)
"""


@pytest.fixture
def start():
    running: list[subprocess.Popen] = []

    def start(
        *,
        start: str = "pass",
        stop: str = "pass",
        drain_timeout_s: float = 20.0,
        end_timeout_s: float = 60.0,
    ) -> subprocess.Popen:
        code = SCRIPT.format(
            start=start, stop=stop, drain_timeout_s=drain_timeout_s, end_timeout_s=end_timeout_s
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen, line: str) -> None:
    while (got := process.stdout.readline().strip()) != line:
        assert got or process.poll() is None, process.stderr.read()


def test_first_signal__stops_in_order(start):
    process = start()
    read_until(process, "started")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert out.split("\n")[:3] == ["stop begins", "stop ends", "returned"]
    assert process.returncode == 0


def test_second_signal__ends_the_process_at_once(start):
    process = start(stop="await asyncio.sleep(60)")
    read_until(process, "started")
    process.send_signal(signal.SIGINT)
    read_until(process, "stop begins")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert time.monotonic() - began < 40


def test_signal_during_the_start__ends_it(start):
    process = start(start="await asyncio.sleep(60)")
    read_until(process, "starting")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert "started" not in out
    assert process.returncode == 0


def test_failing_start__raises_its_error(start):
    process = start(start="raise ConfigError('no')")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "navi_core.errors.ConfigError: no" in err


def test_stop_that_never_ends__is_given_up_after_the_drain_timeout(start):
    process = start(stop="await asyncio.sleep(60)", drain_timeout_s=0.2)
    read_until(process, "started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 1


def test_thread_that_never_ends__does_not_keep_the_process(start):
    process = start(start="threading.Thread(target=time.sleep, args=(600,)).start()", end_timeout_s=0.3)
    read_until(process, "started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    assert "stop ends" in process.stdout.read()


def test_addresses__that_cannot_be_written_are_told_with_the_place(tmp_path):
    taken = tmp_path / "addresses.json"
    taken.mkdir()
    with pytest.raises(
        ConfigError, match=r"--address-file: .*addresses\.json cannot be written: Is a directory"
    ):
        write_addresses(taken, {})
    assert [each.name for each in tmp_path.iterdir()] == ["addresses.json"], "nothing half-written is left"
