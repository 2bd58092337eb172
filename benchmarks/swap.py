"""What callers notice while a new version loads and takes over: p99 during swaps beside p99 between them.

``navi-host serve`` runs a perceptron of 17 MB in each format, on every core but one; the load comes from the last one:
gRPC Predict at a constant rate, each latency counted from when the request was due, so that waiting in line is seen.
Every few seconds a new version appears. A swap lasts from when the host sees it until the old one is unloaded, by its
log, and a quarter of a second more, in which the new one is cold. Every answer is compared with the first one; no
request may fail, and no connection may be told of an older version than it knew when it asked.

    python benchmarks/swap.py [--only FORMAT]... [--swaps 10] [--rate 200] [--json FILE]
    python benchmarks/swap.py --serve-flag=--workers=2 --serve-flag=--rest-port=0
    python benchmarks/swap.py --serve-flag=--transport=envoy --plugin envoy
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc.aio
import numpy as np
import runtimes

from navi_core import PredictRequest, PredictResponse

WIDTHS = (16, 2048, 2048, 4)
FORMATS = {  # name -> (plugin, what writes it, the name of its input)
    "onnx": ("onnx", runtimes.store_onnx, "x"),
    "tensorflow": ("tensorflow", runtimes.store_tensorflow, "x"),
    "torchscript": ("torch", runtimes.store_torchscript, "input"),
    "export": ("torch", runtimes.store_export, "input"),
    "aotinductor": ("torch", runtimes.store_aotinductor, "input_0"),  # g++ compiles it first: a minute
    "tract": ("tract", runtimes.store_onnx, "x"),
}
PREDICT = "/tensorflow.serving.PredictionService/Predict"
CONNECTIONS = 4
AIM = 1.5
LIMIT_S = 90
COLD_S = 0.25


class Answers:
    """Requests at a constant rate, and what came of them: when each was due, and how long it took from then on."""

    def __init__(self, port: int, rate: float, input_name: str) -> None:
        self.due_s: list[float] = []
        self.taken_ms: list[float] = []
        self.wrong: list[str] = []
        self._rate = rate
        self._channels = [
            # connections of their own: channels of one address share one otherwise
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(CONNECTIONS)
        ]
        self._newest = [0] * CONNECTIONS
        self._expected: np.ndarray | None = None
        request = PredictRequest()
        request.model_spec.name = "m"
        tensor = request.inputs[input_name]
        tensor.dtype = 1
        for size in (1, WIDTHS[0]):
            tensor.tensor_shape.dim.add().size = size
        tensor.float_val.extend([0.5] * WIDTHS[0])
        self._request = request.SerializeToString()

    async def run(self, until: asyncio.Event) -> None:
        """Ask until told to stop, and wait for the last answers."""
        calls = [channel.unary_unary(PREDICT) for channel in self._channels]
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                if until.is_set():
                    break
                if number == 0:
                    begun, clock = time.time(), time.perf_counter()
                due = clock + number / self._rate
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                which = number % CONNECTIONS
                tasks.create_task(self._ask(calls[which], which, due, begun + due - clock))
        for channel in self._channels:
            await channel.close()

    async def _ask(self, call, which: int, due: float, due_s: float) -> None:
        seen = self._newest[which]
        try:
            response = PredictResponse.FromString(await call(self._request, timeout=10))
        except grpc.aio.AioRpcError as error:
            self.wrong.append(f"{error.code().name}: {error.details()}")
            return
        self.due_s.append(due_s)
        self.taken_ms.append((time.perf_counter() - due) * 1000)
        version = response.model_spec.version.value
        if version < seen:  # newer than what this connection had been told before it asked
            self.wrong.append(f"version {version} after {seen}")
        self._newest[which] = max(self._newest[which], version)
        [tensor] = response.outputs.values()
        y = (
            np.frombuffer(tensor.tensor_content, np.float32)
            if tensor.tensor_content
            else np.array(tensor.float_val)
        )
        if self._expected is None:
            self._expected = y
        if not np.allclose(y, self._expected, rtol=1e-4, atol=1e-5):
            self.wrong.append(f"{y} instead of {self._expected}")


def prepare(stored: Path, versions: Path, number: int) -> None:
    """Write versions that are ready to appear, old enough to be taken for complete."""
    for version in range(1, number + 1):
        shutil.copytree(stored, versions / str(version))
    for path in versions.rglob("*"):
        os.utime(path, (time.time() - 3600,) * 2)


def events(log: Path) -> list[dict]:
    """Return the host's log; other lines, such as a framework's own, are left out."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def swaps_of(log: Path) -> list[tuple[float, float, float]]:
    """Return when each swap began and ended, and how long the version took to load.

    With several workers it lasts from the first one's log to the last one's.
    """
    began: dict[int, float] = {}
    ended: dict[int, float] = {}
    loading: dict[int, float] = {}
    for event in events(log):
        at = dt.datetime.fromisoformat(event["timestamp"]).timestamp() if "timestamp" in event else 0.0
        if event.get("event") == "versions_aspired":
            began.setdefault(event["versions"][-1], at)
        elif event.get("event") == "servable_loaded":
            loading[event["version"]] = event["seconds"]
        elif event.get("event") == "servable_unloaded":
            ended[event["version"] + 1] = at
    return [(began[each], ended[each], loading[each]) for each in sorted(began) if each in ended and each > 1]


async def wait_for(log: Path, process: subprocess.Popen, event: str, number: int) -> None:
    """Wait until the host has logged an event so often."""
    end = time.monotonic() + LIMIT_S
    while (text := log.read_text(errors="replace")).count(f'"event":"{event}"') < number:  # noqa: ASYNC240 - short
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the host did not do what it was to:\n{text[-3000:]}")
        await asyncio.sleep(0.05)


