"""How the process ends: as Python does, unless that would end a library in the middle of its work."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Final, NoReturn

__all__ = ["end_process"]

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
