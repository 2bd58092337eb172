"""``navi-host``: the entry point. Imports no command, no plugin and nothing heavy by itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from navi_core.cli.ending import end_process
from navi_core.cli.failures import EXIT_BAD_USAGE, report
from navi_core.cli.lazy import LazyGroup, debug_option, normalise, version_option
from navi_core.cli.state import BUILT_IN, CliState
from navi_core.start_collection import collect_rarely

__all__ = ["main", "run"]


def make_group() -> LazyGroup:
    """Return the command line."""
    return LazyGroup(
        "navi-host",
        help="Serve machine-learning models, and look at what is served.",
        context_settings={"token_normalize_func": normalise, "help_option_names": ["-h", "--help"]},
        params=[
            version_option(),
            debug_option(),
        ],
    )


def run(args: Sequence[str], state: CliState | None = None) -> int:
    """Run one command and return its exit status: 0 fine, 1 failed, 2 bad usage or configuration.

    Parameters
    ----------
    args
        The arguments, without the program's name.
    state
        None: a new one, with the installed plugins.
    """
    state = CliState() if state is None else state
    if not args:
        args = ["--help"]
        status = EXIT_BAD_USAGE
    else:
        status = 0
    try:
        ended = make_group().main(args=list(args), prog_name="navi-host", standalone_mode=False, obj=state)
    except (Exception, KeyboardInterrupt) as error:  # the one place where a command's errors end
        return report(error, debug=state.debug, command=args[0] if args[0] in BUILT_IN else "")
    return ended if isinstance(ended, int) and ended else status


def main() -> None:
    """Run the command that the process's arguments name, and exit."""
    collect_rarely()
    end_process(run(sys.argv[1:]))
