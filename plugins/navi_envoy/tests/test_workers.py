"""``navi-host serve --transport envoy --workers 2``: two hosts, each behind an Envoy of its own, on one port."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import numpy as np
import pytest

from navi_core import PredictRequest, PredictResponse
from navi_core.testing.affine import write_affine

pytest.importorskip("pyvoy", reason="pyvoy brings the Envoy that these tests start, and is not installed")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for the processes of each worker"),
]

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CONNECTIONS = 16
LOST_S = 5.0
"""So long after its connection, a worker's process ends at the latest."""

REFUSED = ("draining", "Stream removed (GOAWAY received; Error code: 0")
"""What a call is told that was not begun."""


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process started, and those that they did."""
    children: list[str] = []
    with suppress(OSError):  # it has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread has
                children += (thread / "children").read_text().split()
    for child in children:
        yield int(child)
        yield from descendants(int(child))


def name_of(pid: int) -> str:
    """Return a process's name; "": it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] == "Z" else name


def write(folder: Path, version: int, scale: float) -> None:
    """Write a version that appears whole, and old enough to be taken for complete."""
    beside = folder.parent / "beside"
    write_affine(beside, version, scale=scale, width=1)
    old = time.time() - 3600
    for path in (*beside.rglob("*"), beside / str(version)):
        os.utime(path, (old, old))
    folder.mkdir(exist_ok=True)
    (beside / str(version)).rename(folder / str(version))


@pytest.fixture
def model(tmp_path) -> Path:
    """Return the folder of the model ``scaled``: version n multiplies by n."""
    write(tmp_path / "scaled", 1, 1.0)
    return tmp_path / "scaled"


@pytest.fixture
def two(start, model):
    served = start(
        *("--model-dir", str(model), "--model-check-interval-secs", "0.1"),
        *("--workers", "2", "--drain-timeout", "60"),
    )
    served.wait_for("serving")
    until(lambda: [each for each in events(served, "ready") if "worker" not in each])
    return served


def events(served, event: str) -> list[dict]:
    lines = [line for line in served.log().splitlines() if f'"event":"{event}"' in line]
    return [json.loads(line) for line in lines]


class Client(threading.Thread):
    """Asks in a closed loop, over a connection of its own, until it is refused."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self.answers: list[tuple[float, float, int]] = []  # began, ended, version
        self.values: list[tuple[float, int]] = []
        self.end: tuple[object, str] | None = None

    def run(self) -> None:
        request = PredictRequest()
        request.model_spec.name = "scaled"
        tensor = request.inputs["x"]
        tensor.dtype = 1
        for size in (1, 1):
            tensor.tensor_shape.dim.add().size = size
        tensor.float_val.append(1.0)
        content = request.SerializeToString()
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._target, options=options) as channel:
            call = channel.unary_unary(PREDICT)
            while True:
                began = time.monotonic()
                try:
                    answer = PredictResponse.FromString(call(content, timeout=60))
                except grpc.RpcError as error:
                    self.end = (error.code(), error.details())
                    return
                version = answer.model_spec.version.value
                self.values.append((_value(answer.outputs["y"]), version))
                self.answers.append((began, time.monotonic(), version))


def _value(tensor) -> float:
    if tensor.tensor_content:
        return float(np.frombuffer(tensor.tensor_content, "<f4")[0])
    return tensor.float_val[0]


def older_after_newer(answers: list[tuple[float, float, int]]) -> list[tuple[float, int, int]]:
    """Return the answers of an older version than some client had had when they were asked for."""
    ends, newest, found = sorted((ended, version) for _, ended, version in answers), 0, []
    for began, _, version in sorted(answers):
        while ends and ends[0][0] < began:
            newest = max(newest, ends.pop(0)[1])
        if version < newest:
            found.append((began, version, newest))
    return found


def test_it_serves_swaps_and_ends_without_a_loss_and_without_an_orphan(two, model):
    assert {each["worker"] for each in events(two, "worker_open")} == {1, 2}
    clients = [Client(two.target) for _ in range(CONNECTIONS)]
    for client in clients:
        client.start()
    until(lambda: all(client.answers for client in clients))
    for version in (2, 3):
        write(model, version, float(version))
        until(lambda newest=version: all(client.answers[-1][2] == newest for client in clients))
    with urllib.request.urlopen(f"http://{two.target}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    assert "navi_workers 2" in page
    processes = list(descendants(two.process.pid))
    assert [name_of(pid) for pid in processes].count("envoy") == 2

    two.process.send_signal(signal.SIGTERM)
    assert two.process.wait(100) == 0
    for client in clients:
        client.join(60)
    assert {code for code, _ in (client.end for client in clients)} == {grpc.StatusCode.UNAVAILABLE}
    assert all(details.startswith(REFUSED) for _, details in (client.end for client in clients))
    assert all(value == version for client in clients for value, version in client.values)
    assert not older_after_newer([answer for client in clients for answer in client.answers])
    until(lambda: not any(map(name_of, processes)))


def test_a_killed_worker_takes_its_envoy_along_and_another_one_serves(two, model):
    before = {each["worker"]: each["pid"] for each in events(two, "worker_open")}
    (envoy,) = descendants(before[1])
    killed_at = time.monotonic()
    os.kill(before[1], signal.SIGKILL)
    until(lambda: not name_of(envoy))
    until(lambda: len(events(two, "worker_open")) == 3)
    write(model, 2, 2.0)

    def version() -> int:
        body = json.dumps(
            {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}
        ).encode()
        url = f"http://{two.target}/v2/models/scaled/infer"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
                return int(json.load(answer)["model_version"])
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError):  # the dead one's port is about to close
            return 0

    until(lambda: version() == 2)
    assert {version() for _ in range(8)} == {2}
    # what is left of the dead one ends later than it does, and must not be taken for the end of its replacement
    time.sleep(max(0.0, killed_at + LOST_S + 1.0 - time.monotonic()))
    assert len(events(two, "worker_ended")) == 1
