"""``navi-host serve --transport envoy`` as a process, with a runtime that needs no framework."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from navi_core.testing.affine import write_affine

WAIT_S = 100.0


class Served:
    """A running ``navi-host serve``."""

    def __init__(self, process: subprocess.Popen[bytes], addresses: Path, log: Path) -> None:
        self.process = process
        self._addresses = addresses
        self._log = log

    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, event: str) -> dict:
        """Wait until an event is logged, and return it."""
        end = time.monotonic() + WAIT_S
        has_ended = False
        while not has_ended and time.monotonic() < end:
            has_ended = self.process.poll() is not None  # what it logged last is there by now
            for line in self.log().splitlines():
                if f'"event":"{event}"' in line and line.endswith("}"):
                    return json.loads(line)
            time.sleep(0.02)
        raise AssertionError(f"no event {event!r} in:\n{self.log()}")

    @property
    def port(self) -> int:
        return json.loads(self._addresses.read_text())["addresses"]["envoy"][0]["port"]

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def envoy_pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert len(children) == 1, children
        return int(children[0])

    def envoy_ends(self, pid: int) -> bool:
        """Wait until Envoy is gone; one that waits to be buried is."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return True
            except FileNotFoundError:
                return True
            time.sleep(0.02)
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@pytest.fixture(scope="module")
def environ(tmp_path_factory) -> dict[str, str]:
    """The environment of processes that find the runtime ``affine`` as an installed plugin."""
    site = tmp_path_factory.mktemp("site")
    (site / "affine_plugin.py").write_text(
        "from navi_core import hookimpl\n"
        "from navi_core.testing.affine import AffineRuntime\n"
        "@hookimpl\n"
        "def navi_register_runtimes():\n"
        "    return [AffineRuntime]\n"
    )
    info = site / "affine_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: affine-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[navi]\naffine = affine_plugin\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Return a folder with the models ``quick`` and ``slow`` (1 s a run); y = 2 x + 1."""
    folder = tmp_path_factory.mktemp("models")
    write_affine(folder / "quick", 1, scale=2.0, bias=1.0)
    write_affine(folder / "slow", 1, scale=2.0, bias=1.0, run_seconds=1.0)
    old = time.time() - 3600
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (old, old))
    return folder


@pytest.fixture(scope="module")
def start(environ, models, tmp_path_factory):
    """Start ``navi-host serve --transport envoy``; it need not come up."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*args: str, port: int = 0) -> Served:
        folder = tmp_path_factory.mktemp("run")
        with (folder / "log").open("w") as stream:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "navi_core", "serve", "--transport", "envoy", f"--port={port}"),
                    *("--model-dir", str(models / "quick"), "--model-dir", str(models / "slow")),
                    *(f"--address-file={folder / 'addresses.json'}", "--log-format=json", *args),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=environ,
                start_new_session=True,  # a group of its own, as a shell gives it
            )
        running.append(process)
        return Served(process, folder / "addresses.json", folder / "log")

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)


@pytest.fixture(scope="module")
def served(start) -> Served:
    """A host that serves throughout the module."""
    served = start()
    served.wait_for("serving")
    served.wait_for("ready")
    return served