async def measure(name: str, model: Path, versions: Path, log: Path, port: int, process, arguments) -> dict:
    """Ask a host that starts, and let versions appear."""
    await wait_for(log, process, "ready", 1)
    answers, stop = Answers(port, arguments.rate, FORMATS[name][2]), asyncio.Event()
    asking = asyncio.create_task(answers.run(stop))
    await asyncio.sleep(3)
    settled = time.time() - 1
    for version in range(2, arguments.swaps + 2):
        (versions / str(version)).rename(model / str(version))
        await wait_for(log, process, "servable_unloaded", version - 1)
        await asyncio.sleep(arguments.pause)
    stop.set()
    await asking
    return summary(answers, swaps_of(log), settled)


def serve_and_measure(name: str, folder: Path, arguments: argparse.Namespace) -> dict:
    """Serve one format on every core but one, and ask from that one."""
    *cores, own = sorted(os.sched_getaffinity(0))
    stored, versions, model, log = (folder / each for each in ("stored", "versions", "m", "log"))
    for each in (stored, versions, model):
        each.mkdir()
    # in a process of its own: no framework is to be in this one
    store = [sys.executable, __file__, "--store", name, str(stored)]
    subprocess.run(store, check=True, capture_output=True)
    prepare(stored, versions, arguments.swaps + 1)
    (versions / "1").rename(model / "1")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    serve = [sys.executable, "-m", "navi_core", "serve", f"--model-dir={model}", f"--port={port}"]
    pinned = [
        "taskset",
        "-c",
        ",".join(map(str, cores)),
        *serve,
        "--log-format=json",
        *(arguments.serve_flag or ["--rest-port=0"]),
    ]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    plugins = ",".join([FORMATS[name][0], *arguments.plugin])
    with log.open("w") as stream:
        process = subprocess.Popen(
            pinned, stdout=stream, stderr=stream, env={**os.environ, **quiet, "NAVI_PLUGINS": plugins}
        )
    try:
        os.sched_setaffinity(0, [own])
        return asyncio.run(measure(name, model, versions, log, port, process, arguments))
    finally:
        os.sched_setaffinity(0, [*cores, own])
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def summary(answers: Answers, swaps: list[tuple[float, float, float]], settled: float) -> dict:
    """Compare the windows of the swaps with windows as long in between.

    Each window has its own p99, and the medians of those are compared: a machine that others use stands still for a
    moment now and then, and that would decide about the p99 of all requests together.
    """
    due, taken = np.array(answers.due_s), np.array(answers.taken_ms)
    if len(due) == 0:
        raise SystemExit(f"no answer; {len(answers.wrong)} went wrong: {answers.wrong[:1]}")
    windows = [(begin, end + COLD_S) for begin, end, _ in swaps]
    length = statistics.median(end - begin for begin, end in windows)
    edges = [settled, *(edge for window in windows for edge in window), due.max()]
    gaps = [
        (begin + number * length, begin + (number + 1) * length)
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
        for number in range(int((end - begin) / length))
    ]
    found = {
        part: _windows([taken[(begin <= due) & (due < end)] for begin, end in chosen])
        for part, chosen in (("between", gaps), ("during", windows))
    }
    return {
        **found,
        "ratio": found["during"]["p99_ms"] / found["between"]["p99_ms"],
        "load_s": statistics.median(seconds for *_, seconds in swaps),
        "swap_s": statistics.median(end - begin for begin, end, _ in swaps),
        "wrong": answers.wrong,
    }


def _windows(windows: list[np.ndarray]) -> dict[str, float]:
    """Return the medians over some windows of what each has."""
    full = [taken for taken in windows if len(taken)]
    return {
        "windows": len(full),
        "requests": sum(map(len, full)),
        "p50_ms": statistics.median(float(np.percentile(taken, 50)) for taken in full),
        "p99_ms": statistics.median(float(np.percentile(taken, 99)) for taken in full),
        "max_ms": max(float(taken.max()) for taken in full),
    }


def table(results: dict[str, dict]) -> str:
    head = ["format", "load, s", "swap, s", "requests during", "between: p50, p99, max, ms"]
    head += ["during: p50, p99, max, ms", "p99 during / between", f"aim {AIM}", "failed or wrong"]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for name, found in results.items():
        cells = [name, f"{found['load_s']:.2f}", f"{found['swap_s']:.2f}", str(found["during"]["requests"])]
        cells += [
            ", ".join(f"{found[part][key]:.1f}" for key in ("p50_ms", "p99_ms", "max_ms"))
            for part in ("between", "during")
        ]
        verdict = "met" if found["ratio"] <= AIM else "missed"
        lines.append(
            "| " + " | ".join([*cells, f"{found['ratio']:.2f}", verdict, str(len(found["wrong"]))]) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(FORMATS))
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between swaps")
    parser.add_argument(
        "--serve-flag", action="append", help="flags of navi-host serve instead of --rest-port=0"
    )
    parser.add_argument("--plugin", action="append", default=[], help="another plugin that these flags need")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--store", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.store:
        name, folder = arguments.store
        FORMATS[name][1](runtimes.weights_of(WIDTHS), Path(folder))
        return
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("the host and the load need a core each")
    results = {}
    for name in arguments.only or FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = serve_and_measure(name, Path(folder), arguments)
        print(f"{name}: p99 {results[name]['ratio']:.2f} times", *results[name]["wrong"][:3], file=sys.stderr)
    print(table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
