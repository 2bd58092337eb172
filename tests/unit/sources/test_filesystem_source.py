"""FilesystemSource driven by rescans and a manual clock: what is emitted, when, and what is not."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from navi_core.clock import ManualClock
from navi_core.contracts.source import VersionChoice, WatchedModel
from navi_core.errors import ConfigError
from navi_core.sources import filesystem
from navi_core.sources.filesystem import FilesystemSource, local_path

DAY_S = 86400
NEVER_S = 10**6


class Rig:
    """A running source with its emissions; polls so rarely that only rescans look."""

    def __init__(self, root):
        self.root = root
        self.clock = ManualClock()
        self.wall_s = 2_000_000_000
        self.source = FilesystemSource(
            poll_interval_s=NEVER_S, now=self.clock.now, wall_ns=lambda: self.wall_s * 10**9
        )
        self.emitted = []

    def emit(self, model, artifacts):
        self.emitted.append((model, [artifact.version for artifact in artifacts]))

    def put(self, model, version, *, age_s=DAY_S, name="model.onnx", content="x"):
        folder = self.root / model / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        for path in (folder / name, folder):
            os.utime(path, (self.wall_s - age_s, self.wall_s - age_s))

    def watch(self, model, **kwargs):
        self.source.watch(WatchedModel(name=model, location=str(self.root / model), **kwargs))

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.source.run(self.emit))
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def last(self):
        """Return the newest set of every model, and forget the emissions."""
        emitted, self.emitted[:] = dict(self.emitted), []
        return emitted


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


async def test_run__first_look_emits_complete_versions_and_empty_sets(rig):
    rig.put("a", 1)
    rig.put("a", 10)
    (rig.root / "b").mkdir()
    for model in ("a", "b", "missing"):
        rig.watch(model)
    async with rig.running():
        await rig.source.rescan()
        assert rig.last() == {"a": [10], "b": [], "missing": []}


async def test_run__emits_only_what_is_new(rig):
    rig.put("a", 1)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        rig.last()
        watched = rig.source._models["a"]
        watched.request()  # as a poll does, with nobody waiting
        await rig.source.rescan("missing")
        await asyncio.sleep(0.01)
        assert rig.emitted == []


async def test_run__a_half_copied_version_waits_while_the_old_one_stays(rig):
    rig.put("a", 1)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        rig.put("a", 2, content="half")
        rig.clock.advance(1.0)
        await rig.source.rescan()
        rig.put("a", 2, content="all of it")
        rig.clock.advance(1.5)
        await rig.source.rescan()
        rig.clock.advance(1.9)
        await rig.source.rescan()
        assert rig.last() == {"a": [1]}
        rig.clock.advance(0.1)
        await rig.source.rescan()
        assert rig.last() == {"a": [2]}


async def test_run__wall_clock_jumps_do_not_matter_after_the_first_look(rig):
    rig.put("a", 1)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        rig.put("a", 2, age_s=0)
        rig.wall_s += 10 * DAY_S
        await rig.source.rescan()
        rig.wall_s -= 20 * DAY_S
        await rig.source.rescan()
        assert rig.last() == {"a": [1]}
        rig.clock.advance(2.0)
        await rig.source.rescan()
        assert rig.last() == {"a": [2]}


async def test_run__does_not_say_nothing_while_something_settles(rig):
    """The first set is not an empty one while a directory may become complete in a moment."""
    rig.put("a", 1, age_s=0)
    rig.watch("a")
    async with rig.running():
        await settled(rig, "a")
        assert rig.emitted == []
        await rig.source.rescan("a")
        assert rig.last() == {"a": []}, "whoever asks gets an answer"
        rig.clock.advance(2.0)
        await rig.source.rescan("a")
        assert rig.last() == {"a": [1]}


async def settled(rig, model):
    """Wait until the model was looked at once."""
    while not rig.source._models[model].watch._was_looked_at:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)


async def test_run__a_missing_directory_keeps_what_there_is(rig):
    rig.put("a", 1)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        (rig.root / "a").rename(rig.root / "away")
        await rig.source.rescan()
        assert rig.last() == {"a": [1]}
        (rig.root / "away").rename(rig.root / "a")
        rig.put("a", 2)
        await rig.source.rescan()
        rig.clock.advance(2.0)
        await rig.source.rescan()
        assert rig.last() == {"a": [2]}


async def test_run__an_emptied_directory_emits_an_empty_set(rig):
    rig.put("a", 1)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        (rig.root / "a" / "1").rename(rig.root / "gone")
        await rig.source.rescan()
        assert rig.last() == {"a": []}


async def test_watch__while_running_looks_at_once(rig):
    rig.put("a", 1)
    rig.put("b", 7)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        rig.last()
        rig.watch("b")
        await settled(rig, "b")
        assert rig.last() == {"b": [7]}


async def test_watch__again_changes_the_choice(rig):
    for version in (1, 2, 3):
        rig.put("a", version)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        assert rig.last() == {"a": [3]}
        rig.watch("a", choice=VersionChoice("specific", versions=(1, 2)))
        await rig.source.rescan()
        assert rig.last() == {"a": [1, 2]}


async def test_watch__changed_during_a_look_takes_another_one(rig, monkeypatch):
    for version in (1, 2):
        rig.put("a", version)
    rig.watch("a")
    scan, looks = filesystem.scan_model, []

    def scan_and_change(path, rule, known):
        looks.append(path)
        if len(looks) == 1:
            rig.watch("a", choice=VersionChoice("specific", versions=(1,)))
        return scan(path, rule, known)

    monkeypatch.setattr(filesystem, "scan_model", scan_and_change)
    async with rig.running():
        await rig.source.rescan()
        assert ("a", [2]) not in rig.emitted
        assert rig.last() == {"a": [1]}


async def test_unwatch__emits_nothing_more_and_frees_who_waits(rig, monkeypatch):
    rig.put("a", 1)
    rig.watch("a")
    async with rig.running():
        await rig.source.rescan()
        rig.last()
        waiting = asyncio.create_task(rig.source.rescan("a"))
        await asyncio.sleep(0)
        rig.source.unwatch("a")
        await waiting
        await rig.source.rescan()
        rig.source.unwatch("a")
        assert rig.emitted == []
        rig.watch("a")
        await settled(rig, "a")
        assert rig.last() == {"a": [1]}


async def test_rescan__without_a_run_does_nothing(rig):
    rig.watch("a")
    await rig.source.rescan()
    async with rig.running():
        await rig.source.rescan("nobody")
    await rig.source.rescan("a")


async def test_rescan__cancelling_the_run_frees_who_waits(rig):
    rig.put("a", 1)
    rig.watch("a")
    async with rig.running():
        waiting = [asyncio.create_task(rig.source.rescan()) for _ in range(3)]
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*waiting), 60)


async def test_before_scan__runs_before_every_look_and_its_failure_is_no_matter(rig):
    calls = []

    async def prepare():
        calls.append(len(calls))
        rig.put("a", len(calls))
        if len(calls) == 1:
            rig.watch("a")
        if len(calls) == 2:
            raise RuntimeError("sync failed")

    rig.source.before_scan = prepare
    async with rig.running():
        await settled(rig, "a")
        assert rig.last() == {"a": [1]}
        await rig.source.rescan()
        assert calls == [0, 1]
        rig.clock.advance(2)
        await rig.source.rescan()
        assert rig.last() == {"a": [2]}


async def test_run__an_emit_that_raises_ends_nothing(rig):
    rig.put("a", 1)
    rig.watch("a")
    emit, is_refusing = rig.emit, True

    def emit_or_refuse(model, artifacts):
        if is_refusing:
            raise RuntimeError("not now")
        emit(model, artifacts)

    rig.emit = emit_or_refuse
    async with rig.running():
        await rig.source.rescan()
        is_refusing = False
        rig.source._models["a"].request()
        await rig.source.rescan()
        assert rig.last() == {"a": [1]}


async def test_run__marker_rule(rig):
    rig.put("a", 1, name="_SUCCESS")
    rig.put("a", 2)
    rig.watch("a", completeness="marker", choice=VersionChoice("all"))
    async with rig.running():
        await rig.source.rescan()
        rig.clock.advance(1000)
        await rig.source.rescan()
        assert rig.last() == {"a": [1]}
        rig.put("a", 2, name="_SUCCESS", age_s=0)
        await rig.source.rescan()
        assert rig.last() == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/models/m", "/models/m"),
        ("models/m", "models/m"),
        ("file:///models/with%20space", "/models/with space"),
        ("file://localhost/models/m", "/models/m"),
    ],
)
def test_local_path__reads_paths_and_file_urls(location, expected):
    assert expected == str(local_path(location))


@pytest.mark.parametrize("location", ["", "a\0b", "file://elsewhere/m", "s3://bucket/m", "file://"])
def test_local_path__refuses_what_is_not_here(location):
    with pytest.raises(ConfigError, match="model directory: expected a path"):
        local_path(location)
