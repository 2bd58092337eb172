"""BatchPredictionRequests to dense rows: navi beside Apache Thrift (C++, Python), thriftpy2 and memcpy, in one run.

Every case is verified first: all give the same bits. Then bursts take turns, ``--rounds`` times.

    python benchmarks/dr_transform [--quick] [--case 64x500]... [--clock wall|processor] [--list]
    python benchmarks/dr_transform --verify 10000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from cases import ALL, QUICK, find
from contenders import CPP, CPP_VIRTUAL, MEMCPY, NAVI, PYTHON, THRIFTPY, World
from measuring import CLOCKS, measure
from verifying import verify_many

ORDER = (NAVI, CPP, CPP_VIRTUAL, PYTHON, THRIFTPY, MEMCPY)


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
    parser.add_argument("--json", type=Path, help="where all figures go")
    arguments = parser.parse_args()
    cases = [case for pattern in arguments.case or [] for case in find(pattern)]
    if arguments.verify:
        begun = time.perf_counter()
        rows = verify_many(World(cpp=False), arguments.verify, arguments.seed)
        passed = time.perf_counter() - begun
        print(f"{arguments.verify} requests, {rows} records: equal tensors ({passed:.0f} s)")
        return
    if arguments.case and not cases:
        sys.exit(f"no case begins with {' or '.join(arguments.case)}: see --list")
    cases = cases or (QUICK if arguments.quick else ALL)
    if arguments.list:
        print("\n".join(case.name for case in ALL))
        return
    world = World(python=not arguments.only_fast)
    for name, reason in world.left_out.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    print(
        f"{'case':32}" + "".join(f"{name[:20]:>21}" for name in ORDER) + "   x C++  x memcpy   (us a record)"
    )
    results = []
    for case in cases:
        result = measure(
            case,
            world,
            rounds=arguments.rounds or (7 if arguments.quick else 25),
            burst_ms=arguments.burst_ms or (8 if arguments.quick else 20),
            clock=CLOCKS[arguments.clock],
            seed=arguments.seed,
        )
        results.append(result)
        taken = result["ns_per_record"]
        shown = "".join(
            f"{taken[name]['median'] / 1e3:>12.2f} ({taken[name]['least'] / 1e3:6.2f})"
            if name in taken
            else f"{'-':>21}"
            for name in ORDER
        )
        cpp = "-" if result["times_cpp"] is None else f"{result['times_cpp']:.1f}"
        print(f"{case.name:32}{shown} {cpp:>7} {result['times_memcpy']:>9.2f}", flush=True)
    if arguments.json:
        about = {"versions": world.versions, "left_out": world.left_out, "clock": arguments.clock}
        about["measured"] = time.strftime("%Y-%m-%d")
        arguments.json.write_text(json.dumps({**about, "results": results}, indent=1))


if __name__ == "__main__":
    main()
