"""``navi-host`` as processes of their own, with the toy plugins installed."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import structlog

from navi_core.cli.main import run
from navi_core.cli.state import CliState
from navi_core.plugins.discovery import discover, installed_entry_points
from navi_core.plugins.registry import Registry

WAIT_S = 120.0

OF_GRPC = re.compile(r"^[IWE]\d{4} [\d:.]+ +\d+ \S+\] .*\n", re.MULTILINE)
"""What gRPC's own threads write, of connections of other tests too: that one was closed, for instance."""


class Served:
    """A running ``navi-host serve``."""

    def __init__(self, process: subprocess.Popen[str], address_file: Path, log: Path) -> None:
        self.process = process
        self._address_file = address_file
        self._log = log

    def events(self) -> list[dict]:
        """Return what was logged so far."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def wait_for(self, event: str) -> dict:
        """Wait until an event is logged, and return it."""
        end = time.monotonic() + WAIT_S
        has_ended = False
        while not has_ended and time.monotonic() < end:
            has_ended = self.process.poll() is not None  # what it logged last is there by now
            for entry in self.events():
                if entry["event"] == event:
                    return entry
            time.sleep(0.02)
        raise AssertionError(f"no event {event!r} in:\n{self._log.read_text()}")

    def port(self, transport: str) -> int:
        """Return where a transport listens."""
        return json.loads(self._address_file.read_text())["addresses"][transport][0]["port"]

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.port('grpc')}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port('http')}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@pytest.fixture
def environ(toy_site) -> dict[str, str]:
    """The environment of processes that find the toys beside what is installed."""
    toy_site.install("toy_runtime", "toy_converter", "toy_command")
    return toy_site.environ()


@pytest.fixture
def navi_host(environ):
    """Run one command to its end."""

    def invoke(*args: str, stdin: str | bytes = "") -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "navi_core", *args],
            input=stdin,
            capture_output=True,
            text=True,
            env=environ,
            timeout=240,
            check=False,
        )

    return invoke


@pytest.fixture
def command(toy_site, environ, capfd, monkeypatch):
    """Run one command in this process: what it prints and answers is the same, and it takes no start-up."""
    root = logging.getLogger()
    handlers, level, showwarning = list(root.handlers), root.level, warnings.showwarning

    def entry_points() -> list[EntryPoint]:
        return [point for point in installed_entry_points() if point.name == "core"] + [
            *toy_site.entry_points()
        ]

    def registry() -> Registry:
        return Registry(discover(entry_points=entry_points, environ={}, core_version="0.1.0"))

    def invoke(*args: str, stdin: str = "") -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = run(args, CliState(registry))
        captured = capfd.readouterr()
        return subprocess.CompletedProcess(args, status, captured.out, OF_GRPC.sub("", captured.err))

    yield invoke
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def serve(environ, tmp_path) -> Iterator:
    """Start ``navi-host serve`` on free ports and wait until it listens."""
    running: list[subprocess.Popen] = []

    def start(*args: str) -> Served:
        log, addresses = tmp_path / f"log{len(running)}", tmp_path / f"addresses{len(running)}.json"
        ports = ("--port=0", "--rest-port=0", f"--address-file={addresses}", "--log-format=json")
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "navi_core", "serve", *ports, *args],
                stderr=stream,
                text=True,
                env=environ,
            )
        running.append(process)
        served = Served(process, addresses, log)
        served.wait_for("serving")
        return served

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)


@pytest.fixture
def toy_model(tmp_path):
    """Write a toy model's version, older than the source waits for."""

    def write(name: str = "scaled", version: int = 1, scale: float = 2.0) -> Path:
        folder = tmp_path / "models" / name / str(version)
        folder.mkdir(parents=True)
        (folder / "toy.json").write_text(json.dumps({"scale": scale}))
        old = time.time() - 3600
        for path in (folder / "toy.json", folder):
            os.utime(path, (old, old))
        return folder.parent

    return write
