"""Third parties' graphs, where they are at hand."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

LINE = re.compile(r"Server listening on: \[127\.0\.0\.1:(\d+)\]; Number of operations: \[(\d+)\]")
ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("NAVI_SHARED_DATA", ROOT.parent / "shared" / "data")) / "graphserver"


@pytest.fixture(scope="session")
def files():
    """A folder of GraphServer's own test resources."""
    if not DATA.is_dir():
        pytest.skip("GraphServer's test files are not here (NAVI_SHARED_DATA names another place)")
    return DATA


class GraphServer:
    """``navi-host graphserver`` in a process of its own; entered, the address that it listens at."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "navi_core", "graphserver", "-p", "0", *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if found := LINE.search(line):
                self.num_operations = int(found[2])
                return f"127.0.0.1:{found[1]}"
        raise AssertionError("".join(lines))

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            _, rest = self.process.communicate(timeout=60)
        finally:
            self.process.kill()
        assert self.process.returncode == 0, rest
        assert "Traceback" not in rest


@pytest.fixture
def graph_server():
    """The class of ``navi-host graphserver`` in a process of its own."""
    return GraphServer


@pytest.fixture
def free_port():
    """A port that nobody listens at."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]
