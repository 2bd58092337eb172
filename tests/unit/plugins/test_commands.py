"""Commands of plugins."""

from __future__ import annotations

import click
import pytest
from made_plugins import a_runtime, record_of, runtimes

from navi_core.errors import PluginConflictError


def test_plugins_are_asked_for_commands_once_and_only_when_wanted(registry_of):
    asked = []

    def commands():
        asked.append(1)
        return [click.Command("greet")]

    registry = registry_of(p={"navi_register_commands": commands})
    assert asked == []
    assert list(registry.commands()) == list(registry.commands()) == ["greet"]
    assert asked == [1]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (print, "expected a click command"),
        (click.Command(None), "name: expected letters"),
        (click.Command("serve"), "navi-host has a command 'serve' of its own"),
    ],
)
def test_a_command_that_cannot_be_used_is_reported_and_its_plugin_stays(registry_of, item, words):
    registry = registry_of(p={**runtimes(a_runtime("fine")), "navi_register_commands": lambda: [item]})
    assert registry.commands(frozenset({"serve"})) == {}
    record = record_of(registry, "p")
    assert words in record.reason
    assert record.provides == [("runtime", "fine")]


def test_two_commands_of_one_name_clash(registry_of):
    registry = registry_of(
        a={"navi_register_commands": lambda: [click.Command("go")]},
        b={"navi_register_commands": lambda: [click.Command("go")]},
    )
    assert registry.commands() == {}
    with pytest.raises(PluginConflictError, match="command 'go'"):
        registry.command("go")
