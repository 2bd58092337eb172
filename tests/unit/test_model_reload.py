"""Models of a configuration that was read again."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from navi_core.config.records import BatchingSettings, HostConfig, ModelConfig
from navi_core.errors import ModelLoadError
from navi_core.model_reload import other_settings, reload_models


class Served:
    """What serves models by their names, and refuses those called ``bad``."""

    def __init__(self, *models):
        self.running = {model.model_name: model for model in models}
        self.applied = 0

    @property
    def admin(self):
        return self

    def models(self):
        return tuple(self.running)

    def config_of(self, name):
        return self.running[name]

    async def apply_config(self, models):
        if any(model.model_name == "bad" for model in models):
            raise ModelLoadError("version 1 is no model", model="bad")
        self.running = {model.model_name: model for model in models}
        self.applied += 1


def model(name, **more):
    return ModelConfig(path=f"models/{name}", **more)


async def reload(host, before, after):
    with capture_logs() as events:
        is_done = await reload_models(host, before, after)
    (event,) = events
    return is_done, event


async def test_what_changed_is_done_and_told():
    a, b, c = model("a"), model("b"), model("c")
    host = Served(a, b)
    slow = model("b", batching=BatchingSettings(batch_timeout_ms=5.0))
    is_done, event = await reload(host, (a, b), (slow, c))
    assert is_done
    assert host.running == {"b": slow, "c": c}
    assert event == {
        "event": "config_reloaded",
        "log_level": "info",
        "added": ["c"],
        "removed": ["a"],
        "changed": ["b"],
    }


async def test_nothing_changed_does_nothing():
    host = Served(model("a"))
    is_done, event = await reload(host, (model("a"),), (model("a"),))
    assert (is_done, host.applied, event["event"]) == (True, 0, "config_unchanged")


async def test_models_that_came_by_an_admin_operation_stay():
    host = Served(model("a"), model("guest"))
    await reload(host, (model("a"),), (model("b"),))
    assert set(host.running) == {"b", "guest"}


async def test_a_model_that_a_client_unloaded_is_served_again():
    host = Served(model("a"))
    _, event = await reload(host, (model("a"), model("b")), (model("a"), model("b")))
    assert set(host.running) == {"a", "b"}
    assert event["added"] == ["b"]


async def test_what_is_refused_changes_nothing():
    host = Served(model("a"))
    is_done, event = await reload(host, (model("a"),), (model("bad"),))
    assert not is_done
    assert set(host.running) == {"a"}
    assert event == {"event": "config_refused", "log_level": "error", "error": "version 1 is no model"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"models": (model("b"),)}, []),
        ({"admin": True, "drain_timeout_s": 1.0}, ["admin", "drain_timeout_s"]),
    ],
)
def test_other_settings_are_named(change, expected):
    before = HostConfig(models=(model("a"),))
    assert other_settings(before, HostConfig(**{"models": before.models, **change})) == expected
