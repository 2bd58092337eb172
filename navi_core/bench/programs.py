"""Runs another load generator: its progress by the clock, and Ctrl-C handed on so that it tells what it has."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

from navi_core.bench.load import OnProgress
from navi_core.errors import ErrorCode, RemoteError

__all__ = ["Ran", "run_program"]

_TICK_S = 0.2
_LAST_WORDS_S = 5.0


class Ran(NamedTuple):
    """What a program wrote; ``is_complete``: nobody interrupted it."""

    text: str
    is_complete: bool


def run_program(
    command: Sequence[str],
    *,
    expected_s: float | None,
    limit_s: float,
    on_progress: OnProgress,
    begin_part: float = 0.0,
) -> Ran:
    """Run a program to its end.

    Parameters
    ----------
    command
        The program and its arguments.
    expected_s
        How long it is meant to run; None: not known.
    limit_s
        When it is ended.
    on_progress, begin_part
        Told what part is over, from this one on.

    Raises
    ------
    RemoteError
        It failed, or took too long.
    """
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - a list of words, without a shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C comes to us alone
    ) as process:
        is_complete = True
        interrupted_s = 0.0
        while True:
            try:
                text, _ = process.communicate(timeout=_TICK_S)
                break
            except subprocess.TimeoutExpired:
                passed_s = time.monotonic() - began
                if expected_s:
                    part = min(passed_s / expected_s, 1.0)
                    on_progress(begin_part + (1 - begin_part) * part, 0)
                if passed_s > limit_s or (not is_complete and passed_s > interrupted_s + _LAST_WORDS_S):
                    process.kill()
                    text, _ = process.communicate()
                    if is_complete:
                        raise RemoteError(
                            f"{command[0]} did not end within {limit_s:.0f} s",
                            code=ErrorCode.DEADLINE_EXCEEDED,
                        ) from None
                    break
            except KeyboardInterrupt:
                is_complete = False
                interrupted_s = time.monotonic() - began
                process.send_signal(signal.SIGINT)
    if process.returncode and is_complete:
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
        raise RemoteError(f"{command[0]} failed: {last}", code=ErrorCode.UNAVAILABLE)
    return Ran(text, is_complete)
