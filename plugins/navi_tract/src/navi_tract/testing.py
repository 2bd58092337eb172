"""Small models for tests, as bytes or folders. Needs the ``onnx`` package.

Each builder returns a serialized ``ModelProto``; :func:`store` puts it where a host looks for it, and
:func:`store_nnef` does so as NNEF.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import tract
from onnx import TensorProto, helper, numpy_helper

from navi_core import Array, Artifact, DType

__all__ = [
    "ELEMENT_TYPES",
    "build",
    "fixed_model",
    "identity_model",
    "mlp_model",
    "node_model",
    "pair_model",
    "store",
    "store_nnef",
]

ELEMENT_TYPES: Final = {
    DType.BOOL: TensorProto.BOOL,
    DType.INT8: TensorProto.INT8,
    DType.INT16: TensorProto.INT16,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.UINT8: TensorProto.UINT8,
    DType.UINT16: TensorProto.UINT16,
    DType.UINT32: TensorProto.UINT32,
    DType.UINT64: TensorProto.UINT64,
    DType.FLOAT16: TensorProto.FLOAT16,
    DType.FLOAT32: TensorProto.FLOAT,
    DType.FLOAT64: TensorProto.DOUBLE,
}
"""navi's dtypes that tract carries, and the ``TensorProto.DataType`` of each."""

_FLOAT: Final = TensorProto.FLOAT


def build(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    initializers: Sequence[Any] = (),
    *,
    value_info: Sequence[Any] = (),
    opset: int = 18,
) -> bytes:
    """Return a model of these nodes, serialized."""
    graph = helper.make_graph(
        list(nodes), "graph", list(inputs), list(outputs), list(initializers), value_info=list(value_info)
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    serialized: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return serialized


def node_model(
    operator: str,
    inputs: Sequence[tuple[str, int, Sequence[int | str | None] | None]],
    *,
    outputs: Sequence[str] = ("y",),
    output_type: int = _FLOAT,
    initializers: Sequence[tuple[str, Array]] = (),
    **attributes: Any,
) -> bytes:
    """Return a model of one node.

    Parameters
    ----------
    operator
        The node's type.
    inputs
        Name, element type and shape of each graph input, in the node's order.
    outputs
        Names; their shapes are not declared.
    output_type
        Their element type.
    initializers
        Constants, the node's last inputs.
    **attributes
        The node's.
    """
    names = [name for name, _, _ in inputs] + [name for name, _ in initializers]
    return build(
        [helper.make_node(operator, names, list(outputs), **attributes)],
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(name, output_type, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in initializers],
    )


def identity_model(dtype: DType, shape: Sequence[int | str | None] | None = ("batch",)) -> bytes:
    """Return ``y = x``; shape None: the rank is unknown too."""
    kind = ELEMENT_TYPES.get(dtype, getattr(TensorProto, dtype.upper(), TensorProto.UNDEFINED))
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y"))
    return build([helper.make_node("Identity", ["x"], ["y"])], [x], [y])


def pair_model(rows: str | None = "batch") -> bytes:
    """Return ``sum = a + b`` and ``difference = a - b`` of float32 (rows, 3): it batches."""
    a, b, total, difference = (
        helper.make_tensor_value_info(name, _FLOAT, [rows, 3]) for name in ("a", "b", "sum", "difference")
    )
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Sub", ["a", "b"], ["difference"]),
    ]
    return build(nodes, [a, b], [total, difference])


def fixed_model() -> bytes:
    """Return ``y = x + x`` of float32 (2, 3): it does not batch."""
    x, y = (helper.make_tensor_value_info(name, _FLOAT, [2, 3]) for name in ("x", "y"))
    return build([helper.make_node("Add", ["x", "x"], ["y"])], [x], [y])


def mlp_model(widths: Sequence[int] = (16, 32, 4), *, seed: int = 0) -> bytes:
    """Return a perceptron ``x`` float32 (batch, first) -> ``y`` float32 (batch, last), ReLU between."""
    random = np.random.default_rng(seed)
    nodes, weights, name = [], [], "x"
    for layer, (before, after) in enumerate(itertools.pairwise(widths)):
        matrix: Array = (random.normal(size=(before, after)) / np.sqrt(before)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        last = layer == len(widths) - 2
        product = "y" if last else f"product{layer}"
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [product]))
        if not last:
            nodes.append(helper.make_node("Relu", [product], [f"hidden{layer}"]))
        name = f"hidden{layer}"
    x = helper.make_tensor_value_info("x", _FLOAT, ["batch", widths[0]])
    y = helper.make_tensor_value_info("y", _FLOAT, ["batch", widths[-1]])
    return build(nodes, [x], [y], weights)


def store(model: bytes, folder: Path, *, name: str = "model", version: int = 1) -> Artifact:
    """Write ``model.onnx`` into a folder, made where it is missing, and return it as an artifact."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    return Artifact(name=name, version=version, path=folder)


def store_nnef(
    model: bytes, folder: Path, *, kind: Literal["tgz", "tar", "folder"] = "tgz", name: str = "model"
) -> Artifact:
    """Have tract write an ONNX model as NNEF into a folder and return it as an artifact.

    Unnamed dimensions have no place in NNEF: every size must be a number or have a name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    typed = tract.onnx().load(folder / "model.onnx").into_model()
    (folder / "model.onnx").unlink()
    writer = tract.nnef()
    if kind == "tgz":
        writer.write_model_to_tar_gz(typed, folder / "model.nnef.tgz")
    elif kind == "tar":
        writer.write_model_to_tar(typed, folder / "model.nnef.tar")
    else:
        folder.rmdir()  # tract makes it
        writer.write_model_to_dir(typed, folder)
    return Artifact(name=name, version=1, path=folder)
