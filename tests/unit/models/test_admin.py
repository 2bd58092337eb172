"""What admin operations leave behind when they fail, or when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

# Tests are no package (importlib mode): the stage lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

from manager_stage import make_stages

from navi_core.admin import HostAdmin
from navi_core.contracts.artifact import Artifact
from navi_core.errors import ModelLoadError


class NoSources:
    def unwatch(self, name):
        pass


@pytest.fixture
async def stage(tmp_path):
    async with make_stages(tmp_path) as make:
        yield make()


def artifact(version, text):
    return Artifact(name="m", version=version, files={"affine.json": text})


async def test_a_new_model_that_cannot_be_loaded_is_none(stage):
    admin = HostAdmin(stage.manager, NoSources())
    with pytest.raises(ModelLoadError):
        await admin.replace(artifact(1, b"{"))
    assert list(stage.manager.names()) == []


async def test_a_new_model_whose_caller_left_while_it_loaded_is_none(stage):
    admin = HostAdmin(stage.manager, NoSources())
    task = asyncio.ensure_future(admin.replace(artifact(1, b'{"scale": 2, "load_seconds": 0.2}')))
    await stage.until(lambda: list(stage.manager.names()) == ["m"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(stage.manager.names()) == []
    await admin.replace(artifact(1, b'{"scale": 3}'))
    assert await stage.ask() == (1, 3.0)
    task = asyncio.ensure_future(admin.replace(artifact(2, b'{"scale": 2, "load_seconds": 0.2}')))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stage.ask() == (1, 3.0)
