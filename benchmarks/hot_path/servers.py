"""Servers to measure, each a process of its own on one core, and a client in this one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc

from navi_core import PredictRequest

PREDICT = "/tensorflow.serving.PredictionService/Predict"
HERE = Path(__file__).parent


def body() -> bytes:
    """Return a Predict of one row."""
    request = PredictRequest()
    request.model_spec.name = "mlp"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    for size in (1, 16):
        tensor.tensor_shape.dim.add().size = size
    tensor.float_val.extend([0.5] * 16)
    return request.SerializeToString()


@contextlib.contextmanager
def process(*command: str, **more) -> Iterator[subprocess.Popen]:
    """Run Python on core 0; it is gone at the end."""
    running = subprocess.Popen(["taskset", "-c", "0", sys.executable, *command], **more)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


class Server(NamedTuple):
    """A server that answers."""

    port: int
    pid: int
    rest_port: int = 0

    def processor_s(self) -> float:
        """Return the processor time that it has used, in seconds; the kernel counts it in hundredths."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def echo(kind: str = "grpc") -> Iterator[Server]:
    """Serve the bare echo of ``grpc`` or ``aiohttp``."""
    with process(str(HERE / "echo.py"), kind, stdout=subprocess.PIPE, text=True) as running:
        yield Server(int(running.stdout.readline()), running.pid)


@contextlib.contextmanager
def navi(folder: Path, *, is_counting: bool = True) -> Iterator[Server]:
    """Serve the model."""
    addresses = folder.parent / "addresses.json"
    addresses.unlink(missing_ok=True)
    start = ["-m", "navi_core"] if is_counting else [str(HERE / "uncounted.py")]
    flags = ["serve", "--model-dir", str(folder), "--port", "0", "--rest-port", "0"]
    log = folder.parent / "host.log"
    with (
        log.open("w") as output,
        process(*start, *flags, "--address-file", str(addresses), stdout=output, stderr=output) as running,
    ):
        while not addresses.exists():
            time.sleep(0.05)
            if running.poll() is not None:
                sys.exit(log.read_text())
        found = json.loads(addresses.read_text())["addresses"]
        port, rest_port = (found[name][0]["port"] for name in ("grpc", "http"))
        wait_ready(port)
        yield Server(port, running.pid, rest_port)


def wait_ready(port: int) -> None:
    """Return once the model answers."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(PREDICT)
        for _ in range(600):
            try:
                call(body())
            except grpc.RpcError:
                time.sleep(0.05)
            else:
                return
    sys.exit("the model never answered")


def pin_client() -> None:
    """Keep this process on the other core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
