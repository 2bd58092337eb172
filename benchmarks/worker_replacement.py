"""How soon a killed worker is replaced: from SIGKILL to when its replacement has loaded the model and listens.

``navi-host serve --workers 2`` serves a perceptron of 17 MB. The workers are killed in turn, after the process that
waits to replace one has had time to import everything, and a worker to serve for 10 s: one that ends sooner again is
taken for a crash loop, and waited for. The parent's log says when the replacement is open. Nothing asks meanwhile, but
for one connection before every kill: the host must answer.

    python benchmarks/worker_replacement.py [--only FORMAT]... [--kills 8] [--pause 6]
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import swap

_LIMIT_S = 60


def opened(log: Path) -> list[tuple[float, int, int]]:
    """Return when each worker was open, its number and its process."""
    return [
        (dt.datetime.fromisoformat(each["timestamp"]).timestamp(), each["worker"], each["pid"])
        for each in swap.events(log)
        if each.get("event") == "worker_open"
    ]


def ask(port: int) -> None:
    """See that the host answers a new connection."""
    with grpc.insecure_channel(
        f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        grpc.channel_ready_future(channel).result(_LIMIT_S)


def replace(log: Path, port: int, arguments: argparse.Namespace) -> list[float]:
    """Kill the workers in turn; return how long each replacement took, in seconds."""
    taken = []
    for number in range(arguments.kills):
        ask(port)
        time.sleep(arguments.pause)
        before = opened(log)
        worker = 1 + number % 2
        [*_, pid] = [pid for _, each, pid in before if each == worker]
        killed_at = time.time()
        os.kill(pid, signal.SIGKILL)
        while not (after := [at for at, each, _ in opened(log)[len(before) :] if each == worker]):
            if time.time() - killed_at > _LIMIT_S:
                raise SystemExit(f"no replacement:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        taken.append(after[0] - killed_at)
    return taken


def serve_and_replace(name: str, folder: Path, arguments: argparse.Namespace) -> list[float]:
    """Serve one format with two workers."""
    model, log = folder / "m", folder / "log"
    (model / "1").mkdir(parents=True)
    # in a process of its own: no framework is to be in this one
    store = [sys.executable, swap.__file__, "--store", name, str(model / "1")]
    subprocess.run(store, check=True, capture_output=True)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    serve = [sys.executable, "-m", "navi_core", "serve", f"--model-dir={model}", f"--port={port}"]
    serve += ["--rest-port=0", "--log-format=json", "--workers=2", *arguments.serve_flag]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environ["NAVI_PLUGINS"] = swap.FORMATS[name][0]
    with log.open("w") as stream:
        process = subprocess.Popen(serve, stdout=stream, stderr=stream, env=environ)
    try:
        asyncio.run(swap.wait_for(log, process, "worker_open", 2))
        return replace(log, port, arguments)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(swap.FORMATS))
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--pause", type=float, default=6.0, help="seconds between a replacement and a kill")
    parser.add_argument("--serve-flag", action="append", default=[], help="another flag of navi-host serve")
    arguments = parser.parse_args()
    print("| format | replaced after, s: median | every one |\n| --- | --- | --- |")
    for name in arguments.only or ["onnx"]:
        with tempfile.TemporaryDirectory() as folder:
            taken = serve_and_replace(name, Path(folder), arguments)
        every = ", ".join(f"{each:.2f}" for each in taken)
        print(f"| {name} | {statistics.median(taken):.2f} | {every} |", flush=True)


if __name__ == "__main__":
    main()
