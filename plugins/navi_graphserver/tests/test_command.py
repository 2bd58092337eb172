"""``navi-host graphserver``, as a process: its start line, its file, its end, and what it kept."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from navi_graphserver import Client
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.operations.names import num_operations
from navi_graphserver.testing import affine_graph

pytestmark = pytest.mark.integration

X = np.ones((1, 3), np.float32)
LINE = re.compile(r"Server listening on: \[127\.0\.0\.1:(\d+)\]; Number of operations: \[(\d+)\]")


class Server:
    """A server in a process of its own."""

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


def test_a_file_is_graph_0_and_graphs_come_back_after_a_restart(tmp_path):
    file, state = tmp_path / "any.fb", tmp_path / "state"
    file.write_bytes(write_graph(affine_graph(graph_id=99)))
    server = Server("-f", file, "--state-dir", state)
    with server as target, Client(target) as client:
        assert server.num_operations == num_operations()
        np.testing.assert_array_equal(client.infer(0, {"x": X})["y"], X * 3)
        client.register(affine_graph(factor=5))
    with Server("--state-dir", state) as target, Client(target) as client:
        np.testing.assert_array_equal(client.infer(7, {"x": X})["y"], X * 6)


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    file = tmp_path / "bad.fb"
    file.write_bytes(b"nothing of the kind")
    command = [sys.executable, "-m", "navi_core", "graphserver", "-p", "0", "-f", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "graph" in done.stderr
    assert "Traceback" not in done.stderr
