"""What navi-tf's two loaders cost: calls, loads, memory.

Three tables. Calls: a 16-32-4 perceptron, 16 rows, each way that TensorFlow offers (processor time; the best of many
short bursts). Loads: the same file by both loaders. Memory: 100 MB of constants and 100 MB of variables by the
session loader, each in a process of its own, loaded three times: at the highest peak, the last time loaded and run
once, closed; above what was resident before the first; with freed memory given back (as navi does) and not.

    python benchmarks/saved_models.py [--only calls|loads|memory]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from navi_tf import callables, memory
from navi_tf.framework import tf, tf1
from navi_tf.options import TensorFlowOptions
from navi_tf.runtime import TensorFlowRuntime
from navi_tf.testing import mlp_module, store_graph, store_module
from navi_tf.threads import PROCESS

from navi_core import Artifact, LoadOptions
from navi_core.testing.memory import resident_bytes
from navi_core.testing.run_context import SimpleRunContext

CONTEXT = SimpleRunContext()
WIDTH = 2500  # a square matrix of float32 of this width is 25 MB


def load(artifact, **options):
    return TensorFlowRuntime().load(artifact, LoadOptions(options=TensorFlowOptions(**options)))


def best_us(call, bursts=200, number=10):
    call()
    best = float("inf")
    for _ in range(bursts):
        begun = time.process_time()
        for _ in range(number):
            call()
        best = min(best, (time.process_time() - begun) / number)
    return best * 1e6


def calls(folder):
    artifact = store_module(mlp_module(), folder / "1")
    x = np.ones((16, 16), np.float32)
    graph = tf.Graph()
    with graph.as_default():
        session = tf1.Session(graph=graph)
        meta_graph = tf1.saved_model.load(session, ["serve"], str(artifact.path))
    signature = meta_graph.signature_def["serving_default"]
    feeds, fetches = [signature.inputs["x"].name], [signature.outputs["y"].name]
    bound = callables.make_call(session, feeds, fetches, inter_op=1)
    in_pool = callables.make_call(session, feeds, fetches, inter_op=0)
    public = callables._public(session, feeds, fetches, callables._CALLING_THREAD)  # noqa: SLF001 - its own choice
    function = tf.saved_model.load(str(artifact.path)).signatures["serving_default"]
    for name, call in {
        "pre-bound callable, calling thread": lambda: bound(x),
        "pre-bound callable, thread pool": lambda: in_pool(x),
        "Session.make_callable, calling thread": lambda: public(x),
        "function, by name": lambda: [function(x=tf.constant(x))["y"].numpy()],
        "function, by position": lambda: [function(tf.constant(x))["y"].numpy()],
    }.items():
        print(f"{name:40} {best_us(call):8.1f} us")


def loads(folder):
    artifact = store_module(mlp_module(), folder / "1")
    for loader in ("session", "function"):
        taken = []
        for _ in range(7):
            begun = time.process_time()
            load(artifact, loader=loader).close()
            taken.append(time.process_time() - begun)
        print(f"{loader:40} {min(taken):8.3f} s")


def constants():
    x = y = tf1.placeholder(tf.float32, [None, WIDTH], name="x")
    for seed in range(4):
        weights = np.random.default_rng(seed).normal(size=(WIDTH, WIDTH)).astype(np.float32)
        y = tf.matmul(y, tf.constant(weights))
    return {"x": x}, {"y": y}


def variables():
    module = tf.Module()
    module.weights = [tf.Variable(np.ones((WIDTH, WIDTH), np.float32)) for _ in range(4)]

    @tf.function(input_signature=[tf.TensorSpec([None, WIDTH], tf.float32, name="x")])
    def multiply(x):
        for weights in module.weights:
            x = x @ weights
        return {"y": x}

    return module, multiply


def store(kind, folder):
    if kind == "constants":
        store_graph(constants, folder)
    else:
        module, multiply = variables()
        store_module(module, folder, signatures={"serving_default": multiply})


def measure_memory(folder):
    """Print megabytes above what was there before the first load: highest peak, last run, closed."""
    artifact = Artifact(name="m", version=1, path=folder)
    PROCESS.settle(None)
    callables.has_prebound_callables()  # makes a session: what TensorFlow takes for its first is not the model's
    before = resident_bytes()
    peak, stop = [0], threading.Event()

    def watch():
        while not stop.wait(0.002):
            peak[0] = max(peak[0], resident_bytes())

    threading.Thread(target=watch, daemon=True).start()
    for _ in range(3):
        servable = load(artifact, loader="session")
        servable.run("serving_default", {"x": np.ones((1, WIDTH), np.float32)}, ("y",), CONTEXT)
        loaded = resident_bytes()
        servable.close()
    stop.set()
    print(*(round((size - before) / 1e6) for size in (peak[0], loaded, resident_bytes())))


def in_a_process_of_its_own(folder, *flags):
    command = [sys.executable, __file__, "--measure", str(folder), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def memory_table(folder):
    for kind in ("constants", "variables"):
        subprocess.run([sys.executable, __file__, "--store", kind, str(folder / kind)], check=True)
        for flags in ((), ("--keep-freed",)):
            peak, loaded, closed = in_a_process_of_its_own(folder / kind, *flags)
            how = "as it is" if flags else "given back"
            print(
                f"100 MB of {kind}, freed memory {how:10}  peak {peak:>5}, loaded {loaded:>5}, closed {closed:>5} MB"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("calls", "loads", "memory"))
    parser.add_argument("--store", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep-freed", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.keep_freed:
        memory._trim = lambda: None  # noqa: SLF001 - what it is like without
    if chosen.store:
        return store(chosen.store[0], Path(chosen.store[1]))
    if chosen.measure:
        return measure_memory(chosen.measure)
    print(f"TensorFlow {tf.version.VERSION}")
    PROCESS.settle(None)
    for name, table in {"calls": calls, "loads": loads, "memory": memory_table}.items():
        if chosen.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                print(f"\n{name}")
                table(Path(folder))
    return None


if __name__ == "__main__":
    main()
