"""How the process ends: as Python does, unless that would end a library in the middle of its work."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Final, NoReturn

__all__ = ["end_process", "interrupts_later"]

_OURS: Final = "navi-"
"""How the names of the host's own threads begin."""


def end_process(status: int) -> NoReturn:
    """End the process with a status.

    A load that nobody waits for any more may be inside of a library's C++ code. Python, going down, ends such a
    thread where it next asks for the interpreter's lock, and the library then ends the process by SIGABRT
    ("terminate called without an active exception"): a stop would look like a crash. So the interpreter is not
    taken down while a thread of ours is at work.
    """
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith(_OURS):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    sys.exit(status)


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended, and raise KeyboardInterrupt then.

    For imports: a library whose import is interrupted writes tracebacks of its own, and says that it is broken. Where
    Ctrl-C has another meaning already, or off the main thread, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
