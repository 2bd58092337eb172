"""What the commands of one invocation share: the registry, made when first asked for, and ``--debug``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from navi_core.plugins.registry import Registry

__all__ = ["BUILT_IN", "CliState", "cli_state"]

BUILT_IN: Final[dict[str, tuple[str, str]]] = {
    "serve": ("navi_core.cli.serve", "Serve models over gRPC and REST."),
    "plugins": ("navi_core.cli.plugins", "List what is installed, and what is wrong with it."),
    "inspect": ("navi_core.cli.inspect", "Load a model and show how it would be served."),
    "models": ("navi_core.cli.models", "List models, versions and states of a running host."),
    "predict": ("navi_core.cli.predict", "Send one request to a running host, or to a model on disk."),
    "bench": ("navi_core.cli.bench", "Put load on a running host, and show how it answers."),
    "import": ("navi_core.cli.import_config", "Write a configuration from that of another server."),
    "new-plugin": ("navi_core.cli.new_plugin", "Write a plugin package that works, to be made your own."),
}
"""Command -> module, and the line that ``--help`` shows: it imports none of the modules.

A module has ``make_command(state)``.
"""


def _discover() -> Registry:
    from navi_core.plugins.discovery import discover  # noqa: PLC0415 - only commands that ask for plugins pay for them
    from navi_core.plugins.registry import Registry  # noqa: PLC0415 - see above

    return Registry(discover())


def _discover_commands() -> Mapping[str, click.Command]:
    from navi_core.plugins.commands import collect_commands  # noqa: PLC0415 - only help and plugins' commands need it
    from navi_core.plugins.discovery import discover  # noqa: PLC0415 - see above

    return collect_commands(discover(), frozenset(BUILT_IN)).usable()


class CliState:
    """One invocation of the command line.

    Parameters
    ----------
    make_registry
        Makes the registry; None: of the installed plugins.
    """

    def __init__(self, make_registry: Callable[[], Registry] | None = None) -> None:
        self._make_registry = make_registry
        self._registry: Registry | None = None
        self.debug = False

    @property
    def registry(self) -> Registry:
        """The installed plugins."""
        if self._registry is None:
            self._registry = (self._make_registry or _discover)()
        return self._registry

    @cached_property
    def commands(self) -> Mapping[str, click.Command]:
        """The plugins' commands, by name. The installed plugins are asked for nothing else."""
        if self._make_registry is None:
            return _discover_commands()
        return self.registry.commands(frozenset(BUILT_IN))


def cli_state(ctx: click.Context) -> CliState:
    """Return the state of an invocation."""
    state = ctx.find_object(CliState)
    if state is None:
        state = ctx.find_root().obj = CliState()
    return state
