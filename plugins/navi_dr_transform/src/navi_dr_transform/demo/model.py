"""The demo's ranking model: a small network of the shape of Twitter's recap model, with random weights.

The layers are those of the-algorithm-ml, projects/home/recap, only narrower: non-finite values become 0,
``sign(x) * log1p(abs(x))``, batch norm, clamp to +-5, the binary features beside, layer norms (one for each
embedding), parallel MaskNet blocks, and a small tower for each task.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from navi_dr_transform.demo.tasks import BASE_RATES, TASKS
from navi_dr_transform.layout import HOME, HomeTensor

__all__ = ["NUM_BINARY", "NUM_CONTINUOUS", "build_model", "write_model"]

NUM_CONTINUOUS: Final = 2117
"""The recap model looks at the first continuous features only."""
NUM_BINARY: Final = 59

_NUM_BLOCKS: Final = 2
_MASK_WIDTH: Final = 32
_BLOCK_WIDTH: Final = 64
_SHARED_WIDTH: Final = 64
_TOWER_WIDTH: Final = 16
_LAYER_NORM_EPSILON: Final = 1e-5
_OPSET: Final = 17
_IR_VERSION: Final = 8

_INPUTS: Final = (
    HomeTensor.CONTINUOUS,
    HomeTensor.BINARY,
    HomeTensor.USER_EMBEDDING,
    HomeTensor.USER_ENG_EMBEDDING,
    HomeTensor.AUTHOR_EMBEDDING,
)


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._random = np.random.default_rng(seed)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def normal(self, name: str, shape: tuple[int, ...], scale: float, mean: float = 0.0) -> str:
        values = mean + scale * self._random.standard_normal(shape)
        return self.constant(name, values.astype(np.float32))

    def uniform(self, name: str, shape: tuple[int, ...], low: float, high: float) -> str:
        return self.constant(name, self._random.uniform(low, high, shape).astype(np.float32))

    def linear(self, name: str, x: str, num_in: int, num_out: int) -> str:
        weight = self.normal(f"{name}.weight", (num_in, num_out), num_in**-0.5)
        bias = self.normal(f"{name}.bias", (num_out,), 0.1)
        return self.add("Gemm", [x, weight, bias], name)

    def layer_norm(self, name: str, x: str, width: int) -> str:
        scale = self.normal(f"{name}.scale", (width,), 0.1, mean=1.0)
        bias = self.normal(f"{name}.bias", (width,), 0.1)
        return self.add("LayerNormalization", [x, scale, bias], name, axis=-1, epsilon=_LAYER_NORM_EPSILON)

    def first_columns(self, name: str, x: str, count: int) -> str:
        start = self.constant(f"{name}.start", np.array([0], dtype=np.int64))
        end = self.constant(f"{name}.end", np.array([count], dtype=np.int64))
        axis = self.constant(f"{name}.axis", np.array([1], dtype=np.int64))
        return self.add("Slice", [x, start, end, axis], name)


def build_model(seed: int = 2022) -> Any:
    """Return the model as an ``onnx.ModelProto``.

    Inputs are the home layout's tensors by name, without ``discrete``; outputs ``logits`` and
    ``probabilities``, (rows, 10) float32, columns as in ``demo.tasks.TASKS``.

    Parameters
    ----------
    seed
        Of the weights.
    """
    graph = _Graph(seed)
    names = {kind: HOME.tensors[kind].name for kind in _INPUTS}
    dense = _dense(graph, names[HomeTensor.CONTINUOUS], names[HomeTensor.BINARY])
    embeddings = [
        graph.layer_norm(f"norm_{names[kind]}", names[kind], HOME.tensors[kind].width)
        for kind in _INPUTS
        if kind not in (HomeTensor.CONTINUOUS, HomeTensor.BINARY)
    ]
    net = graph.add("Concat", [dense, *embeddings], "net", axis=1)
    width = NUM_CONTINUOUS + NUM_BINARY + sum(HOME.tensors[kind].width for kind in _INPUTS[2:])
    shared = _mask_net(graph, net, width)
    _towers(graph, shared)
    inputs = [
        helper.make_tensor_value_info(
            names[kind],
            TensorProto.INT64 if kind is HomeTensor.BINARY else TensorProto.FLOAT,
            ["rows", HOME.tensors[kind].width],
        )
        for kind in _INPUTS
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", len(TASKS)])
        for name in ("logits", "probabilities")
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "recap", inputs, outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="navi-dr-transform",
    )
    onnx.checker.check_model(model)
    return model


def write_model(path: Path) -> None:
    """Write the model to a file."""
    onnx.save_model(build_model(), str(path))


def _dense(graph: _Graph, continuous: str, binary: str) -> str:
    """Add the layers that make continuous features tame and put the binary ones beside them."""
    x = graph.first_columns("continuous_used", continuous, NUM_CONTINUOUS)
    is_nan = graph.add("IsNaN", [x], "is_nan")
    is_inf = graph.add("IsInf", [x], "is_inf")
    bad = graph.add("Or", [is_nan, is_inf], "is_not_finite")
    zero = graph.constant("zero", np.array(0.0, dtype=np.float32))
    one = graph.constant("one", np.array(1.0, dtype=np.float32))
    finite = graph.add("Where", [bad, zero, x], "finite")
    magnitude = graph.add("Abs", [finite], "magnitude")
    log = graph.add("Log", [graph.add("Add", [magnitude, one], "one_more")], "log")
    squashed = graph.add("Mul", [graph.add("Sign", [finite], "sign"), log], "squashed")
    normal = graph.add(
        "BatchNormalization",
        [
            squashed,
            graph.normal("batch_norm.scale", (NUM_CONTINUOUS,), 0.1, mean=1.0),
            graph.normal("batch_norm.bias", (NUM_CONTINUOUS,), 0.1),
            graph.normal("batch_norm.mean", (NUM_CONTINUOUS,), 0.2),
            graph.uniform("batch_norm.variance", (NUM_CONTINUOUS,), 0.5, 2.0),
        ],
        "batch_norm",
        epsilon=1e-5,
    )
    low = graph.constant("low", np.array(-5.0, dtype=np.float32))
    high = graph.constant("high", np.array(5.0, dtype=np.float32))
    clamped = graph.add("Clip", [normal, low, high], "clamped")
    used = graph.first_columns("binary_used", binary, NUM_BINARY)
    floats = graph.add("Cast", [used], "binary_floats", to=TensorProto.FLOAT)
    both = graph.add("Concat", [clamped, floats], "dense", axis=1)
    return graph.layer_norm("norm_dense", both, NUM_CONTINUOUS + NUM_BINARY)


def _mask_net(graph: _Graph, net: str, width: int) -> str:
    """Add parallel MaskNet blocks and the layer that joins them."""
    blocks = []
    for index in range(_NUM_BLOCKS):
        name = f"block_{index}"
        normal = graph.layer_norm(f"{name}.input_norm", net, width)
        aggregated = graph.linear(f"{name}.aggregate", net, width, _MASK_WIDTH)
        active = graph.add("Relu", [aggregated], f"{name}.active")
        mask = graph.linear(f"{name}.mask", active, _MASK_WIDTH, width)
        masked = graph.add("Mul", [normal, mask], f"{name}.masked")
        hidden = graph.linear(f"{name}.hidden", masked, width, _BLOCK_WIDTH)
        blocks.append(graph.layer_norm(f"{name}.output_norm", hidden, _BLOCK_WIDTH))
    joined = graph.add("Concat", blocks, "blocks", axis=1)
    shared = graph.linear("shared", joined, _NUM_BLOCKS * _BLOCK_WIDTH, _SHARED_WIDTH)
    return graph.add("Relu", [shared], "shared_active")


def _towers(graph: _Graph, shared: str) -> None:
    """Add one small network for each task."""
    towers = []
    for index, base_rate in enumerate(BASE_RATES):
        name = f"task_{index}"
        hidden = graph.linear(f"{name}.hidden", shared, _SHARED_WIDTH, _TOWER_WIDTH)
        active = graph.add("Relu", [hidden], f"{name}.active")
        weight = graph.normal(f"{name}.output.weight", (_TOWER_WIDTH, 1), _TOWER_WIDTH**-0.5)
        logit = np.log(base_rate / (1 - base_rate))
        bias = graph.constant(f"{name}.output.bias", np.array([logit], dtype=np.float32))
        towers.append(graph.add("Gemm", [active, weight, bias], f"{name}.output"))
    graph.add("Sigmoid", [graph.add("Concat", towers, "logits", axis=1)], "probabilities")
