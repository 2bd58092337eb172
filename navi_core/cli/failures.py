"""How a failed command ends: one sentence on stderr and an exit status."""

from __future__ import annotations

import sys
import traceback
from typing import Final

import click

from navi_core.errors import ConfigError, NaviError, PluginNotFoundError

__all__ = ["EXIT_BAD_USAGE", "EXIT_FAILED", "EXIT_INTERRUPTED", "CommandError", "report"]

EXIT_FAILED: Final = 1
EXIT_BAD_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""The shells' status for a command that Ctrl-C ended."""


class CommandError(NaviError):
    """A command could not do what it was asked for; the text says why."""


def report(error: BaseException, *, debug: bool) -> int:
    """Write an error on stderr, as one sentence, and return the exit status.

    Parameters
    ----------
    error
        What ended the command.
    debug
        Write the traceback, too.
    """
    text, status = _words(error)
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    click.echo(f"navi-host: {' '.join(text.split())}", err=True)
    return status


def _words(error: BaseException) -> tuple[str, int]:
    match error:
        case click.UsageError():
            text = error.format_message().rstrip(".")
            path = error.ctx.command_path if error.ctx is not None else "navi-host"
            return f"{text[:1].lower()}{text[1:]} (see '{path} --help')", EXIT_BAD_USAGE
        case click.ClickException():
            return error.format_message(), error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return "interrupted", EXIT_INTERRUPTED
        case ConfigError() | PluginNotFoundError():
            return error.message, EXIT_BAD_USAGE
        case NaviError():
            return error.message, EXIT_FAILED
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}", EXIT_FAILED
        case _:
            return (
                f"internal error: {type(error).__name__}: {error} ('--debug' shows where)",
                EXIT_FAILED,
            )
