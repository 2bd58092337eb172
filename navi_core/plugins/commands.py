"""The commands that plugins add to ``navi-host``.

Collected without the classes that plugins register, which take longer to import than ``--help`` may take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from navi_core.plugins.discovery import Plugins
from navi_core.plugins.shelf import Shelf, problem_of_name, returned_by

if TYPE_CHECKING:
    import click

__all__ = ["COMMAND_HOOK", "collect_commands"]

COMMAND_HOOK: Final = "navi_register_commands"


def collect_commands(plugins: Plugins, reserved: frozenset[str] = frozenset()) -> Shelf[click.Command]:
    """Ask every plugin for its commands; what is wrong with one is noted in its plugin's record.

    Parameters
    ----------
    plugins
        What was discovered.
    reserved
        Names that the command line itself has: a plugin's command of that name is refused.
    """
    import click  # noqa: PLC0415 - hosts without a command line never need it

    shelf: Shelf[click.Command] = Shelf("command", plugins)
    for record, call in plugins.implementing(COMMAND_HOOK):
        for command in returned_by(record, COMMAND_HOOK, call):
            if not isinstance(command, click.Command):
                record.fail(f"{COMMAND_HOOK}: expected a click command, got {command!r}")
            elif problem := problem_of_name(command.name):
                record.fail(f"{COMMAND_HOOK}: {problem}")
            elif command.name in reserved:
                record.fail(f"{COMMAND_HOOK}: navi-host has a command '{command.name}' of its own")
            else:
                shelf.claim(str(command.name), command, record)
    shelf.settle()
    return shelf
