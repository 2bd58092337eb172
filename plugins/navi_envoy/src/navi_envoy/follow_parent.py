"""Becomes another program that dies with its parent. Run as a script, by a file name: it imports nothing of ours.

``python -I -S follow_parent.py FILE``: the file holds JSON: ``argv``, ``environ``, ``parent``, a process id, and
``is_batch``. The request to the kernel (``PR_SET_PDEATHSIG``, Linux) survives the change of program, unlike anything
that Python could watch, and holds even while the program is stuck. So does its scheduling (``SCHED_BATCH``, Linux), which
all its threads inherit.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(path: str) -> None:
    """Read what to become, and become it."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would take twice the time of all the rest
        wanted = json.load(file)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if wanted["is_batch"]:
            with contextlib.suppress(OSError):  # some sandboxes allow nobody to ask; it is only slower then
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if os.getppid() != wanted["parent"]:
        sys.exit(1)  # it died before the kernel was asked
    os.execve(wanted["argv"][0], wanted["argv"], wanted["environ"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1])
