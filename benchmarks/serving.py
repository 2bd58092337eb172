"""Predict over gRPC and REST beside bare echo servers, with h2load, in one run.

Each server runs alone, pinned to core 0; h2load (Debian's nghttp2-client) is pinned to core 1, so that the
client costs the server nothing. Every case is run in turn, ``--rounds`` times, and the median counts. The
model is a 16-32-4 perceptron in ONNX; a request is one row. The echo server sends the same bytes back without
looking at them: it is what the transport alone can do.

    python benchmarks/serving.py [--seconds 3] [--rounds 3] [--json FILE] [--plot FILE.svg]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from navi_core import PredictRequest

CONCURRENCY = (1, 16, 64)
PREDICT = "/tensorflow.serving.PredictionService/Predict"


def write_model(folder: Path) -> None:
    """Write the perceptron as version 1."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.standard_normal((16, 32), dtype=np.float32),
        "b1": np.zeros(32, np.float32),
        "w2": random.standard_normal((32, 4), dtype=np.float32),
        "b2": np.zeros(4, np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    for path in (folder / "model.onnx", folder):
        os.utime(path, (time.time() - 3600,) * 2)


def bodies(folder: Path) -> dict[str, Path]:
    """Write the request bodies: a gRPC frame and a JSON document."""
    request = PredictRequest()
    request.model_spec.name = "mlp"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    for size in (1, 16):
        tensor.tensor_shape.dim.add().size = size
    tensor.float_val.extend([0.5] * 16)
    message = request.SerializeToString()
    grpc, rest = folder / "body.grpc", folder / "body.json"
    grpc.write_bytes(struct.pack(">BI", 0, len(message)) + message)
    rest.write_text(json.dumps({"instances": [[0.5] * 16]}))
    return {"grpc": grpc, "http": rest}


@contextlib.contextmanager
def pinned(core: int, *command: str, **more) -> Iterator[subprocess.Popen]:
    """Run a program on one core; it is gone at the end."""
    process = subprocess.Popen(["taskset", "-c", str(core), *command], **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def echo(kind: str) -> Iterator[int]:
    script = str(Path(__file__).with_name("echo_servers.py"))
    with pinned(0, sys.executable, script, kind, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline())


@contextlib.contextmanager
def navi(model_dir: Path, folder: Path) -> Iterator[dict[str, int]]:
    addresses = folder / "addresses.json"
    log = folder / "host.log"
    command = ("-m", "navi_core", "serve", "--model-dir", str(model_dir), "--port", "0", "--rest-port", "0")
    with (
        log.open("w") as output,
        pinned(0, sys.executable, *command, "--address-file", str(addresses), stdout=output, stderr=output),
    ):
        while '"ready"' not in log.read_text():
            time.sleep(0.05)
        found = json.loads(addresses.read_text())["addresses"]
        yield {name: listeners[0]["port"] for name, listeners in found.items()}


def h2load(kind: str, port: int, body: Path, concurrency: int, seconds: int) -> dict[str, float]:
    """Return requests a second and the mean latency; fails when an answer was not a success."""
    path = PREDICT if kind == "grpc" else "/v1/models/mlp:predict"
    how = (
        ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        if kind == "grpc"
        else ["--h1", "-H", "content-type: application/json"]
    )
    command = [
        "taskset",
        "-c",
        "1",
        "h2load",
        "-c",
        str(concurrency),
        "-m",
        "1",
        "-t",
        "1",
        "-D",
        str(seconds),
    ]
    command += ["--warm-up-time", "1", "-d", str(body), *how, f"http://127.0.0.1:{port}{path}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"finished in [^,]+, ([\d.]+) req/s", text)[1])
    failed = int(re.search(r"(\d+) failed", text)[1])
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if failed or any(int(codes[index]) for index in (2, 3, 4)):
        sys.exit(f"not every request succeeded:\n{text}")
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", text)
    return {"requests_per_s": rate, "mean_us": float(mean[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[mean[2]]}


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(each[key] for each in rounds), 1) for key in rounds[0]}


def measure(seconds: int, num_rounds: int) -> list[dict[str, object]]:
    rows: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "mlp" / "1")
        body = bodies(folder)
        for _ in range(num_rounds):
            for kind in ("grpc", "http"):
                with echo(kind) as port:
                    for number in CONCURRENCY:
                        rows.setdefault((kind, number, "echo"), []).append(
                            h2load(kind, port, body[kind], number, seconds)
                        )
            (folder / "addresses.json").unlink(missing_ok=True)
            with navi(folder / "mlp", folder) as ports:
                for kind in ("grpc", "http"):
                    for number in CONCURRENCY:
                        rows.setdefault((kind, number, "navi"), []).append(
                            h2load(kind, ports[kind], body[kind], number, seconds)
                        )
    table = []
    for kind in ("grpc", "http"):
        for number in CONCURRENCY:
            bare, ours = median(rows[kind, number, "echo"]), median(rows[kind, number, "navi"])
            table.append(
                {
                    "protocol": kind,
                    "in_flight": number,
                    "echo": bare,
                    "navi": ours,
                    "ratio": round(ours["requests_per_s"] / bare["requests_per_s"], 3),
                }
            )
    return table


def markdown(table: list[dict[str, object]]) -> str:
    lines = [
        "| protocol | in flight | bare echo, req/s | navi, req/s | navi / echo | navi, mean latency |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['protocol']} | {row['in_flight']} | {row['echo']['requests_per_s']:,.0f} "
        f"| {row['navi']['requests_per_s']:,.0f} | {row['ratio']:.2f} | {row['navi']['mean_us'] / 1000:.2f} ms |"
        for row in table
    ]
    return "\n".join(lines)


def plot(table: list[dict[str, object]]) -> str:
    """Draw the table as bars."""
    width, height, left, top = 640, 300, 60, 40
    most = max(row["echo"]["requests_per_s"] for row in table)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">Predict, 16-32-4 perceptron, one row: requests a second on one core</text>',
    ]
    for index, row in enumerate(table):
        x = left + index * 95
        for offset, (who, color) in enumerate((("echo", "#b8c4ce"), ("navi", "#1f77b4"))):
            value = row[who]["requests_per_s"]
            size = value / most * (height - top - 60)
            y = height - 50 - size
            parts.append(
                f'<rect x="{x + offset * 38}" y="{y:.0f}" width="34" height="{size:.0f}" fill="{color}"/>'
            )
            parts.append(
                f'<text x="{x + offset * 38 + 17}" y="{y - 4:.0f}" text-anchor="middle" font-size="10">{value / 1000:.1f}k</text>'
            )
        parts.append(
            f'<text x="{x + 36}" y="{height - 32}" text-anchor="middle">{row["protocol"]} {row["in_flight"]}</text>'
        )
    parts.append(
        f'<text x="{left}" y="{height - 10}" font-size="11">grey: a bare server that sends the bytes back; blue: navi; below: protocol, requests in flight</text></svg>'
    )
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    for tool in ("h2load", "taskset"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed (Debian: nghttp2-client, util-linux)")
    table = measure(arguments.seconds, arguments.rounds)
    print(markdown(table))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")
    if arguments.plot is not None:
        arguments.plot.write_text(plot(table) + "\n")


if __name__ == "__main__":
    main()
