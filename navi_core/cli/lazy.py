"""A click group whose commands are imported when they run, and which plugins add commands to."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from typing import Any

import click

from navi_core.cli.ending import interrupts_later
from navi_core.cli.state import BUILT_IN, cli_state

__all__ = ["LazyGroup"]


def normalise(word: str) -> str:
    """Accept both ``--model_dir`` and ``--model-dir``: Navi's scripts use both."""
    return word.replace("_", "-")


class LazyGroup(click.Group):
    """The built-in commands by name, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names: the built-in ones in the order of their table, then the plugins'."""
        return [*BUILT_IN, *sorted(cli_state(ctx).commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now; None: there is none of that name."""
        name = normalise(cmd_name)
        if name in BUILT_IN:
            with interrupts_later():
                module = importlib.import_module(BUILT_IN[name][0])
                command: click.Command | None = module.make_command(cli_state(ctx))
        else:
            with interrupts_later():
                commands = cli_state(ctx).commands
            command = commands.get(cmd_name) or commands.get(name)
        if command is not None:
            _add_debug(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the one that was probably meant."""
        _set_up_logs()
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f", did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"No such command '{name}'{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands from what is known without importing any."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        plugins = cli_state(ctx).commands
        rows = [
            (name, BUILT_IN[name][1] if name in BUILT_IN else plugins[name].get_short_help_str(limit))
            for name in names
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it returns is not an exit status, whoever wrote it."""
        super().invoke(ctx)


def _set_up_logs() -> None:
    """Send warnings to stderr: structlog's own default writes to stdout, where results go.

    Done when there is a command to run: help and the version are shown before structlog would be imported.
    """
    from navi_core.logs_without_rich import configure_logging  # noqa: PLC0415 - see above

    configure_logging(level="warning", log_format="console")  # serve asks for more later


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        cli_state(ctx).debug = True


def version_option() -> click.Option:
    """Return ``--version``, which shows it and ends."""
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Show the version.",
    )


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"navi-core {importlib.metadata.version('navi-core')}")
        ctx.exit()


def debug_option() -> click.Option:
    """Return ``--debug``, which every command has."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_debug,
        help="Show the traceback of an error.",
    )


def _add_debug(command: click.Command) -> None:
    if not any("--debug" in parameter.opts for parameter in command.params):
        command.params.append(debug_option())
