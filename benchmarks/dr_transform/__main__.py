"""BatchPredictionRequests to dense rows: navi beside Apache Thrift (C++, Python), thriftpy2 and memcpy, in one run.

Every case is verified first: all give the same bits. Then bursts take turns, ``--rounds`` times.

    python benchmarks/dr_transform [--quick] [--case 64x500]... [--clock wall|processor] [--list]
    python benchmarks/dr_transform --json FILE; python benchmarks/dr_transform --docs --earlier FILE
    python benchmarks/dr_transform --verify 10000
    python benchmarks/dr_transform --startup
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from cases import ALL, QUICK, find
from contenders import World
from measuring import CLOCKS, last_cache_bytes, measure
from report import TERMINAL_HEAD, summary, terminal_row, write_docs, write_section
from startup import measure_startup, startup_table
from verifying import verify_many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", help="a case, or how the names of some begin")
    parser.add_argument("--list", action="store_true", help="print the names of all cases")
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds: under a minute")
    parser.add_argument("--only-fast", action="store_true", help="leave the libraries of Python out")
    parser.add_argument("--rounds", type=int, help="how often everybody has a turn (25; quick: 7)")
    parser.add_argument("--burst-ms", type=float, help="how long a turn is (20; quick: 8)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--verify",
        type=int,
        metavar="N",
        help="only compare the tensors of N generated requests of every form",
    )
    parser.add_argument(
        "--startup", action="store_true", help="only measure how kernels are compiled and loaded"
    )
    parser.add_argument("--json", type=Path, help="where all figures go")
    parser.add_argument("--docs", action="store_true", help="put the table and the plot into docs/")
    parser.add_argument(
        "--earlier", type=Path, help="the JSON of another run, whose ratios the table shows too"
    )
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(case.name for case in ALL))
        return
    if arguments.startup:
        text = startup_table(measure_startup())
        print(text)
        if arguments.docs:
            write_section("started", text)
        return
    if arguments.verify:
        begun = time.perf_counter()
        rows = verify_many(World(cpp=False), arguments.verify, arguments.seed)
        passed = time.perf_counter() - begun
        print(f"{arguments.verify} requests, {rows} records: equal tensors ({passed:.0f} s)")
        return
    cases = [case for pattern in arguments.case or [] for case in find(pattern)]
    if arguments.case and not cases:
        sys.exit(f"no case begins with {' or '.join(arguments.case)}: see --list")
    run = measure_all(cases or (QUICK if arguments.quick else ALL), arguments)
    print(summary(run))
    if arguments.json:
        arguments.json.write_text(json.dumps(run, indent=1) + "\n")
    if arguments.docs:
        earlier = json.loads(arguments.earlier.read_text()) if arguments.earlier else None
        print("written:", *write_docs(run, earlier))


def measure_all(cases, arguments):
    """Print a line for each case as it is measured, and return everything."""
    world = World(python=not arguments.only_fast)
    for name, reason in world.left_out.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    print(TERMINAL_HEAD)
    rounds = arguments.rounds or (7 if arguments.quick else 25)
    burst_ms = arguments.burst_ms or (8 if arguments.quick else 20)
    results = []
    for case in cases:
        clock = CLOCKS[arguments.clock]
        results.append(
            measure(case, world, rounds=rounds, burst_ms=burst_ms, clock=clock, seed=arguments.seed)
        )
        print(terminal_row(results[-1]), flush=True)
    return {
        "measured": time.strftime("%Y-%m-%d"),
        "clock": arguments.clock,
        "rounds": rounds,
        "machine": machine(),
        "versions": world.versions,
        "left_out": world.left_out,
        "results": results,
    }


def machine():
    """Return what the figures belong to."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    numba, numpy = (version(name) for name in ("numba", "numpy"))
    return (
        f"{os.cpu_count()} cores of {model or platform.processor()}, {last_cache_bytes() >> 20} MiB of last cache, "
        f"Python {platform.python_version()}, Numba {numba}, NumPy {numpy}"
    )


if __name__ == "__main__":
    main()
