"""Which runtime and which converter take an artifact."""

from __future__ import annotations

import pytest
import structlog
from made_plugins import a_converter, a_runtime, converters, runtimes

from navi_core.errors import PluginConflictError, PluginNotFoundError


def test_the_runtime_of_the_highest_priority_wins(registry_of, artifact):
    registry = registry_of(
        p=runtimes(a_runtime("low", priority=1), a_runtime("high", priority=9), a_runtime("mid", priority=5))
    )
    assert [runtime.name for runtime in registry.runtimes()] == ["high", "mid", "low"]
    assert registry.select_runtime(artifact("low.bin", "mid.bin")) == (registry.runtime("mid"), "mid")


def test_a_tie_is_refused_naming_both(registry_of, artifact):
    registry = registry_of(p=runtimes(a_runtime("a"), a_runtime("b"), a_runtime("c", priority=1)))
    with pytest.raises(PluginConflictError, match="runtimes 'a' and 'b' both take model 'm'"):
        registry.select_runtime(artifact("a.bin", "b.bin", "c.bin"))


def test_nobody_recognises_lists_runtimes_and_broken_plugins(registry_of, artifact):
    registry = registry_of(p=runtimes(a_runtime("a")), q={"navi_register_runtimes": lambda: 1 / 0})
    with pytest.raises(PluginNotFoundError) as caught:
        registry.select_runtime(artifact("model.xyz"))
    for words in (
        "version 3 of model 'm'",
        "it holds 'model.xyz'",
        "installed runtimes: 'a'",
        "cannot be used: 'q'",
    ):
        assert words in caught.value.message


def test_a_recognise_that_raises_is_reported_and_skipped(registry_of, artifact):
    def recognise(self, artifact):
        raise ValueError("what is this")

    registry = registry_of(p=runtimes(a_runtime("bad", recognise=recognise, priority=200), a_runtime("good")))
    with structlog.testing.capture_logs() as logs:
        assert registry.select_runtime(artifact("good.bin")).kind == "good"
    [log] = logs
    assert (log["event"], log["plugin"], log["error"]) == (
        "recognise_failed",
        "bad",
        "ValueError: what is this",
    )


def test_a_converter_is_selected_by_its_files(registry_of, artifact):
    registry = registry_of(p=converters(a_converter("one")))
    assert registry.select_converter(artifact("mapping.json")).name == "one"
    assert registry.select_converter(artifact("model.bin")) is None


def test_two_converters_that_recognise_are_refused(registry_of, artifact):
    registry = registry_of(p=converters(a_converter("one"), a_converter("two")))
    with pytest.raises(PluginConflictError, match="'one' and 'two'"):
        registry.select_converter(artifact("mapping.json"))
