"""A running ``navi-host serve`` with models that others wrote, for clients that others wrote."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("NAVI_SHARED_DATA", ROOT.parent / "shared" / "data")) / "onnx"


@dataclass(frozen=True)
class Server:
    """Where a host listens, and the model files that it serves."""

    grpc: str
    http: str
    models: Mapping[str, Path]
    headers: Mapping[str, str] = field(default_factory=dict)

    def needs(self, model: str) -> None:
        """Skip the test if the model is not here."""
        if model not in self.models:
            pytest.skip(
                f"the model '{model}' is not here (silero-vad not installed, or NAVI_SHARED_DATA not set)"
            )


def _model_files() -> dict[str, Path]:
    """Models that come with ONNX Runtime, with silero-vad, and in a folder beside the repository."""
    onnxruntime = pytest.importorskip("onnxruntime")
    found = {path.stem: path for path in (Path(onnxruntime.__file__).parent / "datasets").glob("*.onnx")}
    found |= {path.parents[1].name: path for path in SHARED.glob("*/1/model.onnx")}
    found |= {path.parent.name: path for path in SHARED.glob("*/model.onnx")}
    silero = importlib.util.find_spec("silero_vad")  # to import it would import torch
    if silero is not None and silero.origin is not None:
        found |= {path.stem: path for path in Path(silero.origin).parent.glob("data/*_openvino_16k.onnx")}
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    with _serving(tmp_path_factory.mktemp("served"), _model_files()) as server:
        yield server


_IDENTITIES = ("FLOAT", "FLOAT16", "DOUBLE", "BOOL", "STRING", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))  # fmt: skip


@pytest.fixture(scope="session")
def managed(tmp_path_factory) -> Iterator[Server]:
    """A host whose models clients may load and unload: ``mul_1``, and one that gives back what it gets, by type."""
    onnx = pytest.importorskip("onnx")
    made = tmp_path_factory.mktemp("made")
    models = {"mul_1": _model_files()["mul_1"]}
    for name in _IDENTITIES:
        kind = getattr(onnx.TensorProto, name)
        x, y = (onnx.helper.make_tensor_value_info(each, kind, ["n", 2]) for each in "xy")
        graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
        opset = [onnx.helper.make_opsetid("", 13)]
        models[f"same_{name.lower()}"] = path = made / f"{name}.onnx"
        path.write_bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    with _serving(tmp_path_factory.mktemp("managed"), models, "--admin") as server:
        yield server


@pytest.fixture
def readme(tmp_path, monkeypatch) -> Iterator[Callable[[str], dict[str, object]]]:
    """Serve the README's model; calling this runs the Python block that has some words, beside that host."""
    pytest.importorskip("onnx")
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    def run(words: str, address: str) -> dict[str, object]:
        [source] = [block for block in blocks if words in block]
        names: dict[str, object] = {}
        exec(source.replace("127.0.0.1:8500", address), names)
        return names

    monkeypatch.chdir(tmp_path)
    run("onnx.save", "")
    with _serving(
        tmp_path, {"half_plus_two": Path("models/half_plus_two/1/model.onnx").absolute()}
    ) as server:
        yield lambda words: run(words, server.grpc)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory) -> Iterator[Server]:
    """A host whose operations need a token; ``mul_1``, and ``spare`` to be loaded and unloaded."""
    with _guarded(tmp_path_factory.mktemp("guarded"), "kserve") as server:
        yield server


@pytest.fixture(scope="session")
def guarded_triton(tmp_path_factory) -> Iterator[Server]:
    """The same, in Triton's dialect."""
    with _guarded(tmp_path_factory.mktemp("guarded_triton"), "triton") as server:
        yield server


@contextmanager
def _guarded(folder: Path, dialect: str) -> Iterator[Server]:
    (folder / "tokens").write_text("a-token\n")
    (folder / "host.toml").write_text(f'[service_options.oip]\ncompat = "{dialect}"\n')
    tokens = ("--admin-token-file", str(folder / "tokens"), "--infer-token-file", str(folder / "tokens"))
    path = _model_files()["mul_1"]
    flags = ("--config", str(folder / "host.toml"), "--admin", *tokens)
    with _serving(folder, {"mul_1": path, "spare": path}, *flags) as server:
        yield replace(server, headers={"Authorization": "Bearer a-token"})


@contextmanager
def _serving(folder: Path, models: dict[str, Path], *flags: str) -> Iterator[Server]:
    for name, path in models.items():
        version = folder / name / "3"
        version.mkdir(parents=True)
        shutil.copy(path, version / "model.onnx")
    addresses, log = folder / "addresses.json", folder / "log"
    command = [sys.executable, "-m", "navi_core", "serve", "--port", "0", "--rest-port", "0", *flags]
    command += ["--address-file", str(addresses)]
    command += [word for name in models for word in ("--model-dir", str(folder / name))]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=folder)
    try:
        yield _wait(process, addresses, log, models)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen, addresses: Path, log: Path, models: dict[str, Path]) -> Server:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            listening = json.loads(addresses.read_text())["addresses"]
            grpc, http = (f"127.0.0.1:{listening[name][0]['port']}" for name in ("grpc", "http"))
            with urllib.request.urlopen(f"http://{http}/healthz/ready", timeout=60):
                return Server(grpc, http, models)
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError(log.read_text())
