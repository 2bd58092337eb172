"""A directory of models: which of its directories are served, and what happens when they come and go."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

import pytest

from navi_core.cli.model_repository import follow_repositories, models_in
from navi_core.config.records import ModelConfig
from navi_core.errors import ConfigError, ModelLoadError, ModelNotFoundError


def add(folder, name):
    (folder / name / "1").mkdir(parents=True)


class FakeHost:
    """What a follower asks of a host; loads are kept, and fail as the test says."""

    def __init__(self, configs=()):
        self.admin = self
        self.served = {config.model_name: config for config in configs}
        self.tried = []
        self.broken = set()

    def models(self):
        return tuple(self.served)

    def config_of(self, name):
        return self.served[name]

    async def load(self, config):
        self.tried.append(config.model_name)
        if config.model_name in self.broken:
            raise ModelLoadError("it is broken")
        self.served[config.model_name] = config

    async def unload(self, name):
        if self.served.pop(name, None) is None:
            raise ModelNotFoundError(f"no model '{name}'")


@contextlib.asynccontextmanager
async def following(host, *folders, **options):
    task = asyncio.create_task(follow_repositories(host, folders, 0.005, **options))
    await some_looks()
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def some_looks():
    await asyncio.sleep(0.05)


def test_models_in__takes_directories_with_versions(tmp_path):
    for name in ("b", "a"):
        add(tmp_path, name)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README").write_text("")
    assert models_in([tmp_path]) == tuple(ModelConfig(path=str(tmp_path / name)) for name in ("a", "b"))
    assert models_in([tmp_path], known=["a"]) == (ModelConfig(path=str(tmp_path / "b")),)


def test_models_in__what_cannot_be_listed_is_told(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--model-repository: expected a directory of model directories, got .*No such"
    ):
        models_in([tmp_path / "nothing"])


def test_models_in__one_name_in_two_directories_is_told(tmp_path):
    add(tmp_path, "x/m")
    add(tmp_path, "y/m")
    with pytest.raises(ConfigError, match=r"expected names of their own, got 'm' in .*x and in .*y"):
        models_in([tmp_path / "x", tmp_path / "y"])


async def test_follow__models_come_and_go(tmp_path):
    add(tmp_path, "a")
    host = FakeHost(models_in([tmp_path]))
    host.served["other"] = ModelConfig(path="elsewhere/other")
    async with following(host, tmp_path):
        add(tmp_path, "b")
        await until(lambda: "b" in host.served)
        shutil.rmtree(tmp_path / "a")
        await until(lambda: "a" not in host.served)
    assert set(host.served) == {"b", "other"}
    assert host.served["b"].path == str(tmp_path / "b")


async def test_follow__a_model_that_a_client_unloaded_stays_unloaded(tmp_path):
    add(tmp_path, "a")
    host = FakeHost(models_in([tmp_path]))
    async with following(host, tmp_path):
        await host.unload("a")
        await some_looks()
    assert host.tried == []


async def test_follow__a_directory_without_versions_for_a_moment_takes_nothing_away(tmp_path):
    add(tmp_path, "a")
    host = FakeHost(models_in([tmp_path]))
    async with following(host, tmp_path):
        shutil.rmtree(tmp_path / "a" / "1")
        await some_looks()
    assert host.models() == ("a",)


async def test_follow__storage_that_is_away_takes_nothing_away(tmp_path):
    folder = tmp_path / "models"
    add(folder, "a")
    host = FakeHost(models_in([folder]))
    async with following(host, folder):
        folder.rename(tmp_path / "away")
        await some_looks()
        assert host.models() == ("a",)
        (tmp_path / "away").rename(folder)
        add(folder, "b")
        await until(lambda: "b" in host.served)


async def test_follow__a_model_that_cannot_be_loaded_is_tried_again_after_a_pause(tmp_path):
    now = [0.0]
    host = FakeHost()
    host.broken = {"bad"}
    async with following(host, tmp_path, now=lambda: now[0]):
        add(tmp_path, "bad")
        await until(lambda: host.tried)
        add(tmp_path, "good")
        await until(lambda: "good" in host.served)
        await some_looks()
        assert host.tried == ["bad", "good"]
        now[0] = 5.0
        await until(lambda: host.tried == ["bad", "good", "bad"])
        host.broken = set()
        now[0] = 15.0
        await until(lambda: "bad" in host.served)


async def test_follow__nothing_without_an_interval(tmp_path):
    await follow_repositories(FakeHost(), [tmp_path], 0)
