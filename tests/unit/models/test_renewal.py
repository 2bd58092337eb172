"""A version whose contents are replaced while it serves: loaded beside it, swapped in, or left alone."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

# Tests are no package (importlib mode): the stage lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

from manager_stage import Stage, make_stages

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import ServableState
from navi_core.errors import ErrorCode
from navi_core.models.renewal import backoff_s

AVAILABLE = ServableState.AVAILABLE


@pytest.fixture
async def stage(tmp_path):
    async with make_stages(tmp_path) as make:
        yield make


def contents(s: Stage, revision, **fields):
    """Return version 1 as a source sees it after its file was replaced."""
    path = s.root / str(revision) / "affine.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(fields) if fields else "{")
    return Artifact(name="m", version=1, path=path, revision=str(revision))


async def serving(stage, **fields):
    s = stage()
    s.add(**fields)
    s.manager.set_aspired("m", [contents(s, 1, scale=1)])
    await s.manager.wait_available("m")
    return s


async def answers(s, scale):
    async with asyncio.timeout(60):
        while await s.ask() != (1, float(scale)):
            await asyncio.sleep(0.001)


async def test_new_contents_take_over_without_a_gap(stage):
    s = await serving(stage)
    s.recorder.events.clear()
    asked = []

    async def ask():
        while True:
            asked.append(await s.ask())
            await asyncio.sleep(0)

    asking = asyncio.ensure_future(ask())
    s.manager.set_aspired("m", [contents(s, 2, scale=2, load_seconds=0.05)])
    await answers(s, 2)
    asking.cancel()

    assert set(asked) <= {(1, 1.0), (1, 2.0)}
    await s.until(lambda: s.states() == {1: "AVAILABLE"} and len(s.recorder.events) == 5)
    assert sorted(s.recorder.events) == sorted(
        (1, state, False) for state in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")
    )


async def test_requests_in_flight_end_on_the_contents_that_they_began_with(stage):
    s = await serving(stage)
    handle = s.plane.acquire(s.ref)
    with handle:
        s.manager.set_aspired("m", [contents(s, 2, scale=2)])
        await answers(s, 2)
        assert await s.ask_with(handle) == (1, 1.0)


async def test_the_same_contents_are_not_loaded_again(stage):
    s = await serving(stage)
    s.recorder.events.clear()
    s.manager.set_aspired("m", [contents(s, 1, scale=1)])
    await asyncio.sleep(0.05)
    assert s.recorder.events == []


async def test_contents_that_cannot_be_loaded_leave_what_serves_until_they_can(stage):
    s = await serving(stage)
    s.manager.set_aspired("m", [contents(s, 2)])
    for _ in range(20):
        assert await s.ask() == (1, 1.0)
        await asyncio.sleep(0.002)
    assert [status.state for status in s.manager.status("m")] == [AVAILABLE]
    s.manager.set_aspired("m", [contents(s, 3, scale=3)])
    await answers(s, 3)


def faults(s):
    return [(status.state, status.error_code, bool(status.error_message)) for status in s.manager.status("m")]


async def test_contents_that_cannot_be_loaded_are_told_with_the_version_until_others_take_over(stage):
    s = await serving(stage)
    seen = []
    s.manager.on_change(lambda: seen.append(faults(s)))
    told = [(AVAILABLE, ErrorCode.FAILED_PRECONDITION, True)]
    s.manager.set_aspired("m", [contents(s, 2)])
    await s.until(lambda: faults(s) == told)
    assert told in seen
    assert "affine.json" in s.manager.status("m")[0].error_message
    s.manager.set_aspired("m", [contents(s, 3, scale=3)])
    await answers(s, 3)
    assert faults(s) == [(AVAILABLE, ErrorCode.OK, False)]


async def test_what_is_wrong_with_them_is_forgotten_when_the_old_ones_are_back(stage):
    s = stage(max_load_retries=0)
    s.add()
    old = contents(s, 1, scale=1)
    s.manager.set_aspired("m", [old])
    await s.manager.wait_available("m")
    s.manager.set_aspired("m", [contents(s, 2)])
    await s.until(lambda: faults(s)[0][2])
    seen = []
    s.manager.on_change(lambda: seen.append(faults(s)))
    s.manager.set_aspired("m", [old])
    assert seen[-1] == faults(s) == [(AVAILABLE, ErrorCode.OK, False)]


async def test_a_version_that_goes_does_not_look_as_if_it_ended_badly(stage):
    s = await serving(stage)
    s.manager.set_aspired("m", [contents(s, 2)])
    await s.until(lambda: faults(s)[0][2])
    s.manager.set_aspired("m", [])
    await s.until(lambda: s.states() == {1: "END"})
    assert faults(s) == [(ServableState.END, ErrorCode.OK, False)]


async def test_they_are_tried_again(stage):
    s = await serving(stage)
    broken = contents(s, 2)
    s.manager.set_aspired("m", [broken])
    await asyncio.sleep(0.02)
    broken.path.write_text(json.dumps({"scale": 2}))
    await answers(s, 2)


async def test_they_are_not_tried_for_ever_where_that_is_said(stage, tmp_path):
    s = stage(max_load_retries=0)
    s.add()
    s.manager.set_aspired("m", [contents(s, 1, scale=1)])
    await s.manager.wait_available("m")
    broken = contents(s, 2)
    s.manager.set_aspired("m", [broken])
    await s.until(lambda: faults(s)[0][2])
    broken.path.write_text(json.dumps({"scale": 2}))
    await asyncio.sleep(0.05)
    assert await s.ask() == (1, 1.0)
    s.manager.set_aspired("m", [broken])  # somebody asks for the model
    await answers(s, 2)


async def test_a_change_during_a_load_is_not_missed(stage):
    s = stage()
    s.add()
    s.manager.set_aspired("m", [contents(s, 1, scale=1, load_seconds=0.05)])
    await asyncio.sleep(0.01)
    s.manager.set_aspired("m", [contents(s, 2, scale=2, load_seconds=0.05)])
    await answers_once_available(s)
    await asyncio.sleep(0.01)
    s.manager.set_aspired("m", [contents(s, 3, scale=3)])
    await answers(s, 3)
    await asyncio.sleep(0.1)
    assert await s.ask() == (1, 3.0)


async def answers_once_available(s):
    await s.manager.wait_available("m")


async def test_a_change_before_the_load_is_loaded_at_once(stage):
    s = stage(load_threads=1)
    s.add()
    s.manager.set_aspired(
        "m", [contents(s, 1, scale=1), Artifact(name="m", version=2, path=contents(s, 9, scale=9).path)]
    )
    s.manager.set_aspired(
        "m", [contents(s, 4, scale=4), Artifact(name="m", version=2, path=contents(s, 9, scale=9).path)]
    )
    await s.until(lambda: s.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
    assert await s.ask(version=1) == (1, 4.0)


async def test_a_version_that_goes_meanwhile_is_not_brought_back(stage):
    s = await serving(stage)
    s.manager.set_aspired("m", [contents(s, 2, scale=2, load_seconds=0.05)])
    await asyncio.sleep(0.01)
    s.manager.set_aspired("m", [])
    await s.until(lambda: s.states() == {1: "END"})
    await asyncio.sleep(0.1)
    assert s.states() == {1: "END"}


async def test_a_model_that_is_removed_meanwhile_is_gone(stage):
    s = await serving(stage)
    s.manager.set_aspired("m", [contents(s, 2, scale=2, load_seconds=0.05)])
    await asyncio.sleep(0.01)
    await s.manager.remove_model("m")
    await asyncio.sleep(0.1)
    assert list(s.manager.names()) == []


async def test_with_resource_transition_the_old_contents_go_first(stage):
    s = await serving(stage, transition="resource")
    s.recorder.events.clear()
    s.manager.set_aspired("m", [contents(s, 2, scale=2)])
    await s.until(lambda: s.states() == {1: "AVAILABLE"})
    assert await s.ask() == (1, 2.0)
    assert [state for _, state, _ in s.recorder.events] == [
        "UNLOADING",
        "END",
        "START",
        "LOADING",
        "AVAILABLE",
    ]


async def test_a_version_that_is_wanted_again_while_it_goes_comes_back(stage):
    s = await serving(stage)
    with s.plane.acquire(s.ref):
        s.manager.set_aspired("m", [])
        assert s.states() == {1: "UNLOADING"}
        s.manager.set_aspired("m", [contents(s, 1, scale=1)])
    await s.until(lambda: s.states() == {1: "AVAILABLE"})


def test_backoff__doubles_up_to_five_minutes():
    assert [backoff_s(5.0, attempts) for attempts in (1, 2, 3, 40)] == [5.0, 10.0, 20.0, 300.0]
