"""The two models, the loads that are put on them, and what onnxruntime itself answers."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LAYERS = {"mlp": (16, 32, 4), "recap": (5293, 512, 128, 10)}
ROWS = {"mlp": 1, "recap": 64}


@dataclass(frozen=True)
class Case:
    """One load: a model and how many requests are in flight, each on a connection of its own."""

    name: str
    model: str
    in_flight: int


CASES = (
    Case("1 in flight", "mlp", 1),
    Case("16 in flight", "mlp", 16),
    Case("64 in flight", "mlp", 64),
    Case("recap, 64 rows, 4 in flight", "recap", 4),
)


def write_models(folder: Path) -> None:
    """Write each model as ``folder/NAME/1/model.onnx``, from ``x`` to ``y``."""
    random = np.random.default_rng(0)
    for name, widths in LAYERS.items():
        nodes, weights, at = [], [], "x"
        for layer, (rows, columns) in enumerate(itertools.pairwise(widths)):
            last = layer == len(widths) - 2
            weight = random.normal(scale=rows**-0.5, size=(rows, columns)).astype(np.float32)
            bias = random.normal(size=columns).astype(np.float32)
            weights += [
                numpy_helper.from_array(weight, f"w{layer}"),
                numpy_helper.from_array(bias, f"b{layer}"),
            ]
            out = "y" if last else f"g{layer}"
            nodes.append(helper.make_node("Gemm", [at, f"w{layer}", f"b{layer}"], [out]))
            if not last:
                at = f"h{layer}"
                nodes.append(helper.make_node("Relu", [out], [at]))
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", widths[0]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", widths[-1]])],
            weights,
        )
        version = folder / name / "1"
        version.mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, version / "model.onnx")
        for path in (version / "model.onnx", version):  # old enough to be complete
            os.utime(path, (time.time() - 3600,) * 2)


def session_of(folder: Path, model: str) -> onnxruntime.InferenceSession:
    """Open a model on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(folder / model / "1" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


@dataclass(frozen=True)
class Question:
    """What is asked of a model, and what onnxruntime answers."""

    x: np.ndarray
    y: np.ndarray
    run_us: float


def question(folder: Path, model: str) -> Question:
    """Return the input of a model's requests, its right answer, and what the run alone takes (median)."""
    x = np.random.default_rng(1).normal(size=(ROWS[model], LAYERS[model][0])).astype(np.float32)
    x = np.round(x, 4)  # as long in JSON as numbers that people write
    session = session_of(folder, model)
    taken = []
    for _ in range(200):
        begun = time.perf_counter()
        [y] = session.run(["y"], {"x": x})
        taken.append(time.perf_counter() - begun)
    return Question(x, y, float(np.median(taken)) * 1e6)
