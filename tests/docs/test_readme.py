"""The README, done as it says: write the model, serve it, ask it, predict in process."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for found, text in FENCE.findall(README) if found == language]


def block(language: str, words: str) -> str:
    [found] = [text for text in blocks(language) if words in text]
    return found


def run_block(source: str, folder: Path, **names: str) -> dict[str, object]:
    for old, new in names.items():
        source = source.replace(old, new)
    namespace: dict[str, object] = {"__name__": "readme"}
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(source, "README.md", "exec"), namespace)
    finally:
        os.chdir(before)
    return namespace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory in which the model of the README is written."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("readme")
    run_block(block("python", "onnx.save"), folder)
    return folder


@pytest.fixture(scope="module")
def addresses(folder):
    """The host of the README, on free ports: transport -> port."""
    words = shlex.split(block("sh", "navi-host serve"))
    assert words[0] == "navi-host"
    command = [sys.executable, "-m", "navi_core", *words[1:]]
    command += ["--port", "0", "--rest-port", "0", "--address-file", "addresses.json"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        found = _wait(folder, process)
        yield found
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def _wait(folder: Path, process: subprocess.Popen) -> dict[str, str]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            listening = json.loads((folder / "addresses.json").read_text())["addresses"]
            ports = {name: str(places[0]["port"]) for name, places in listening.items()}
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/healthz/ready", timeout=60):
                return ports
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError((folder / "log").read_text())


@pytest.mark.integration
def test_the_curl_line_answers_as_it_says(addresses):
    words = shlex.split(block("sh", ":predict"))
    assert words[:2] == ["curl", "-d"]
    url = words[3].replace("8501", addresses["http"])
    with urllib.request.urlopen(url, data=words[2].encode(), timeout=60) as answer:
        assert json.loads(answer.read()) == json.loads(block("json", "predictions"))


@pytest.mark.integration
def test_the_tensorflow_serving_client_is_answered(addresses, folder):
    pytest.importorskip("tensorflow_serving", reason="the package tensorflow-serving-api is not installed")
    names = run_block(
        block("python", "tensorflow_serving"), folder, **{"127.0.0.1:8500": f"127.0.0.1:{addresses['grpc']}"}
    )
    assert names["response"].outputs["y"].tensor_shape.dim[0].size == 3


@pytest.mark.integration
def test_the_curl_line_of_the_open_inference_protocol_is_answered(addresses):
    words = shlex.split(block("sh", "/v2/models"))
    assert words[:2] == ["curl", "-d"]
    url = words[3].replace("8501", addresses["http"])
    with urllib.request.urlopen(url, data=words[2].encode(), timeout=60) as answer:
        [output] = json.loads(answer.read())["outputs"]
    assert output["data"] == [2.5, 3.0, 4.5]


def test_the_commands_for_those_who_come_from_elsewhere_are_there():
    rows = README.split("## Five minutes: you come from somewhere else")[1].split("\n## ")[0]
    commands = re.findall(r"`((?:navi-host|pip) [^`]+)`", rows)
    assert len(commands) >= 9
    for command in map(shlex.split, commands):
        if command[0] == "pip":
            for target in command[2:]:
                path, _, extra = target.partition("[")
                project = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]
                assert not extra or extra.rstrip("]") in project["optional-dependencies"]
            continue
        help_text = subprocess.run(
            [sys.executable, "-m", "navi_core", command[1], "--help"],
            capture_output=True,
            check=False,
            text=True,
            timeout=240,
        ).stdout
        if command[1] == "graphserver" and not help_text:
            continue  # its package is not installed
        for flag in [word for word in command[2:] if word.startswith("-")]:
            assert re.search(rf"(?:^|[\s,]){re.escape(flag)}\b", help_text), (command, flag)


@pytest.mark.integration
def test_the_in_process_blocks_run(folder):
    run_block(block("python", "HostConfig(models") + block("python", "asyncio.run"), folder)


def test_the_plugin_block_runs_and_its_table_is_an_entry_point(folder):
    assert "navi_register_runtimes" in run_block(block("python", "@hookimpl"), folder)
    assert set(tomllib.loads(block("toml", "entry-points"))["project"]["entry-points"]) == {"navi"}


def test_the_first_command_installs_projects_that_exist():
    [line] = [text for text in blocks("sh") if "pip install" in text and "demo" in text]
    install = shlex.split(line.split("&&")[1])
    for target in install[2:]:
        path, _, extra = target.partition("[")
        project = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]
        assert not extra or extra.rstrip("]") in project["optional-dependencies"]
    assert line.strip().endswith("navi-host demo")


def test_the_second_command_is_the_one_that_ci_runs():
    assert ".ci/run" in [text.strip() for text in blocks("sh")]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
