"""Small ONNX models for tests, as bytes. Needs the ``onnx`` package.

Each builder returns a serialized ``ModelProto``; :func:`store` puts it where a host looks for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from navi_core import Array, Artifact, DType

__all__ = [
    "ELEMENT_TYPES",
    "build",
    "constant_output_model",
    "fixed_model",
    "identity_model",
    "mlp_model",
    "optional_input_model",
    "pair_model",
    "sequence_model",
    "store",
    "zipmap_model",
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
    DType.BFLOAT16: TensorProto.BFLOAT16,
    DType.FLOAT32: TensorProto.FLOAT,
    DType.FLOAT64: TensorProto.DOUBLE,
    DType.FLOAT8_E4M3FN: TensorProto.FLOAT8E4M3FN,
    DType.FLOAT8_E4M3FNUZ: TensorProto.FLOAT8E4M3FNUZ,
    DType.FLOAT8_E5M2: TensorProto.FLOAT8E5M2,
    DType.FLOAT8_E5M2FNUZ: TensorProto.FLOAT8E5M2FNUZ,
    DType.STRING: TensorProto.STRING,
}
"""navi's dtypes and the ``TensorProto.DataType`` of each; all that ONNX Runtime's Identity takes."""

_FLOAT: Final = TensorProto.FLOAT


def build(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    initializers: Sequence[Any] = (),
    *,
    opset: int = 21,
    ir_version: int = 10,
) -> bytes:
    """Return a model of these nodes, serialized."""
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(initializers))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    serialized: bytes = model.SerializeToString()
    return serialized


def identity_model(dtype: DType, shape: Sequence[int | str | None] | None = ("batch",)) -> bytes:
    """Return ``y = x``; shape None: the rank is unknown too."""
    kind = ELEMENT_TYPES[dtype]
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y"))
    return build([helper.make_node("Identity", ["x"], ["y"])], [x], [y])


def pair_model() -> bytes:
    """Return ``sum = a + b`` and ``difference = a - b`` of float32 (batch, 3): it batches."""
    a, b, total, difference = (
        helper.make_tensor_value_info(name, _FLOAT, ["batch", 3]) for name in ("a", "b", "sum", "difference")
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


def optional_input_model(*, ir_version: int = 10) -> bytes:
    """Return ``y = x + bias``: ``bias`` has the default (1, 2, 3) and may be sent."""
    x, y = (helper.make_tensor_value_info(name, _FLOAT, ["batch", 3]) for name in ("x", "y"))
    bias = helper.make_tensor_value_info("bias", _FLOAT, [3])
    default = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "bias")
    add = helper.make_node("Add", ["x", "bias"], ["y"])
    return build([add], [x, bias], [y], [default], ir_version=ir_version)


def constant_output_model() -> bytes:
    """Return ``y = x`` and the weights themselves, ``w`` = (0, 1, 2, 3), as an output; ``x`` is one too."""
    x, y = (helper.make_tensor_value_info(name, _FLOAT, ["batch", 3]) for name in ("x", "y"))
    w = helper.make_tensor_value_info("w", _FLOAT, [4])
    weights = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    return build([helper.make_node("Identity", ["x"], ["y"])], [x], [y, w, x], [weights])


def zipmap_model(labels: Sequence[int] | Sequence[str]) -> bytes:
    """Return ``probabilities``: float32 (batch, labels) as a sequence of maps, as scikit-learn exports it."""
    is_text = isinstance(labels[0], str)
    node = helper.make_node("ZipMap", ["x"], ["probabilities"], domain="ai.onnx.ml")
    attribute = "classlabels_strings" if is_text else "classlabels_int64s"
    node.attribute.append(helper.make_attribute(attribute, list(labels)))
    x = helper.make_tensor_value_info("x", _FLOAT, ["batch", len(labels)])
    key = TensorProto.STRING if is_text else TensorProto.INT64
    row = helper.make_map_type_proto(key, helper.make_tensor_type_proto(_FLOAT, None))
    output = helper.make_value_info("probabilities", helper.make_sequence_type_proto(row))
    return build([node], [x], [output])


def sequence_model() -> bytes:
    """Return ``y = x`` and ``parts``, a sequence of tensors, which cannot be served."""
    x, y = (helper.make_tensor_value_info(name, _FLOAT, ["batch", 3]) for name in ("x", "y"))
    parts = helper.make_tensor_sequence_value_info("parts", _FLOAT, None)
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),
        helper.make_node("SequenceConstruct", ["x", "x"], ["parts"]),
    ]
    return build(nodes, [x], [y, parts])


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
