"""``navi-host graphserver``, as a process: its start line, its file, its end, and what it kept."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from navi_graphserver import Client, serving
from navi_graphserver.commands import graphserver
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.operations.names import num_operations
from navi_graphserver.testing import affine_graph

pytestmark = pytest.mark.integration

X = np.ones((1, 3), np.float32)


def test_a_file_is_graph_0_and_graphs_come_back_after_a_restart(tmp_path, graph_server):
    file, state = tmp_path / "any.fb", tmp_path / "state"
    file.write_bytes(write_graph(affine_graph(graph_id=99)))
    server = graph_server("-f", file, "--state-dir", state)
    with server as target, Client(target) as client:
        assert server.num_operations == num_operations()
        np.testing.assert_array_equal(client.infer(0, {"x": X})["y"], X * 3)
        client.register(affine_graph(factor=5))
    with graph_server("--state-dir", state) as target, Client(target) as client:
        np.testing.assert_array_equal(client.infer(7, {"x": X})["y"], X * 6)


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    file = tmp_path / "bad.fb"
    file.write_bytes(b"nothing of the kind")
    command = [sys.executable, "-m", "navi_core", "graphserver", "-p", "0", "-f", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert "graph" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_from_the_command_line_and_of_kept_graphs(tmp_path, graph_server, free_port):
    file, state = tmp_path / "a=b.fb", tmp_path / "state"
    file.write_bytes(write_graph(affine_graph()))

    def predict(model):
        url = f"http://127.0.0.1:{free_port}/v1/models/{model}:predict"
        with urllib.request.urlopen(url, b'{"instances": [[1, 1, 1]]}', timeout=60) as answer:
            return json.load(answer)["predictions"]

    with graph_server("-f", f"first={file}", "--state-dir", state, "--rest-port", free_port) as target:
        assert predict("graph-0") == predict("first") == [[3, 3, 3]]
        with Client(target) as client:
            client.register(affine_graph(factor=5), name="second")
            client.replace(affine_graph(factor=3, graph_id=0))
        assert predict("graph-0") == predict("first") == [[4, 4, 4]]
    with graph_server("--state-dir", state, "--rest-port", free_port) as target:
        assert predict("graph-7") == predict("second") == [[6, 6, 6]]
        assert predict("graph-0") == predict("first") == [[4, 4, 4]]
        with Client(target) as client:
            client.forget(7)
    assert [path.name for path in state.iterdir()] == ["graph-0"]


def test_a_name_is_what_stands_before_the_equals_sign_unless_the_whole_is_a_file(tmp_path, monkeypatch):
    served = {}
    monkeypatch.setattr(serving, "serve", lambda **options: served.update(options))
    monkeypatch.chdir(tmp_path)
    for name in ("a=b.fb", "b.fb"):
        Path(name).write_bytes(b"")

    def parsed(value):
        done = CliRunner().invoke(graphserver, ["-f", value])
        return (served["name"], str(served["file"])) if done.exit_code == 0 else done.output

    assert parsed("b.fb") == ("", "b.fb")
    assert parsed("encoder=b.fb") == ("encoder", "b.fb")
    assert parsed("a=b.fb") == ("", "a=b.fb")
    assert parsed("c=a=b.fb") == ("c", "a=b.fb")
    assert "'missing.fb' does not exist" in parsed("c=missing.fb")
