"""Registers the command ``navi-host toy-greet``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from navi_core import ConfigError, hookimpl


@click.command("toy-greet")
@click.argument("name")
def greet(name: str) -> None:
    """Greet somebody."""
    if not name.isprintable():
        raise ConfigError(f"expected a printable name, got {name!r}", path="NAME")
    click.echo(f"hello, {name}")


@hookimpl
def navi_register_commands() -> Sequence[click.Command]:
    """Register the command."""
    return [greet]
