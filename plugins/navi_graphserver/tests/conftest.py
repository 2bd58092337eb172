"""Third parties' graphs, where they are at hand."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
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
    """``navi-host graphserver`` in a process of its own; entered, the address that it listens at.

    Attributes
    ----------
    may_log_tracebacks
        Runs that fail are in its log as they were raised; where none is expected, none may be.
    """

    may_log_tracebacks = False

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "navi_core", "graphserver", "-p", "0", *map(str, arguments)]
        self._log = tempfile.NamedTemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self.process = subprocess.Popen(command, stderr=self._log)

    def log(self):
        return Path(self._log.name).read_text()

    def __enter__(self):
        end = time.monotonic() + 120
        while not (found := LINE.search(self.log())):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)
        self.num_operations = int(found[2])
        return f"127.0.0.1:{found[1]}"

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(120)
        finally:
            self.process.kill()
            self.process.wait(60)
            log = self.log()
            self._log.close()
        assert status == 0, log
        assert self.may_log_tracebacks or "Traceback" not in log


@contextmanager
def serving(folder, *flags):
    """Run ``navi-host serve`` in a process of its own, in a session of its own; the ports of its transports, by name."""
    addresses, log = folder / "addresses.json", folder / "log"
    command = [
        sys.executable,
        "-m",
        "navi_core",
        "serve",
        "--port=0",
        "--admin",
        f"--address-file={addresses}",
    ]
    with log.open("w") as stream:
        process = subprocess.Popen([*command, *flags], stdout=stream, stderr=stream, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not addresses.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        listening = json.loads(addresses.read_text())["addresses"]
        yield {name: places[0]["port"] for name, places in listening.items()}
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait(60)


@pytest.fixture(scope="session")
def host():
    """What serves graphs with ``navi-host serve`` in a process of its own, given a folder and flags."""
    return serving


@pytest.fixture
def graph_server():
    """The class of ``navi-host graphserver`` in a process of its own."""
    return GraphServer


@pytest.fixture
def free_port():
    """A port that nobody listens at, of those that no connection is given by itself meanwhile."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
