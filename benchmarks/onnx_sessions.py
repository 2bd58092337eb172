"""What navi-onnx's session options cost and give, and what its servable adds to a bare session.

Four tables: the servable beside the bare session (small models, one thread); threads and spinning (a larger
perceptron, runs 5 ms apart); memory after 150 runs of 1 to 300 rows (each setting in a process of its own);
maps and bfloat16, which the Python binding of ONNX Runtime makes dear. Runs on one machine only compare
with one another.

    python benchmarks/onnx_sessions.py [--only overhead|threads|memory|types]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from pathlib import Path

import ml_dtypes
import numpy as np
import onnxruntime as ort
from navi_onnx.options import OnnxOptions
from navi_onnx.runtime import OnnxRuntime
from navi_onnx.testing import identity_model, mlp_model, zipmap_model

from navi_core import Artifact, DType, LoadOptions
from navi_core.testing.run_context import SimpleRunContext

CONTEXT = SimpleRunContext()
MEMORY = {
    "arena, pattern (default)": {},
    "arena": {"memory_pattern": False},
    "pattern": {"cpu_memory_arena": False},
    "neither": {"cpu_memory_arena": False, "memory_pattern": False},
    "arena, shrunk after each run": {
        "memory_pattern": False,
        "run_config": {"memory.enable_memory_arena_shrinkage": "cpu:0"},
    },
    "arena, pattern, shrunk": {"run_config": {"memory.enable_memory_arena_shrinkage": "cpu:0"}},
}


def load(model, **options):
    files = {"model.onnx": model}
    return OnnxRuntime().load(
        Artifact(name="m", version=1, files=files), LoadOptions(options=OnnxOptions(**options))
    )


def best_us(call, number=2000, repeat=7):
    return min(timeit.repeat(call, number=number, repeat=repeat)) / number * 1e6


def overhead():
    model = mlp_model()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    bare = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    servable, options = load(model), ort.RunOptions()
    print("us a run, 16-32-4 perceptron   servable   bare session")
    for rows in (1, 16, 64):
        feeds = {"x": np.ones((rows, 16), np.float32)}
        ours = best_us(lambda feeds=feeds: servable.run("serving_default", feeds, ("y",), CONTEXT))
        theirs = best_us(lambda feeds=feeds: bare.run(["y"], feeds, options))
        print(f"{rows:4} rows {ours:30.1f} {theirs:14.1f}")


def threads():
    model, feeds = mlp_model((1024, 2048, 2048, 64)), {"x": np.ones((64, 1024), np.float32)}
    print("1024-2048-2048-64 perceptron, 64 rows, 5 ms apart   median ms   processor ms a run")
    for count, spinning in ((1, False), (2, False), (2, True)):
        servable = load(model, intra_op_threads=count, allow_spinning=spinning)
        for _ in range(10):
            servable.run("serving_default", feeds, ("y",), CONTEXT)
        taken, before = [], time.process_time()
        for _ in range(100):
            begun = time.perf_counter()
            servable.run("serving_default", feeds, ("y",), CONTEXT)
            taken.append(time.perf_counter() - begun)
            time.sleep(0.005)
        used = (time.process_time() - before) / len(taken)
        name = f"{count} thread{'s' * (count > 1)}{', spinning' * spinning}"
        print(f"{name:20} {statistics.median(taken) * 1e3:40.2f} {used * 1e3:20.2f}")


def memory():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(mlp_model((1024, 4096, 4096, 8)))
        size = path.stat().st_size / 1e6
        print(
            f"MB above the import, {size:.0f} MB perceptron   loaded   after 150 runs   highest while loading"
        )
        for name in MEMORY:
            subprocess.run([sys.executable, __file__, "--only", "memory", "--one", name, folder], check=True)


def resident_mb(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1e3


def memory_of(name, folder):
    before = resident_mb("VmRSS")
    options = LoadOptions(options=OnnxOptions(**MEMORY[name]))
    servable = OnnxRuntime().load(Artifact(name="m", version=1, path=Path(folder)), options)
    loaded, highest = resident_mb("VmRSS") - before, resident_mb("VmHWM") - before
    for rows in np.random.default_rng(1).integers(1, 300, 150):
        servable.run("serving_default", {"x": np.ones((rows, 1024), np.float32)}, ("y",), CONTEXT)
    after = resident_mb("VmRSS") - before
    print(f"{name:32} {loaded:15.0f} {after:16.0f} {highest:23.0f}", flush=True)


def types():
    rows = np.ones((1000, 3), np.float32)
    maps, plain = load(zipmap_model([0, 1, 2])), load(identity_model(DType.FLOAT32, ["n", 3]))
    print("us a run of 1000 rows of 3")
    for name, servable, output in (
        ("float32", plain, "y"),
        ("ZipMap's values", maps, "probabilities"),
        ("ZipMap's keys", maps, "probabilities_keys"),
    ):
        took = best_us(
            lambda servable=servable, output=output: servable.run(
                "serving_default", {"x": rows}, (output,), CONTEXT
            ),
            number=100,
        )
        print(f"{name:20} {took:10.1f}")
    half = load(identity_model(DType.BFLOAT16, ["n", 3]))
    feeds = {"x": rows.astype(ml_dtypes.bfloat16)}
    took = best_us(lambda: half.run("serving_default", feeds, ("y",), CONTEXT), number=500)
    print(f"{'bfloat16':20} {took:10.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {"overhead": overhead, "threads": threads, "memory": memory, "types": types}
    parser.add_argument("--only", choices=tables)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        memory_of(*arguments.one)
        return
    for name, table in tables.items():
        if arguments.only in (None, name):
            table()
            print()


if __name__ == "__main__":
    main()
