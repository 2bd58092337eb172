"""What a second worker costs in memory for the weights of an ONNX model: mapped, or copied.

Writes models of about 196 MiB of weights: a table that Gather reads and a matrix for MatMul, as external data and within
``model.onnx``. Two processes load each through navi's ONNX runtime; the table has what the load added to one of them:
resident memory, and the part that is its own (private and written), from ``/proc/PID/smaps_rollup``. Linux only.

    python benchmarks/worker_memory.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LOAD = """
import sys
from pathlib import Path

import onnxruntime

from navi_core.config.records import ModelSettings
from navi_core.models.loading import artifact_at, load_version
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry


def memory():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    fields = dict(line.split(":") for line in lines)
    return [int(fields[name].split()[0]) / 1024 for name in ("Rss", "Private_Dirty")]


registry = Registry(discover())
options = {"session_config": {"session.disable_prepacking": "1"}} if sys.argv[2] == "unpacked" else {}
before = memory()
loaded = load_version(registry, artifact_at(Path(sys.argv[1])), ModelSettings(runtime_options=options))
print("loaded", flush=True)
sys.stdin.readline()
print(*(f"{after - then:.0f}" for after, then in zip(memory(), before)), flush=True)
"""
CASES = (
    ("gather", True, "packed"),
    ("gather", False, "packed"),
    ("matmul", True, "packed"),
    ("matmul", True, "unpacked"),
    ("matmul", False, "packed"),
)


def write_model(folder: Path, kind: str, *, external: bool) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    if kind == "gather":
        weights = random.random((400_000, 128), dtype=np.float32)
        x = helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])
        node = helper.make_node("Gather", ["w", "x"], ["y"])
    else:
        weights = random.random((7200, 7200), dtype=np.float32)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 7200])
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", weights.shape[1]])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True)
    onnx.save(
        model,
        str(folder / "model.onnx"),
        save_as_external_data=external,
        location="weights.bin",
        size_threshold=0,
    )


def measure(model: Path, packing: str) -> tuple[int, int]:
    """Return what the load adds to one of two processes: resident, and its own, in MiB."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, str(model), packing],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "loaded\n":
                raise RuntimeError("a process could not load the model")
        answer, _ = processes[0].communicate("\n")
        resident, own = answer.split()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return int(resident), int(own)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print("| weights | resident MiB | its own MiB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, external, packing in CASES:
            model = Path(folder) / f"{kind}{int(external)}"
            if not model.exists():
                write_model(model / "1", kind, external=external)
            resident, own = measure(model, packing)
            place = "external data" if external else "within model.onnx"
            print(f"| {kind}, {place}, {packing} | {resident} | {own} |", flush=True)


if __name__ == "__main__":
    main()
