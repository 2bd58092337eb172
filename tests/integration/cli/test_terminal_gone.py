"""A host that was started in a terminal ends when the terminal is closed, rather than read its files again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("termios", reason="this system has no terminals of its own")

pytestmark = pytest.mark.integration

# as a shell's child: the leader of a session whose terminal is its standard input
PROGRAM = """
import fcntl, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from navi_core.cli.hangup import Hangup
with Hangup(lambda: None, "navi.toml"):
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    while True:
        signal.pause()
"""


def test_a_closed_terminal_ends_who_was_started_in_it():
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=subprocess.PIPE, start_new_session=True
        )
    finally:
        os.close(theirs)
    with process:
        try:
            assert process.stdout.readline() == b"ready\n"
            os.close(ours)
            assert process.wait(60) == -15
        finally:
            process.kill()
