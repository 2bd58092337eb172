"""The manager: what is wanted becomes what is served, and failures harm nothing else."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

# Tests are no package (importlib mode): the stage lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

from manager_stage import make_stages

from navi_core.config.records import BatchingSettings
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import ServableState
from navi_core.errors import (
    LabelNotFoundError,
    ModelConflictError,
    ModelLoadError,
    ModelNotFoundError,
    ModelNotReadyError,
    VersionNotFoundError,
)
from navi_core.messages import InferenceRequest, ModelRef
from navi_core.testing.affine import AffineRuntime


@pytest.fixture
async def stage(tmp_path):
    async with make_stages(tmp_path) as make:
        yield make


async def test_the_newest_aspired_version_answers(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(9, scale=9), s.version(10, scale=10)])
    await s.until(lambda: s.states() == {9: "AVAILABLE", 10: "AVAILABLE"})

    assert await s.ask() == (10, 10.0)
    assert await s.ask(version=9) == (9, 9.0)


async def test_a_swap_never_leaves_a_gap(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(1, scale=1)])
    await s.manager.wait_available("m")
    s.manager.set_aspired("m", [s.version(2, scale=2, load_seconds=0.05)])

    answers = []
    while not answers or answers[-1][0] == 1:
        answers.append(await s.ask())

    assert answers[0] == (1, 1.0)
    assert answers[-1] == (2, 2.0)
    await s.until(lambda: s.states()[1] == "END")
    with pytest.raises(VersionNotFoundError):
        await s.ask(version=1)
    assert [event for event in s.recorder.events if event[0] == 1] == [
        (1, "START", False),
        (1, "LOADING", False),
        (1, "AVAILABLE", False),
        (1, "UNLOADING", False),
        (1, "END", False),
    ]


async def test_an_unload_waits_for_handles(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(1)])
    await s.manager.wait_available("m")
    handle = s.plane.acquire(ModelRef("m"))
    s.manager.set_aspired("m", [s.version(2)])
    await s.until(lambda: s.states() == {1: "UNLOADING", 2: "AVAILABLE"})

    x = np.ones((1, 2), dtype=np.float32)
    with handle:
        assert (await handle.infer(InferenceRequest(inputs={"x": x}))).version == 1

    await s.until(lambda: s.states()[1] == "END")


async def test_a_corrupt_version_leaves_the_old_one_and_is_visible(stage):
    s = stage(max_load_retries=1)
    s.add()
    s.manager.set_aspired("m", [s.version(1)])
    await s.manager.wait_available("m")
    bad = s.version(2)
    (bad.path / "affine.json").write_text("{")
    s.manager.set_aspired("m", [bad])
    failures = (2, "END", True)
    await s.until(lambda: s.recorder.events.count(failures) == 2)

    assert (await s.ask())[0] == 1
    assert s.states() == {1: "AVAILABLE", 2: "END"}
    status = s.manager.status("m")[1]
    assert "affine.json" in status.error_message


async def test_a_failed_load_is_tried_again_and_heals(stage):
    s = stage()
    s.add()
    bad = s.version(1)
    (bad.path / "affine.json").write_text("{")
    s.manager.set_aspired("m", [bad])
    await s.until(lambda: s.states() == {1: "END"})
    with pytest.raises(ModelNotReadyError):
        await s.ask()

    s.version(1, scale=3)

    await s.until(lambda: s.states() == {1: "AVAILABLE"})
    assert await s.ask() == (1, 3.0)


async def test_waiting_for_a_model_that_cannot_load_says_why(stage):
    s = stage(max_load_retries=0)
    s.add()
    bad = s.version(1)
    (bad.path / "affine.json").write_text("{")
    waiting = asyncio.ensure_future(s.manager.wait_available("m"))
    s.manager.set_aspired("m", [bad])

    with pytest.raises(ModelLoadError, match=r"affine\.json"):
        await waiting


async def test_waiting_for_a_model_waits_for_all_of_its_versions(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(1, load_seconds=0.3), s.version(2)])

    await s.manager.wait_available("m")

    assert s.states() == {1: "AVAILABLE", 2: "AVAILABLE"}


async def test_waiting_for_a_model_does_not_wait_for_a_version_that_is_tried_again(stage):
    s = stage()
    s.add()
    bad = s.version(1)
    (bad.path / "affine.json").write_text("{")
    s.manager.set_aspired("m", [bad, s.version(2, load_seconds=0.05)])

    await s.manager.wait_available("m")

    assert s.states() == {1: "END", 2: "AVAILABLE"}


async def test_waiting_for_a_model_without_versions_says_where_it_looked(stage):
    s = stage()
    s.add()
    waiting = asyncio.ensure_future(s.manager.wait_available("m"))
    s.manager.set_aspired("m", [])

    with pytest.raises(ModelLoadError, match="no complete version"):
        await waiting


async def test_a_model_that_is_too_large_is_refused_and_visible(stage):
    s = stage(max_load_retries=0)
    s.add(max_model_bytes=5)
    s.manager.set_aspired("m", [s.version(1, scale=2.0)])
    await s.until(lambda: s.states() == {1: "END"})

    status = s.manager.status("m")[0]
    assert status.error_code == "RESOURCE_EXHAUSTED"
    assert "max_model_bytes" in status.error_message


async def test_resource_transition_unloads_first(stage):
    s = stage()
    s.add(transition="resource")
    s.manager.set_aspired("m", [s.version(1)])
    await s.manager.wait_available("m")
    s.manager.set_aspired("m", [s.version(2)])
    await s.until(lambda: s.states().get(2) == "AVAILABLE")

    order = [event[:2] for event in s.recorder.events]
    assert order.index((1, "END")) < order.index((2, "LOADING"))


async def test_a_rollback_moves_traffic_to_the_older_version(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(2, scale=2)])
    await s.manager.wait_available("m")
    s.manager.set_aspired("m", [s.version(1, scale=1)])

    await s.until(lambda: s.states() == {1: "AVAILABLE", 2: "END"})
    assert await s.ask() == (1, 1.0)


async def test_a_version_that_is_wanted_again_begins_a_new_life(stage):
    s = stage()
    s.add()
    one = s.version(1)
    s.manager.set_aspired("m", [one])
    await s.manager.wait_available("m")
    s.manager.set_aspired("m", [])
    await s.until(lambda: s.states() == {1: "END"})
    s.manager.set_aspired("m", [one])

    await s.until(lambda: s.states() == {1: "AVAILABLE"})
    assert (await s.ask())[0] == 1


async def test_labels_resolve_to_versions(stage):
    s = stage()
    s.add(labels={"stable": 1, "canary": 2, "next": 3})
    s.manager.set_aspired("m", [s.version(1, scale=1), s.version(2, scale=2)])
    await s.until(lambda: s.states() == {1: "AVAILABLE", 2: "AVAILABLE"})

    assert await s.ask(label="stable") == (1, 1.0)
    assert s.manager.status("m")[0].labels == ("stable",)
    with pytest.raises(VersionNotFoundError):
        await s.ask(label="next")
    with pytest.raises(LabelNotFoundError):
        await s.ask(label="none")


async def test_unknown_models_and_states_are_told_apart(stage):
    s = stage()
    with pytest.raises(ModelNotFoundError):
        await s.ask()
    s.add()
    with pytest.raises(ModelConflictError):
        s.add()
    with pytest.raises(ModelNotReadyError, match="not loaded yet"):
        await s.ask()
    s.manager.set_aspired("m", [])
    with pytest.raises(ModelNotReadyError, match="no version to serve"):
        await s.ask()


async def test_removing_a_model_unloads_it_and_frees_its_name(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(1)])
    await s.manager.wait_available("m")

    await s.manager.remove_model("m")

    with pytest.raises(ModelNotFoundError):
        await s.ask()
    s.add()
    s.manager.set_aspired("m", [s.version(1)])
    await s.manager.wait_available("m")


async def test_removing_a_model_while_it_loads_waits_for_the_load(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(1, load_seconds=0.05)])
    assert s.states() == {1: "LOADING"}

    await s.manager.remove_model("m")

    assert list(s.manager.names()) == []
    assert s.recorder.events[-1][:2] == (1, "END")


async def test_replace_swaps_one_version_for_another_of_the_same_number(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [s.version(1, scale=1)])
    await s.manager.wait_available("m")

    await s.manager.replace(Artifact(name="m", version=1, files={"affine.json": b'{"scale": 5}'}))

    assert await s.ask() == (1, 5.0)
    with pytest.raises(ModelLoadError):
        await s.manager.replace(Artifact(name="m", version=1, files={"affine.json": b"{"}))
    assert await s.ask() == (1, 5.0)


async def test_readiness_is_every_models_readiness(stage):
    s = stage()
    s.add()
    assert not s.plane.is_ready()
    s.manager.set_aspired("m", [s.version(1)])
    await s.manager.wait_available("m")
    assert s.plane.is_ready()
    s.plane.begin_drain()
    assert not s.plane.is_ready()
    assert not s.plane.is_ready("m")


async def test_a_model_of_two_versions_is_ready_when_both_were_tried_and_watchers_are_told(
    stage, monkeypatch
):
    may_load, load = threading.Event(), AffineRuntime.load

    def held(self, artifact, options):
        assert artifact.version != 1 or may_load.wait(60)
        return load(self, artifact, options)

    monkeypatch.setattr(AffineRuntime, "load", held)
    s = stage(load_threads=2)
    s.add()
    seen = []
    s.manager.on_change(lambda: seen.append((s.plane.is_ready(), s.plane.is_ready("m"))))
    s.manager.set_aspired("m", [s.version(1), s.version(2)])

    await s.until(lambda: s.states().get(2) == "AVAILABLE")
    assert seen[-1] == (False, True)
    may_load.set()
    await s.until(lambda: s.states() == {1: "AVAILABLE", 2: "AVAILABLE"})

    assert seen[-1] == (True, True)
    s.manager.set_aspired("m", [s.version(2), s.version(3, load_seconds=0.05)])
    await s.until(lambda: s.states().get(3) == "LOADING")
    assert s.plane.is_ready()
    await s.until(lambda: s.states().get(3) == "AVAILABLE")


async def test_a_model_that_no_source_brought_is_ready_too(stage):
    s = stage()
    s.add()
    assert not s.plane.is_ready()

    await s.manager.replace(Artifact(name="m", version=1, files={"affine.json": b"{}"}))

    assert s.plane.is_ready()
    await s.manager.wait_available("m")


async def test_ended_versions_are_remembered_but_not_for_ever(stage):
    s = stage()
    s.add()
    for number in range(1, 25):
        s.manager.set_aspired("m", [s.version(number)])
        await s.until(lambda number=number: s.states().get(number) == "AVAILABLE")
    await s.until(lambda: all(state in ("END", "AVAILABLE") for state in s.states().values()))

    assert len(s.states()) <= 17
    assert s.states()[24] == ServableState.AVAILABLE


async def test_what_the_host_says_of_batching_holds_for_every_model_that_does_not_say(stage):
    s = stage(batching=BatchingSettings(max_batch_rows=16, max_batch_requests=4))
    s.add(batching=BatchingSettings(max_batch_requests=8))
    s.manager.set_aspired("m", [s.version(1)])
    await s.manager.wait_available("m")

    [(_, _, batcher)] = s.manager.batchers()

    assert (batcher.queue.policy.max_batch_rows, batcher.queue.policy.max_batch_requests) == (16, 8)
