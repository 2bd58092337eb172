"""The small model of these benchmarks: a 16-32-4 perceptron in ONNX, as a model directory."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTHS = (16, 32, 4)


def write_model(folder: Path, widths: tuple[int, ...] = WIDTHS, seed: int = 0) -> Path:
    """Write a perceptron as version 1 of the model ``folder``; returns the file."""
    random = np.random.default_rng(seed)
    nodes, weights, last = [], [], "x"
    for index, (rows, columns) in enumerate(itertools.pairwise(widths)):
        final = index == len(widths) - 2
        scale = np.float32(1 / np.sqrt(rows))
        weights.append(
            numpy_helper.from_array(
                random.standard_normal((rows, columns), dtype=np.float32) * scale, f"w{index}"
            )
        )
        weights.append(numpy_helper.from_array(np.zeros(columns, np.float32), f"b{index}"))
        out = "y" if final else f"h{index}"
        nodes.append(helper.make_node("Gemm", [last, f"w{index}", f"b{index}"], [out]))
        if not final:
            nodes.append(helper.make_node("Relu", [out], [f"a{index}"]))
            last = f"a{index}"
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", widths[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", widths[-1]])],
        weights,
    )
    version = folder / "1"
    version.mkdir(parents=True)
    path = version / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    for each in (path, version):  # complete at first sight: not written to a moment ago
        os.utime(each, (time.time() - 3600,) * 2)
    return path
