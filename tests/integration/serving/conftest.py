"""A real host in a process of its own, real ONNX models, and a client that counts what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from navi_core.wire.tf_serving import PredictRequest, PredictResponse

onnx = pytest.importorskip("onnx", reason="the models of these tests are written with onnx")
pytest.importorskip("navi_onnx", reason="these tests serve ONNX models")

PREDICT = "/tensorflow.serving.PredictionService/Predict"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def write_scale_model(model_dir, version, factor, *, ballast_bytes=0):
    """Write MODEL_DIR/VERSION/model.onnx with y = factor * x; ``ballast_bytes`` of weights make it heavy."""
    from onnx import TensorProto, helper, numpy_helper

    weights = [numpy_helper.from_array(np.array([factor], np.float32), "factor")]
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    if ballast_bytes:
        ballast = np.random.default_rng(0).random((1, ballast_bytes // 4), dtype=np.float32)
        weights.append(numpy_helper.from_array(ballast, "ballast"))
        nodes = [
            helper.make_node("ReduceMin", ["ballast"], ["least"], keepdims=0),
            helper.make_node("Sub", ["least", "least"], ["nothing"]),
            helper.make_node("Mul", ["x", "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "nothing"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder = model_dir / str(version)
    staging = model_dir / f".{version}.tmp"
    staging.mkdir(parents=True)
    onnx.save(model, staging / "model.onnx")
    for path in (staging / "model.onnx", staging):  # old enough to be complete when a host starts
        os.utime(path, (time.time() - 3600,) * 2)
    staging.rename(folder)
    return folder


class Server:
    """One ``navi-host serve``."""

    def __init__(self, process, addresses, log):
        self.process = process
        self.addresses = addresses
        self.log = log

    @property
    def grpc(self):
        return self.addresses["grpc"]

    @property
    def http(self):
        return self.addresses["http"]

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s=120):
        return self.process.wait(timeout_s)

    def resident_bytes(self):
        statm = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def until_ready(self, timeout_s=120):
        await self.until_logged('"ready"', timeout_s)

    async def until_logged(self, text, timeout_s=120):
        async with asyncio.timeout(timeout_s):
            while text not in self.log.read_text():
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.02)


@pytest.fixture
def serve(tmp_path):
    """Start hosts with the arguments given; all are gone at the end."""
    started = []

    def start(*arguments):
        number = len(started)
        addresses = tmp_path / f"addresses-{number}.json"
        log_path = tmp_path / f"host-{number}.log"
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "navi_core", "serve", "--port", "0", "--rest-port", "0"),
                    *("--address-file", str(addresses)),
                    *map(str, arguments),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
            )
        started.append(process)
        deadline = time.monotonic() + 120
        while not addresses.exists():
            assert process.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.01)
        found = json.loads(addresses.read_text())["addresses"]
        targets = {name: f"{first['host']}:{first['port']}" for name, [first, *_] in found.items()}
        return Server(process, targets, log_path)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def predict_request(model, rows, value, version=None):
    request = PredictRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add().size = rows
    tensor.tensor_shape.dim.add().size = 2
    tensor.float_val.extend([value] * (2 * rows))
    return request.SerializeToString()


class Caller:
    """One connection that asks again as soon as it is answered, and checks every answer."""

    def __init__(self, target, model, factors, number):
        self.channel = grpc.aio.insecure_channel(
            target, options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1), ("navi.connection", number)]
        )
        self.call = self.channel.unary_unary(PREDICT)
        self.factors = factors
        self.model = model
        self.number = number
        self.versions = []
        self.outcomes = Counter()
        self.problems = []

    async def run(self, stop):
        value = float(self.number + 1)
        body = predict_request(self.model, 1 + self.number % 3, value)
        while not stop.is_set():
            try:
                answer = PredictResponse.FromString(await self.call(body))
            except grpc.aio.AioRpcError as error:
                self.outcomes[error.code().name, error.details()] += 1
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self.problems.append(f"{error.code()}: {error.details()}")
                break
            self.outcomes["OK", ""] += 1
            version = answer.model_spec.version.value
            if self.versions and version < self.versions[-1]:
                self.problems.append(f"version went back from {self.versions[-1]} to {version}")
            if not self.versions or version != self.versions[-1]:
                self.versions.append(version)
            got = list(answer.outputs["y"].float_val)
            expected = [value * self.factors[version]] * (2 * (1 + self.number % 3))
            if got != expected:
                self.problems.append(f"version {version}: expected {expected}, got {got}")

    async def close(self):
        await self.channel.close()


@contextlib.asynccontextmanager
async def callers(target, model, factors, count):
    """Many connections in a closed loop; yields them and the event that stops them."""
    everyone = [Caller(target, model, factors, number) for number in range(count)]
    stop = asyncio.Event()
    running = [asyncio.create_task(each.run(stop)) for each in everyone]
    try:
        yield everyone, stop, running
    finally:
        stop.set()
        await asyncio.wait(running, timeout=60)
        for each in everyone:
            await each.close()


@pytest.fixture
def scale_model(tmp_path):
    """Write versions of a model that multiplies by ``factor``."""

    def write(version, factor, *, name="scale", ballast_bytes=0):
        return write_scale_model(tmp_path / "models" / name, version, factor, ballast_bytes=ballast_bytes)

    return write


@pytest.fixture
def model_dir(tmp_path):
    return tmp_path / "models" / "scale"


@pytest.fixture
def load():
    """Many connections in a closed loop: ``async with load(target, factors, count) as (...)``."""
    return lambda target, factors, count, model="scale": callers(target, model, factors, count)


@pytest.fixture
def ask():
    """Ask once; returns (version, first output value)."""

    async def once(target, value=1.0, *, model="scale", rows=1, version=None):
        async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
            body = predict_request(model, rows, value, version)
            answer = PredictResponse.FromString(await channel.unary_unary(PREDICT)(body))
            return answer.model_spec.version.value, answer.outputs["y"].float_val[0]

    return once
