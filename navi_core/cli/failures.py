"""How a failed command ends: one sentence on stderr and an exit status."""

from __future__ import annotations

import re
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


_GUESS: Final = re.compile(r"\. \(?Did you mean (?:one of: )?([^?]*)\?\)?")
"""How click says which option was probably meant."""


class CommandError(NaviError):
    """A command could not do what it was asked for; the text says why."""


def report(error: BaseException, *, debug: bool, command: str = "") -> int:
    """Write an error on stderr, as one sentence, and return the exit status.

    Parameters
    ----------
    error
        What ended the command.
    debug
        Write the traceback, too.
    command
        The command's name, where one was found: whose help an error of its flags refers to.
    """
    text, status = _words(error, f"navi-host {command}".rstrip())
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    click.echo(f"navi-host: {' '.join(text.split())}", err=True)
    return status


def _words(error: BaseException, command: str) -> tuple[str, int]:
    if _was_interrupted(error):
        return "interrupted", EXIT_INTERRUPTED
    match error:
        case click.UsageError():
            text = _GUESS.sub(r", did you mean \1?", error.format_message()).rstrip(".")
            path = error.ctx.command_path if error.ctx is not None else command
            return f"{text[:1].lower()}{text[1:]} (see '{path} --help')", EXIT_BAD_USAGE
        case click.ClickException():
            return error.format_message(), error.exit_code
        case ConfigError() | PluginNotFoundError():
            return error.message, EXIT_BAD_USAGE
        case NaviError():
            return error.message, EXIT_FAILED
        case OSError() if (
            error.strerror
        ):  # the machine's matter: a disk that is full, a file that is closed to us
            where = "" if error.filename is None else f"{error.filename}: "
            return f"{where}{error.strerror}", EXIT_FAILED
        case _:
            return (
                f"internal error: {type(error).__name__}: {error} ('--debug' shows where)",
                EXIT_FAILED,
            )


def _was_interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: a module whose import it ends may say that it cannot be imported."""
    while isinstance(error, ImportError):
        error = error.__cause__ or error.__context__
    return isinstance(error, click.Abort | KeyboardInterrupt)
