"""What a host imports: the framework of the models that it serves, and no other."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

PATIENCE_S = 120

FRAMEWORKS = {
    "keras",
    "llvmlite",
    "numba",
    "onnx",
    "onnxruntime",
    "tensorflow",
    "torch",
    "tract",
}

# An audit hook sees every import that is tried, also of what is removed from sys.modules afterwards.
PROGRAM = """
import runpy, sys
log = open(sys.argv[1], "a", buffering=1)
sys.addaudithook(lambda event, args: event == "import" and print(args[0].partition(".")[0], file=log))
sys.argv[:] = ["navi-host", *sys.argv[2:]]
runpy.run_module("navi_core", run_name="__main__", alter_sys=True)
"""


# What is in memory once the host is ready, its models loaded and warm.
IN_MEMORY = """
import atexit, json, pathlib, runpy, sys
atexit.register(lambda: pathlib.Path(sys.orig_argv[-1]).write_text(json.dumps(sorted(sys.modules))))
sys.argv[:] = ["navi-host", *sys.argv[1:-1]]
runpy.run_module("navi_core", run_name="__main__", alter_sys=True)
"""

NOT_FOR_GRPC = FRAMEWORKS - {"onnxruntime"} | {"aiohttp", "pygments", "pytest", "rich", "thrift"}


class Navi:
    """``navi-host`` in processes of their own, and what they imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "imports"
        self.log.touch()

    def start(self, *args: str, plugins: str | None = None, **more) -> subprocess.Popen:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("NAVI_")}
        if plugins is not None:
            environ["NAVI_PLUGINS"] = plugins
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.log), *args],
            cwd=self.folder,
            env=environ,
            text=True,
            stderr=subprocess.PIPE,
            **more,
        )

    @property
    def frameworks(self) -> set[str]:
        names = set(self.log.read_text().split())
        assert "navi_core" in names, "the hook saw nothing"
        return names & FRAMEWORKS


@pytest.fixture
def navi(tmp_path):
    return Navi(tmp_path)


@pytest.fixture
def model(tmp_path):
    """Write a small ONNX model that every runtime for such files serves."""
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper, save

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "twice", [x], [y])
    folder = tmp_path / "models" / "twice" / "1"
    folder.mkdir(parents=True)
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "model.onnx",
    )
    for path in (folder / "model.onnx", folder):  # older than the source waits for
        os.utime(path, (time.time() - 3600,) * 2)
    return folder.parent


def predict_and_stop(navi, model, plugins):
    addresses = navi.folder / "addresses.json"
    ports = ("--port=0", "--rest-port=0", f"--address-file={addresses}")
    process = navi.start("serve", *ports, "--model-dir", str(model), plugins=plugins)
    try:
        until = time.monotonic() + PATIENCE_S
        answer = None
        while answer is None:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until, "no answer came"
            answer = ask(addresses)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.wait()
    assert answer == {"predictions": [[2.0, 5.0]]}


def ask(addresses):
    """Return the answer to one prediction; None: it is not there yet."""
    body = json.dumps({"instances": [[1.0, 2.5]]}).encode()
    try:
        [address] = json.loads(addresses.read_text())["addresses"]["http"]
        with urllib.request.urlopen(f"{address['url']}/v1/models/twice:predict", body, timeout=120) as stream:
            return json.loads(stream.read())
    except (OSError, ValueError, KeyError):
        time.sleep(0.05)
        return None


def test_plugins__lists_everything_and_imports_no_framework(navi):
    process = navi.start("plugins", "--json", stdout=subprocess.PIPE)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    listed = {entry["distribution"] for entry in json.loads(output)}
    installed = {
        name.replace("_", "-")
        for name in ("navi_dr_transform", "navi_onnx", "navi_tf", "navi_torch", "navi_tract")
        if importlib.util.find_spec(name) is not None
    }
    assert installed <= listed
    assert navi.frameworks == set()


@pytest.mark.parametrize(
    ("plugins", "framework"),
    [("onnx", "onnxruntime"), ("tract", "tract"), (None, "onnxruntime")],
    ids=["onnx alone", "tract alone", "whatever is installed"],
)
def test_serve__imports_the_framework_of_its_models_alone(navi, model, plugins, framework):
    needed = [f"navi_{plugins or 'onnx'}", framework]
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed")
    predict_and_stop(navi, model, plugins)
    assert navi.frameworks == {framework}


def test_serve__over_grpc_alone_has_nothing_in_memory_that_rest_or_a_terminal_needs(navi, model):
    for name in ("navi_onnx", "onnxruntime"):
        pytest.importorskip(name)
    found = navi.folder / "modules.json"
    words = ["serve", "--transport=grpc", "--port=0", "--log-format=json", "--model-dir", str(model)]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_MEMORY, *words, str(found)],
        env={**os.environ, "NAVI_PLUGINS": "onnx"},
        text=True,
        stderr=subprocess.PIPE,
    )
    try:
        assert any('"event":"ready"' in line for line in process.stderr), "it ended before it was ready"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    names = {name.partition(".")[0] for name in json.loads(found.read_text())}
    assert {"grpc", "navi_core", "onnxruntime", "structlog"} <= names
    assert not names & NOT_FOR_GRPC
