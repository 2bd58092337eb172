"""How long kernels take until they can be called: compiled, loaded, and in several processes at once."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

SCRIPT = """
import json, sys, time
def now(): return time.perf_counter(), time.process_time()
begun = now()
import numba
imported = now()
from navi_dr_transform import _kernels, _report, _rows
from navi_dr_transform.thrift_service import _scan
loaded = now()
from navi_dr_transform.kernel_cache import loaded_kernels
print(json.dumps({
    "import": [b - a for a, b in zip(begun, imported)],
    "kernels": [b - a for a, b in zip(imported, loaded)],
    "compiled": sum(not each.was_cached for each in loaded_kernels),
}))
"""


def start(cache: str, number: int = 1) -> list[dict]:
    """Return what processes say that start together with a cache of their own."""
    kept = {key: value for key, value in os.environ.items() if key != "NUMBA_DISABLE_JIT"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env={**kept, "NAVI_CACHE_DIR": cache},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("a process could not load the kernels")
    return [json.loads(text) for text in said]


def measure_startup(rounds: int = 5) -> dict[str, list[dict]]:
    """Return what the processes said: cold ones, warm ones, and four cold ones together."""
    with tempfile.TemporaryDirectory() as cache:
        cold = start(cache)
        warm = [each for _ in range(rounds) for each in start(cache)]
    with tempfile.TemporaryDirectory() as cache:
        together = start(cache, 4)
    return {"cold": cold, "warm": warm, "together": together}


def startup_table(said: Mapping[str, Sequence[Mapping]]) -> str:
    """Return it as a table."""
    lines = ["| | import Numba, s | kernels, s | of the processor, s | compiled |", "|---|---|---|---|---|"]
    words = {
        "cold": "nothing is compiled",
        "warm": "loaded from the cache",
        "together": "four at once, nothing compiled",
    }
    for key, each in said.items():
        figures = [
            statistics.median(one[part][clock] for one in each)
            for part, clock in (("import", 0), ("kernels", 0), ("kernels", 1))
        ]
        shown = " | ".join(f"{figure:.2f}" for figure in figures)
        lines.append(f"| {words[key]} | {shown} | {sum(one['compiled'] for one in each)} |")
    return "\n".join(lines)
