"""Where the time of a served request goes: BatchPredictionRequests over gRPC to an ONNX model of 5293-512-128-10.

``navi-host serve`` runs on one core and a client on another, which keeps a number of calls on their way: 64 records a
request, their keys in the order of Java's HashMap, common features beside them. Three look at it: the host's own
metrics; perf, at the processor time of every thread by library; and py-spy, whose samples go to the stage of their
innermost frame that has one. With ``--native`` py-spy stops the process for each sample, which slows it down many times
and favours what waits; with ``--nonblocking`` it sees Python frames only, and does not.

    pip install py-spy
    python benchmarks/dr_transform_served.py [--features 500] [--in-flight 1 4] [--seconds 10]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from navi_core import PredictRequest, PredictResponse

sys.path.insert(0, str(Path(__file__).parent / "dr_transform"))

from cases import Case
from generator import Generator
from mapping import write_mapping_files

METHOD = "/tensorflow.serving.PredictionService/Predict"
SIZES = (5293, 512, 128, 10)
REQUESTS = 32
PY_SPY = Path(sys.executable).with_name("py-spy")
SETTINGS = """
converter = "bpr"

[converter_options.layout]
base = "home"

[[converter_options.layout.tensors]]
name = "continuous"
default = 0.0
"""

STAGES = {
    "convert": ("navi_dr_transform/",),
    "run the model": ("navi_onnx/", "onnxruntime"),
    "read the request, write the answer": ("navi_core/services", "navi_core/wire", "google/protobuf"),
    "queue and batch": (
        "navi_core/batching",
        "navi_core/data_plane",
        "navi_core/models",
        "navi_core/metrics",
    ),
    "move bytes": ("navi_core/transports", "cygrpc"),
}
"""Stage -> what a frame's place contains; the innermost frame that has a stage counts."""

WAITING = (
    *("epoll", "pthread_cond", "(libc.so.6)", "(asyncio/runners.py", "_worker (concurrent/futures/thread.py"),
    *("Thread.run (threading.py", "PyThread_acquire_lock"),
)
"""Innermost frames of threads that wait, or that run an event loop's or gRPC's own code: not told apart here."""

COUNTED = {
    "convert, plan and fill": "navi_converter_bpr_record_seconds",
    "run the model": "navi_run_seconds",
    "the whole request": "navi_request_seconds",
}
"""Stage -> the host's metric of it; that of the converter counts records, its sum is seconds all the same."""


def write_model(folder: Path) -> None:
    """Write the model, its mapping files and its settings."""
    random = np.random.default_rng(0)
    nodes, weights, name = [], [], "continuous"
    for index, (size_in, size_out) in enumerate(itertools.pairwise(SIZES)):
        weight = (random.standard_normal((size_in, size_out)) * size_in**-0.5).astype(np.float32)
        weights += [
            numpy_helper.from_array(weight, f"w{index}"),
            numpy_helper.from_array(np.zeros(size_out, np.float32), f"b{index}"),
        ]
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], [f"g{index}"]))
        is_last = index == len(SIZES) - 2
        nodes.append(
            helper.make_node(
                "Sigmoid" if is_last else "Relu", [f"g{index}"], ["scores" if is_last else f"r{index}"]
            )
        )
        name = f"r{index}"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("continuous", TensorProto.FLOAT, ["batch", SIZES[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", SIZES[-1]])],
        weights,
    )
    version = folder / "1"
    version.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        version / "model.onnx",
    )
    write_mapping_files(version)
    (version / "navi.toml").write_text(SETTINGS)


def make_requests(features: int) -> list[bytes]:
    """Return PredictRequests of 64 records each, as bytes."""
    generator = Generator(Case(records=64, features=features, order="producer"))
    requests = []
    for _ in range(REQUESTS):
        request = PredictRequest()
        request.model_spec.name = "home"
        tensor = request.inputs["examples"]
        tensor.dtype = 7  # DT_STRING
        tensor.tensor_shape.dim.add().size = 1
        tensor.string_val.append(generator.payload())
        requests.append(request.SerializeToString())
    return requests


class Load:
    """Calls in closed loops, so many at once."""

    def __init__(self, address: str, requests: list[bytes], in_flight: int) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])
        self.call = self.channel.unary_unary(METHOD)
        self.requests = requests
        self.num_calls = 0
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._loop, args=(index,)) for index in range(in_flight)]
        first = PredictResponse.FromString(self._when_ready(requests[0]))
        shape = [dim.size for dim in first.outputs["scores"].tensor_shape.dim]
        assert shape == [64, SIZES[-1]], shape

    def _when_ready(self, request: bytes) -> bytes:
        while True:
            try:
                return self.call(request, timeout=60)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                time.sleep(0.2)

    def _loop(self, index: int) -> None:
        while not self.stopped.is_set():
            self.call(self.requests[index % len(self.requests)], timeout=60)
            index += 1
            self.num_calls += 1  # a few may be lost between threads, of thousands

    def start(self) -> None:
        """Begin."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        self.channel.close()


def stage_of(frames: list[str]) -> str:
    """Return the stage of a stack, outermost frame first; empty: its thread waits, or runs what has no stage."""
    if any(place in frames[-1] for place in WAITING):
        return ""
    for frame in reversed(frames):
        for stage, places in STAGES.items():
            if any(place in frame for place in places):
                return stage
    return ""


def shares(folded: str) -> dict[str, float]:
    """Return each stage's share of the samples that have one."""
    counts: Counter = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[stage_of(stack.split(";"))] += int(count)
    total = sum(counts[stage] for stage in STAGES) or 1
    return {stage: counts[stage] / total for stage in STAGES}


