"""``navi-host plugins``: what was discovered, and why something cannot be used."""

from __future__ import annotations

from typing import Final

import click

from navi_core.cli.show import json_option, print_json, print_table
from navi_core.cli.state import BUILT_IN, CliState
from navi_core.plugins.discovery import PluginState
from navi_core.plugins.registry import Registry

__all__ = ["make_command", "plugin_rows"]

COLUMNS: Final = ("kind", "name", "distribution", "version", "state", "reason")


def plugin_rows(registry: Registry) -> list[dict[str, str]]:
    """Return a row for everything that can be used, and one for each plugin that has a problem or nothing.

    Rows of kind ``plugin`` stand for a whole entry point.
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
    return rows


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
        help="List everything that installed plugins provide, and for each plugin that cannot be used, why.",
    )
