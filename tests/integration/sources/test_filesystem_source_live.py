"""FilesystemSource on real time and a real disk: polls, settling copies, slow storage, ten thousand files."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from navi_core.contracts.source import WatchedModel
from navi_core.sources import filesystem
from navi_core.sources.filesystem import FilesystemSource

pytestmark = pytest.mark.integration


@asynccontextmanager
async def running(source, emitted):
    task = asyncio.create_task(
        source.run(lambda model, artifacts: emitted.append((model, [one.version for one in artifacts])))
    )
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def put(root, version, *, size=10, age_s=3600.0):
    folder = root / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"x" * size)
    then = time.time() - age_s
    os.utime(folder / "model.onnx", (then, then))
    os.utime(folder, (then, then))


async def test_poll__finds_new_versions_and_sees_them_go(tmp_path):
    emitted = []
    put(tmp_path, 1)
    source = FilesystemSource.create(poll_interval_s=0.02, now=time.monotonic)
    source.watch(WatchedModel(name="m", location=str(tmp_path), stable_ms=50))
    async with running(source, emitted):
        await until(lambda: emitted == [("m", [1])])
        put(tmp_path, 2)
        await until(lambda: emitted[-1] == ("m", [2]))
        shutil.rmtree(tmp_path / "2")
        await until(lambda: emitted[-1] == ("m", [1]))
        assert len(emitted) == 3


async def test_settling__has_a_timer_of_its_own(tmp_path):
    """With a poll of minutes, a version that is copied at start-up counts soon after its last change."""
    emitted = []
    put(tmp_path, 1, age_s=0)
    source = FilesystemSource.create(poll_interval_s=300, now=time.monotonic)
    source.watch(WatchedModel(name="m", location=str(tmp_path), stable_ms=2000))
    async with running(source, emitted):
        stop = time.monotonic() + 0.6
        while time.monotonic() < stop:
            with (tmp_path / "1" / "model.onnx").open("ab") as stream:
                stream.write(b"y" * 100)
            await asyncio.sleep(0.02)
        changed_last = time.monotonic()
        assert emitted == []
        await until(lambda: emitted == [("m", [1])])
        assert time.monotonic() - changed_last > 1.5


async def test_poll__zero_looks_once_and_once_more_at_what_settles(tmp_path):
    emitted = []
    put(tmp_path, 1)
    put(tmp_path, 2, age_s=0)
    source = FilesystemSource.create(poll_interval_s=0, now=time.monotonic)
    source.watch(WatchedModel(name="m", location=str(tmp_path), stable_ms=2000))
    async with running(source, emitted):
        await until(lambda: emitted == [("m", [1]), ("m", [2])])
        put(tmp_path, 3)
        await asyncio.sleep(0.3)
        assert emitted == [("m", [1]), ("m", [2])]
        await source.rescan("m")
        await until(lambda: emitted[-1] == ("m", [3]))


async def test_slow_storage__holds_up_its_own_model_only(tmp_path, monkeypatch):
    """More models hang than scans may run at once; a healthy one is still found, and the loop ticks on."""
    monkeypatch.setattr(filesystem, "_SLOW_SCAN_S", 0.2)
    release = threading.Event()
    scan = filesystem.scan_model

    def scan_or_hang(path, rule, known):
        if path.name.startswith("hung"):
            release.wait(120)
        return scan(path, rule, known)

    monkeypatch.setattr(filesystem, "scan_model", scan_or_hang)
    emitted, gaps = [], []
    source = FilesystemSource.create(poll_interval_s=0.05, now=time.monotonic)
    for number in range(filesystem._MAX_SCANS + 4):
        put(tmp_path / f"hung{number}", 1)
        source.watch(WatchedModel(name=f"hung{number}", location=str(tmp_path / f"hung{number}")))
    put(tmp_path / "well", 1)
    source.watch(WatchedModel(name="well", location=str(tmp_path / "well"), stable_ms=20))

    async def tick():
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            gaps.append(time.monotonic() - before)

    ticker = asyncio.create_task(tick())
    try:
        async with running(source, emitted):
            await until(lambda: ("well", [1]) in emitted)
            put(tmp_path / "well", 2)
            await until(lambda: emitted[-1] == ("well", [2]))
            assert {model for model, _ in emitted} == {"well"}
            release.set()
            await until(lambda: len({model for model, _ in emitted}) == filesystem._MAX_SCANS + 5)
    finally:
        release.set()
        ticker.cancel()
    assert max(gaps) < 10


async def test_slow_storage__stopping_does_not_wait_for_it(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(filesystem, "scan_model", lambda *_: release.wait(120))
    source = FilesystemSource.create(poll_interval_s=1, now=time.monotonic)
    source.watch(WatchedModel(name="m", location=str(tmp_path)))
    began = time.monotonic()
    async with running(source, []):
        await asyncio.sleep(0.05)
    assert time.monotonic() - began < 60
    release.set()


async def test_large_directory__ten_thousand_files_do_not_stop_the_loop(tmp_path, monkeypatch):
    folder = tmp_path / "1"
    folder.mkdir()
    for number in range(10_000):
        os.close(os.open(folder / str(number), os.O_CREAT | os.O_WRONLY))
    scan, threads = filesystem.scan_model, set()

    def scan_and_tell(*arguments):
        threads.add(threading.current_thread())
        return scan(*arguments)

    monkeypatch.setattr(filesystem, "scan_model", scan_and_tell)
    emitted = []
    source = FilesystemSource.create(poll_interval_s=300, now=time.monotonic)
    source.watch(WatchedModel(name="m", location=str(tmp_path), stable_ms=100))
    async with running(source, emitted):
        await until(lambda: emitted == [("m", [1])], timeout_s=60)
    assert threads
    assert threading.current_thread() not in threads


async def test_copy__a_directory_that_vanishes_and_returns_under_load(tmp_path):
    """Directories come and go as fast as they can while the source looks: no look fails."""
    emitted = []
    put(tmp_path, 1)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            put(tmp_path, 2, size=1, age_s=0)
            (tmp_path / "2" / "sub").mkdir()
            shutil.rmtree(tmp_path / "2")

    churning = threading.Thread(target=churn)
    source = FilesystemSource.create(poll_interval_s=0.001, now=time.monotonic)
    source.watch(WatchedModel(name="m", location=str(tmp_path), stable_ms=10_000))
    churning.start()
    try:
        with capture_logs() as logs:
            async with running(source, emitted):
                for _ in range(100):
                    await source.rescan()
    finally:
        stop.set()
        churning.join()
    assert set(map(str, emitted)) == {str(("m", [1]))}
    assert not [entry for entry in logs if entry["event"] in {"look_failed", "model_directory_problem"}]
