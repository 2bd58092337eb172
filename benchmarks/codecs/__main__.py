"""Codecs: what reading a request and writing an answer costs, beside copying the same bytes and beside a bare library.

``copy`` is how long it takes to copy the body's bytes once, ``bare`` what parsing (or serializing a message that is
ready) costs by itself: protobuf's upb, or orjson. Large tensors are 64 x 5293. Everything takes turns in bursts;
times are the medians of the rounds, in microseconds of processor time (``--clock wall``: of time).

    python benchmarks/codecs [--only TEXT]... [--rounds 9] [--burst-ms 10] [--clock wall] [--json FILE]
    python benchmarks/codecs --against DIR     # beside another checkout, burst by burst
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

CLOCKS = {"wall": time.perf_counter_ns, "processor": time.thread_time_ns}


def cases() -> Iterator:
    from codec_cases import grpc_cases
    from json_cases import json_cases

    with suppress(ImportError):  # an older checkout may have other contracts: it is measured without them
        from handler_cases import handler_cases

        yield from handler_cases()
    yield from grpc_cases()
    yield from json_cases()


def burst(call: Callable[[], object], burst_ms: float, clock: Callable[[], int]) -> float:
    """Return nanoseconds of a call, of as many calls as fill a burst."""
    begun = clock()
    call()
    taken = clock() - begun
    count = max(1, round(burst_ms * 1e6 / max(taken, 300)))
    steps = range(count)
    begun = clock()
    for _ in steps:
        call()
    return (clock() - begun) / count


def copying(body: bytes) -> Callable[[], object]:
    source, target = np.frombuffer(body, np.uint8), np.empty(len(body), np.uint8)
    return lambda: np.copyto(target, source)


def serve() -> None:
    """Answer lines on standard input: which case to run for how long, in the checkout that is imported."""
    known = {case.name: case for case in cases()}
    gc.collect()
    gc.freeze()
    print(json.dumps({name: len(case.body) for name, case in known.items()}), flush=True)
    for line in sys.stdin:
        name, what, burst_ms, clock = json.loads(line)
        case = known[name]
        call = {"navi": case.navi, "bare": case.bare, "copy": copying(case.body)}[what]
        print(json.dumps(None if call is None else burst(call, burst_ms, CLOCKS[clock])), flush=True)


class Worker:
    """The cases in a process of their own, with the navi_core of one checkout."""

    def __init__(self, checkout: Path, clock: str) -> None:
        self._clock = clock
        paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[str] = self._process.stdin
        self._output: IO[str] = self._process.stdout
        self.sizes: dict[str, int] = self._read()

    def _read(self):
        line = self._output.readline()
        if not line:
            sys.exit("a worker ended")
        return json.loads(line)

    def burst(self, name: str, what: str, burst_ms: float) -> float | None:
        self._input.write(json.dumps([name, what, burst_ms, self._clock]) + "\n")
        self._input.flush()
        return self._read()

    def close(self) -> None:
        self._input.close()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], help="cases with this in their names")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--burst-ms", type=float, default=10)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="processor", help="what is measured (processor time)"
    )
    parser.add_argument("--against", type=Path, help="another checkout, to measure beside this one")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    workers = {"navi": Worker(ROOT, arguments.clock)}
    if arguments.against:
        workers["before"] = Worker(arguments.against.resolve(), arguments.clock)
    import google.protobuf

    print(
        f"protobuf {google.protobuf.__version__}, NumPy {np.__version__}, Python {sys.version.split()[0]}\n"
    )
    columns = ["copy", "bare", *reversed(workers)]
    print(
        f"| microseconds | KB | {' | '.join(columns)} | navi / copy |{' before / navi |' * (len(workers) - 1)}"
    )
    print("|---|---|" + "---|" * (len(columns) + len(workers)))
    results = {}
    for name, size in workers["navi"].sizes.items():
        if arguments.only and not any(text in name for text in arguments.only):
            continue
        found = measure(workers, name, arguments.rounds, arguments.burst_ms)
        results[name] = {"bytes": size, **found}
        shown = [f"{found[each] / 1000:,.3g}" if found.get(each) else "" for each in columns]
        if size > 10_000:
            shown.append(f"{found['navi'] / found['copy']:,.1f}")
        else:
            shown.append("")
        if "before" in found:
            shown.append(f"{found['before'] / found['navi']:.2f}")
        print(f"| {name} | {size / 1000:,.4g} | {' | '.join(shown)} |", flush=True)
    for worker in workers.values():
        worker.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(workers: dict[str, Worker], name: str, rounds: int, burst_ms: float) -> dict[str, float | None]:
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for label, worker in workers.items():
            if name in worker.sizes:
                taken.setdefault(label, []).append(worker.burst(name, "navi", burst_ms))
        for what in ("bare", "copy"):
            if (found := workers["navi"].burst(name, what, burst_ms)) is not None:
                taken.setdefault(what, []).append(found)
    medians = {label: statistics.median(each) for label, each in taken.items()}
    return {"bare": None, **medians}


if __name__ == "__main__":
    main()
