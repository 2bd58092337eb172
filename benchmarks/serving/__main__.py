"""navi beside bare echoes, a server written by hand, Triton, MLServer, KServe and LitServe, with h2load, in one run.

Every server has one core, the load generator (Debian's nghttp2-client) another. Servers take turns, ``--rounds``
times: each is started, its answers are compared with onnxruntime's own, it is loaded, looked at and stopped. The
medians count. Peers live in environments of their own, which ``--install`` makes.

    python benchmarks/serving [--quick] [--install] [--server NAME]... [--triton-dir DIR]
    python benchmarks/serving --json FILE; python benchmarks/serving --write-docs FILE [FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cases import CASES, question, write_models
from environments import PEERS, MissingError, install, versions
from measuring import Turns, World, cores, sampled, turn
from processes import StartError
from report import read_run, terminal, write_docs
from rounds import take_turns
from servers import SERVERS
from stages import table

STAGED = ("predict", "v1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round: under 5 minutes")
    parser.add_argument("--rounds", type=int, help="turns of every server (5; quick: 1)")
    parser.add_argument("--seconds", type=float, help="of each load (2; quick: 0.8)")
    parser.add_argument("--server", action="append", help="only servers whose name begins so")
    parser.add_argument("--case", action="append", help="only cases whose name begins so")
    parser.add_argument("--install", action="store_true", help="install the peers first: gigabytes, minutes")
    parser.add_argument("--triton-dir", type=Path, help="a Triton with bin/ and backends/onnxruntime/")
    parser.add_argument(
        "--stages", action="store_true", help="only split navi's time of a request by stage: py-spy"
    )
    parser.add_argument(
        "--lock", type=Path, help="a file to lock for minutes at a time, where others measure, too"
    )
    parser.add_argument("--json", type=Path, help="where all figures go")
    parser.add_argument(
        "--write-docs", type=Path, nargs="+", help="one or two runs' JSON: put them into docs/"
    )
    arguments = parser.parse_args()
    if arguments.write_docs:
        print("written:", *write_docs(*map(read_run, arguments.write_docs[:2])))
        return
    for tool in ("h2load", "taskset"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed (Debian: nghttp2-client, util-linux)")
    if arguments.stages:
        print(split_by_stage(arguments))
        return
    left_out = install_all() if arguments.install else {}
    run = measure_all(arguments, left_out)
    print(terminal(run))
    if arguments.json:
        arguments.json.write_text(json.dumps(run, indent=1) + "\n")


def split_by_stage(arguments):
    """Return where the time of a small request goes, 16 in flight."""
    if shutil.which("py-spy") is None:
        sys.exit("py-spy is not installed (PyPI: py-spy)")
    rows = {row: server for server in SERVERS[:2] for row, form in server.endpoints.items() if form in STAGED}
    found = {}
    with tempfile.TemporaryDirectory() as name:
        world = make_world(Path(name), CASES, arguments.seconds or 5.0, arguments)
        for row, server in rows.items():
            try:
                found[row] = sampled(server, row, world, CASES[1])
            except (MissingError, StartError, ValueError) as error:
                print(f"{row} is left out: {error}", file=sys.stderr)
    return table(found)


def install_all() -> dict[str, str]:
    """Install every peer; return what could not be, with the reason."""
    failed = {}
    for peer in PEERS:
        print(f"installing {peer}", file=sys.stderr, flush=True)
        try:
            install(peer)
        except MissingError as error:
            failed[peer] = str(error)
            print(error, file=sys.stderr)
    return failed


def measure_all(arguments, not_installed):
    """Give every server its turns, and return everything that was found."""
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    seconds = arguments.seconds or (0.8 if arguments.quick else 2.0)
    cases = [case for case in CASES if _wanted(case.name, arguments.case)]
    servers = [server for server in SERVERS if _wanted(server.name, arguments.server)]
    if not cases or not servers:
        raise SystemExit("--case or --server: no name begins so")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_world(folder, cases, seconds, arguments)
        found = take_turns(servers, rounds, lambda server: turn(server, world), folder / "server.log")
        bare_s = [opening_s(folder / "models" / "mlp" / "1" / "model.onnx") for _ in range(max(rounds, 3))]
    return {
        "measured": time.strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "rounds": rounds,
        "seconds": seconds,
        "cases": [case.name for case in cases],
        "run_us": {model: asked.run_us for model, asked in world.questions.items()},
        "opening_s": bare_s,
        "rows": {server.name: list(server.endpoints) for server in servers},
        "forms": {row: form for server in servers for row, form in server.endpoints.items()},
        "turns": found.turns,
        "left_out": found.left_out,
        "not_installed": not_installed,
        "versions": {
            server.name: versions(server.python(), server.packages)
            for server in servers
            if server.packages and found.turns[server.name]
        },
    }


def make_world(folder, cases, seconds, arguments):
    """Write the models, and ask onnxruntime."""
    write_models(folder / "models")
    questions = {case.model: question(folder / "models", case.model) for case in CASES}
    return World(folder, questions, cases, seconds, arguments.triton_dir, Turns(arguments.lock))


def _wanted(name, patterns):
    return not patterns or any(name.startswith(pattern) for pattern in patterns)


def opening_s(model):
    """Return what it takes to import onnxruntime and open a model, on the servers' core."""
    program = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"
    begun = time.perf_counter()
    command = ["taskset", "-c", str(cores()[0]), sys.executable, "-c", program, str(model)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def machine():
    """Return what the figures belong to."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    tool = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=True).stdout.split()
    return (
        f"{os.cpu_count()} cores of {model or platform.processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, h2load {tool[-1].partition('/')[2]}"
    )


if __name__ == "__main__":
    main()