def thread_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def timings(url: str) -> dict[str, float]:
    """Return the seconds that the host has counted, by family."""
    page = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    return {
        family: sum(
            float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"{family}_sum")
        )
        for family in COUNTED.values()
    }


def py_spy(pid: int, seconds: float, *how: str, rate: int, folder: Path) -> str:
    """Return what py-spy saw, as folded stacks."""
    out = folder / "stacks.txt"
    command = [
        str(PY_SPY),
        *("record", "--format", "raw", "--pid", str(pid), "--output", str(out)),
        *("--duration", str(round(seconds)), "--rate", str(rate), *how),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return out.read_text()


def perf(pid: int, seconds: float, folder: Path) -> list[tuple[float, str]]:
    """Return the share of processor time in each library, of all threads; nothing where perf is not permitted."""
    if shutil.which("perf") is None:
        return []
    data = str(folder / "perf.data")
    record = ["perf", "record", "-e", "cpu-clock", "-F", "999", "-o", data, "-p", str(pid)]
    done = subprocess.run([*record, "--", "sleep", str(seconds)], capture_output=True, check=False)
    if done.returncode:
        return []
    report = ["perf", "report", "-i", data, "--stdio", "--sort", "dso"]
    text = subprocess.run(report, capture_output=True, check=True, text=True).stdout
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(float(share.rstrip("%")) / 100, library.strip()) for share, library in rows]


def measure(pid: int, load: Load, url: str, seconds: float, folder: Path) -> None:
    """Print where the time goes, as told by the host, by perf and by py-spy."""
    before, calls, started, used = timings(url), load.num_calls, time.monotonic(), thread_seconds(pid)
    time.sleep(seconds)
    took, used, calls = time.monotonic() - started, thread_seconds(pid) - used, load.num_calls - calls
    after = timings(url)
    print(
        f"\n{len(load.threads)} in flight: {calls / took:.0f} requests/s, {1e3 * used / calls:.2f} ms of processor "
        f"time each, {used / took:.0%} of the server's core"
    )
    for stage, family in COUNTED.items():
        spent = after[family] - before[family]
        print(f"  {1e3 * spent / calls:6.2f} ms  {spent / used:6.1%}  {stage}: {family}")
    print("processor time by library (perf):")
    for share, library in perf(pid, seconds / 2, folder)[:8]:
        print(f"  {share:6.1%}  {library}")
    if not PY_SPY.exists():
        print("no samples: py-spy is not installed (pip install py-spy)")
        return
    for how, rate in ((("--nonblocking", "--idle"), 200), (("--native",), 50)):
        calls, started = load.num_calls, time.monotonic()
        folded = py_spy(pid, seconds, *how, rate=rate, folder=folder)
        speed = (load.num_calls - calls) / (time.monotonic() - started)
        print(f"samples by stage (py-spy record {' '.join(how)}), at {speed:.0f} requests/s meanwhile:")
        for stage, share in shares(folded).items():
            print(f"  {share:6.1%}  {stage}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=int, default=500, help="continuous features of a record")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 4], help="calls at once")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "home")
        requests = make_requests(arguments.features)
        addresses = folder / "addresses.json"
        command = [sys.executable, "-m", "navi_core", "serve", "--model-dir", str(folder / "home")]
        command += ["--port", "0", "--rest-port", "0", "--intra-op-parallelism", "1"]
        log = (folder / "log.txt").open("w")
        server = subprocess.Popen(
            ["taskset", "-c", str(cores[0]), *command, "--address-file", str(addresses)],
            stderr=log,
            stdout=log,
        )
        os.sched_setaffinity(0, cores[1:] or cores)
        try:
            while not addresses.exists():
                if server.poll() is not None:
                    sys.exit((folder / "log.txt").read_text())
                time.sleep(0.1)
            urls = json.loads(addresses.read_text())["addresses"]
            address = "{host}:{port}".format(**urls["grpc"][0])
            print(f"{len(requests[0]) / 1024:.0f} KiB a request, {arguments.features} continuous features")
            for in_flight in arguments.in_flight:
                load = Load(address, requests, in_flight)
                load.start()
                time.sleep(3)
                measure(server.pid, load, urls["http"][0]["url"], arguments.seconds, folder)
                load.stop()
        finally:
            server.terminate()
            server.wait(30)
            log.close()


if __name__ == "__main__":
    main()
