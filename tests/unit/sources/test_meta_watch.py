"""Pins and thread counts of META.json, as they come, change and go."""

from __future__ import annotations

import asyncio
import threading

import pytest

from navi_core.config.meta_json import ModelMeta
from navi_core.contracts.source import VersionChoice
from navi_core.sources.meta_watch import MetaJsonModels

LATEST = VersionChoice()


@pytest.fixture
def said():
    return {}


@pytest.fixture
def changes():
    return []


@pytest.fixture
def models(said, changes):
    return MetaJsonModels(lambda: dict(said), changes.append)


async def test_refresh__tells_whom_a_change_concerns(models, said, changes):
    await models.refresh()
    assert changes == []
    said["a"] = ModelMeta(version="7")
    said["b"] = ModelMeta(intra_op_threads=2)
    await models.refresh()
    await models.refresh()
    said["a"] = ModelMeta(version="8")
    await models.refresh()
    del said["b"]
    await models.refresh()
    assert changes == [{"a", "b"}, {"a"}, {"b"}]


async def test_choice__a_pin_overrides_what_is_configured(models, said):
    assert models.choice("a", LATEST) == LATEST
    said["a"] = ModelMeta(version="2022-12-20T10:18:53.000Z")
    await models.refresh()
    assert models.choice("a", LATEST) == VersionChoice("specific", versions=(1671531533000,))
    assert models.choice("b", LATEST) == LATEST
    del said["a"]
    await models.refresh()
    assert models.choice("a", LATEST) == LATEST


async def test_choice__a_pin_that_is_no_version_leaves_the_model_as_it_is(models, said):
    said["a"] = ModelMeta(version="newest")
    await models.refresh()
    assert models.choice("a", LATEST) == LATEST
    said["a"] = ModelMeta(version="3")
    await models.refresh()
    said["a"] = ModelMeta(version="v4")
    await models.refresh()
    assert models.choice("a", LATEST) == VersionChoice("specific", versions=(3,))


async def test_meta__is_what_was_read_last(models, said):
    assert models.meta("a") == ModelMeta()
    said["a"] = ModelMeta(intra_op_threads=2, inter_op_threads=1)
    await models.refresh()
    assert models.meta("a").intra_op_threads == 2


async def test_refresh__a_slow_read_is_not_waited_for_and_never_doubled(changes):
    begun, release, calls = threading.Event(), threading.Event(), []

    def read():
        calls.append(1)
        begun.set()
        release.wait(60)
        return {"a": ModelMeta(version="1")}

    models = MetaJsonModels(read, changes.append, timeout_s=0.001)
    await models.refresh()
    assert await asyncio.to_thread(begun.wait, 60)
    await models.refresh()
    assert changes == []
    assert len(calls) == 1
    release.set()
    while not changes:
        await models.refresh()
    assert changes == [{"a"}]


async def test_refresh__what_reading_raises_is_raised_and_tried_again(changes):
    answers = [RuntimeError("broken"), {"a": ModelMeta(version="1")}]

    def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    models = MetaJsonModels(read, changes.append)
    with pytest.raises(RuntimeError, match="broken"):
        await models.refresh()
    await models.refresh()
    assert changes == [{"a"}]


async def test_refresh__several_at_once_take_turns(models, said, changes):
    said["a"] = ModelMeta(version="1")
    await asyncio.gather(*(models.refresh() for _ in range(5)))
    assert changes == [{"a"}]
