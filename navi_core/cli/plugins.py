"""``navi-host plugins``: what was discovered, why something cannot be used, and what plugins say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import click

from navi_core.cli.show import json_option, print_json, print_table
from navi_core.cli.state import BUILT_IN, CliState
from navi_core.plugins.discovery import PluginState, describe
from navi_core.plugins.registry import Registry

__all__ = ["make_command", "plugin_rows"]

STATUS_HOOK: Final = "navi_plugin_status"
COLUMNS: Final = ("kind", "name", "distribution", "version", "state", "reason")


def plugin_rows(registry: Registry) -> list[dict[str, str]]:
    """Return a row for everything that can be used, and one for each plugin that has a problem or nothing.

    Rows of kind ``plugin`` stand for a whole entry point; those of kind ``status`` are lines that a plugin says
    of itself.
    """
    # instances are made and commands asked for, so that what fails only then is shown too
    registry.runtimes()
    registry.converters()
    registry.commands(frozenset(BUILT_IN))
    rows = []
    for record in registry.records:
        about = {"plugin": record.name, "distribution": record.distribution, "version": record.version}
        rows += [
            {"kind": kind, "name": name, **about, "state": str(PluginState.LOADED), "reason": ""}
            for kind, name in record.provides
        ]
        if record.reason or not record.provides:
            row = {"kind": "plugin", "name": record.name, **about}
            rows.append({**row, "state": str(record.state), "reason": record.reason})
    return [*rows, *_status_rows(registry)]


def _status_rows(registry: Registry) -> Iterator[dict[str, str]]:
    """Ask every plugin how it is; one that cannot say is no worse for it."""
    for record, call in registry.plugins.implementing(STATUS_HOOK):
        about = {"plugin": record.name, "distribution": record.distribution, "version": record.version}
        lines: Mapping[object, object]
        try:
            lines = {name: line for answer in call() for name, line in answer.items()}
        except Exception as error:  # a stranger's code: its failure is its own
            lines = {record.name: f"{STATUS_HOOK} raised {describe(error)}"}
        for name, line in lines.items():
            row = {"kind": "status", "name": str(name), **about}
            yield {**row, "state": str(record.state), "reason": " ".join(str(line).split())}


def make_command(state: CliState) -> click.Command:
    """Return the command."""

    def plugins(as_json: bool) -> None:
        rows = plugin_rows(state.registry)
        if as_json:
            print_json(rows)
        else:
            print_table(COLUMNS, rows)

    return click.Command(
        "plugins",
        callback=plugins,
        params=[json_option()],
        help="List everything that installed plugins provide, what they say of themselves (status), "
        "and for each plugin that cannot be used, why.",
    )
