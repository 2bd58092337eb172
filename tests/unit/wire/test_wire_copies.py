"""The codecs that navi-client shares with the core are the core's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_copies_are_what_the_core_has():
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_wire_copies.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
