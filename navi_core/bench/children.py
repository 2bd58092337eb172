"""Processes of the load generator: each runs one module, is told lines of JSON, and says lines."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from typing import IO, Final, cast

import msgspec

__all__ = ["Child"]

_END_WAIT_S: Final = 1.0


class Child:
    """A running module; its stderr is kept for when it fails.

    Ctrl-C does not reach it: the parent decides what becomes of it. The end of its stdin, which the end of the parent
    is, too, tells it to stop.

    Parameters
    ----------
    module
        What it runs, as ``python -m`` is told.
    """

    def __init__(self, module: str) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and a module of ours
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        self._stdin = cast(IO[bytes], self._process.stdin)
        self.said: Final = cast(IO[bytes], self._process.stdout)
        """What it writes; the end of it is the end of the process."""

    def tell(self, message: msgspec.Struct) -> None:
        """Write a line to it; one that has ended says so elsewhere."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(msgspec.json.encode(message) + b"\n")
            self._stdin.flush()

    def stop(self) -> None:
        """Tell it to stop. Idempotent."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def end(self) -> None:
        """End it, whatever it does, and wait until it is gone."""
        self.stop()
        try:
            self._process.wait(_END_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Forget what it said: after :meth:`end`, when nobody reads any more."""
        self.said.close()
        self._errors.close()

    def last_words(self) -> str:
        """Return the last line that it wrote to stderr."""
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
