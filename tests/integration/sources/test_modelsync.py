"""The sync command as a real process: arguments, output, failures, time-outs, leftovers."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from navi_core.errors import ConfigError
from navi_core.sources.modelsync import ModelSync

pytestmark = pytest.mark.integration


@pytest.fixture
def script(tmp_path):
    def write(body):
        path = tmp_path / "sync"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


def sync(command, versions=(), timeout_s=120.0, **kwargs):
    return ModelSync(command, timeout_s=timeout_s, current_versions=lambda: list(versions), **kwargs)


def events(logs, event):
    return [entry for entry in logs if entry["event"] == event]


def is_gone(pid):
    """Tell whether a process has ended; a zombie has, whoever adopted it just has not waited yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def until(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_run__appends_models_and_versions_in_order(script, tmp_path):
    out = tmp_path / "arguments"
    command = script(f'for one in "$@"; do echo "[$one]" >> {out}; done')
    assert await sync(f"{command}   first\tsecond", [("a", ""), ("b", "17")]).run()
    assert out.read_text().split() == [
        "[first]",
        "[second]",
        *("[--model-spec]", "[a]", "[--cur-version]", "[]"),
        *("[--model-spec]", "[b]", "[--cur-version]", "[17]"),
    ]


async def test_run__asks_for_the_versions_each_time(script):
    versions = iter(["", "1"])
    model_sync = ModelSync(script("exit 0"), timeout_s=20, current_versions=lambda: [("a", next(versions))])
    assert model_sync.arguments()[-1] == ""
    assert model_sync.arguments()[-1] == "1"


async def test_run__never_runs_twice_at_once(script, tmp_path):
    model_sync = sync(script(f"mkdir {tmp_path}/lock && sleep 0.05 && rmdir {tmp_path}/lock"))
    assert await asyncio.gather(*(model_sync.run() for _ in range(4))) == [True] * 4


async def test_run__logs_both_outputs_line_by_line(script):
    command = script(r"printf 'one\r\ntwo\n'; printf 'bad \377 byte\nno newline' >&2")
    with capture_logs() as logs:
        assert await sync(command).run()
    lines = {(entry["stream"], entry["line"]) for entry in events(logs, "modelsync_output")}
    assert lines == {
        ("stdout", "one"),
        ("stdout", "two"),
        ("stderr", "bad � byte"),
        ("stderr", "no newline"),
    }


async def test_run__a_flood_of_output_is_cut(script):
    command = script("yes | head -c 400000; head -c 3000000 /dev/zero | tr '\\0' x")
    with capture_logs() as logs:
        assert await sync(command).run()
    shown = events(logs, "modelsync_output")
    assert len(shown) == 1000
    assert max(len(entry["line"]) for entry in shown) <= 2000
    assert events(logs, "modelsync_output_cut")[0]["num_lines"] == 200000


async def test_run__a_bad_exit_is_logged(script):
    with capture_logs() as logs:
        assert not await sync(script("exit 3")).run()
    assert events(logs, "modelsync_failed")[0]["exit_status"] == 3


@pytest.mark.parametrize("command", ["/no/such/program", "/etc/passwd", "/tmp"])
async def test_run__a_program_that_cannot_start_is_logged(command):
    with capture_logs() as logs:
        assert not await sync(command).run()
    assert events(logs, "modelsync_not_started")[0]["program"] == command


async def test_run__a_model_name_that_no_command_line_can_hold_is_logged(script):
    with capture_logs() as logs:
        assert not await sync(script("exit 0"), [("a\0b", "1")]).run()
    assert events(logs, "modelsync_not_started")


async def test_run__out_of_time_ends_the_command_and_its_children(script, tmp_path):
    """Also a child that ignores SIGTERM and holds the pipes."""
    pids = tmp_path / "pids"
    command = script(f'(trap "" TERM; sleep 120) &\necho $! > {pids}; echo $$ >> {pids}; sleep 120')
    began = time.monotonic()
    with capture_logs() as logs:
        assert not await sync(command, timeout_s=2, kill_after_s=0.2).run()
    assert time.monotonic() - began < 60
    assert events(logs, "modelsync_timed_out")
    await until(lambda: all(is_gone(pid) for pid in pids.read_text().split()))


async def test_run__out_of_time_a_command_may_clean_up(script, tmp_path):
    cleaned = tmp_path / "cleaned"
    command = script(f'trap "echo yes > {cleaned}; exit 0" TERM\nsleep 120 & wait')
    assert not await sync(command, timeout_s=2, kill_after_s=60).run()
    assert cleaned.read_text() == "yes\n"


async def test_run__cancelling_ends_the_command(script, tmp_path):
    pids = tmp_path / "pids"
    task = asyncio.create_task(sync(script(f"echo $$ > {pids}; exec sleep 120"), kill_after_s=0.2).run())
    await until(lambda: pids.exists() and pids.read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: is_gone(pids.read_text().strip()))


async def test_run__a_child_that_left_the_group_does_not_hold_the_run(script, tmp_path):
    pids = tmp_path / "pids"
    command = script(f"setsid sh -c 'echo $$ > {pids}; exec sleep 120' &\nsleep 0.1")
    began = time.monotonic()
    try:
        assert not await sync(command, timeout_s=2, kill_after_s=0.2).run()
        assert time.monotonic() - began < 60
    finally:
        os.kill(int(pids.read_text()), signal.SIGKILL)


def test_run__works_on_a_loop_in_another_thread(script):
    import threading

    results = []
    command = script("exit 0")
    thread = threading.Thread(target=lambda: results.append(asyncio.run(sync(command).run())))
    thread.start()
    thread.join(120)
    assert results == [True]


def test_run__works_on_uvloop(script):
    uvloop = pytest.importorskip("uvloop")
    import threading

    command, results = script("echo fine"), []

    def run():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            results.append(runner.run(sync(command).run()))

    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(120)
    assert results == [True, True]


@pytest.mark.parametrize("command", ["", "  \t"])
def test_command__must_not_be_empty(command):
    with pytest.raises(ConfigError, match="modelsync_command: expected a command"):
        sync(command)
