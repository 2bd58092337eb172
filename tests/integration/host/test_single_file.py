"""A model that is one file: served by path, by configuration, in process and from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from navi_core import Host, HostConfig, ModelConfig, ModelLoadError, VersionPolicySettings
from navi_core.testing.affine import AffineRuntime
from navi_core.testing.registries import registry_of

pytestmark = pytest.mark.integration


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "affine.json"
    path.write_text('{"scale": 3.0}')
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def host_of(*models, **config):
    return Host(HostConfig(models=models, **config), registry=registry_of(runtimes=[AffineRuntime]))


async def test_it_is_version_1_and_named_after_the_file(file):
    async with host_of(ModelConfig(path=str(file))) as host:
        assert (await host.predict("affine", {"x": [[1, 2]]}, version=1))["y"].tolist() == [[3.0, 6.0]]


async def test_a_file_that_is_replaced_takes_over_and_one_that_is_broken_does_not(file):
    model = ModelConfig(path=str(file), name="m", stable_ms=50)

    async def answers(expected):
        async with asyncio.timeout(60):
            while (answer := await host.predict("m", {"x": [[1, 2]]}, version=1))["y"].tolist() != expected:
                assert answer["y"].tolist() in ([[3.0, 6.0]], [[5.0, 10.0]])
                await asyncio.sleep(0.005)

    def put(text):
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    async with host_of(model, poll_interval_s=0.01) as host:
        await answers([[3.0, 6.0]])
        put('{"scale": 5.0}')
        await answers([[5.0, 10.0]])
        put("{")
        await asyncio.sleep(0.2)
        await answers([[5.0, 10.0]])
        put('{"scale": 3.0}')
        await answers([[3.0, 6.0]])
        file.unlink()
        await asyncio.sleep(0.1)
        await answers([[3.0, 6.0]])


async def test_a_navi_toml_beside_it_says_nothing_about_it(file):
    (file.parent / "navi.toml").write_text('[[models]]\npath = "affine.json"\n')  # a whole host's
    async with host_of(ModelConfig(path=str(file), name="m")) as host:
        assert (await host.predict("m", {"x": [[1, 2]]}))["y"].tolist() == [[3.0, 6.0]]


async def test_a_version_that_it_is_not_is_not_served(file):
    model = ModelConfig(path=str(file), name="m", versions=VersionPolicySettings(specific=(3,)))
    host = host_of(model)
    with pytest.raises(ModelLoadError):
        async with host:
            pass


@pytest.mark.parametrize("how", ["--model-dir", "--config"])
def test_from_the_command_line(tmp_path, how):
    onnx = pytest.importorskip("onnx", reason="the model is written with onnx")
    pytest.importorskip("navi_onnx", reason="it is served with ONNX Runtime")
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "minus.onnx")
    (tmp_path / "host.toml").write_text('[[models]]\npath = "minus.onnx"\n')
    what = {"--model-dir": "minus.onnx", "--config": "host.toml"}[how]
    addresses, log = tmp_path / "addresses.json", tmp_path / "log"
    command = [sys.executable, "-m", "navi_core", "serve", how, what, "--port", "0", "--rest-port", "0"]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--address-file", str(addresses)], stdout=stream, stderr=stream, cwd=tmp_path
        )
    try:
        answer = _predict(process, addresses, log)
        assert answer["predictions"] == [[-1.0, -2.0]]
        assert "model_directory_missing" not in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _predict(process, addresses, log):
    body = json.dumps({"instances": [[1, 2]]}).encode()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            port = json.loads(addresses.read_text())["addresses"]["http"][0]["port"]
            url = f"http://127.0.0.1:{port}/v1/models/minus/versions/1:predict"
            with urllib.request.urlopen(url, body, timeout=60) as response:
                return json.load(response)
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError(log.read_text())
