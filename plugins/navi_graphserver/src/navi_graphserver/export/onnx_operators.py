"""ONNX's operators as SameDiff's operations: what is computed element by element, and layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from navi_graphserver.export.layers import (
    Moves,
    batch_norm,
    convolution,
    gelu,
    hard_sigmoid,
    layer_norm,
    local_response_norm,
    pool,
    transposed_convolution,
)
from navi_graphserver.export.onnx_shapes import SHAPES, Translate
from navi_graphserver.export.onnx_values import OnnxNode, OnnxValues
from navi_graphserver.export.writer import ExportError
from navi_graphserver.flat.records import Address

__all__ = ["TABLE"]

_SELU: Final = (1.67326319217681884765625, 1.05070102214813232421875)
_UNARY: Final = {
    "Abs": "abs",
    "Acos": "acos",
    "Asin": "asin",
    "Atan": "atan",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Log": "log",
    "Mish": "mish",
    "Neg": "neg",
    "Not": "boolean_not",
    "Reciprocal": "reciprocal",
    "Round": "rint",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Tanh": "tanh",
}
_BINARY: Final = {
    "Add": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "Pow": "Pow",
    "Equal": "equals",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "And": "boolean_and",
    "Or": "boolean_or",
}
_CHAINED: Final = {"Max": "maximum", "Min": "minimum", "Sum": "add", "Mean": "add"}


def _plain(operation: str) -> Translate:
    return lambda values, node: [values.graph.add(operation, *(values.address(each) for each in node.inputs))]


def _numbered(operation: str, *attributes: tuple[str, float]) -> Translate:
    def translate(values: OnnxValues, node: OnnxNode) -> list[Address]:
        numbers = tuple(node.number(name, default) for name, default in attributes)
        return [values.graph.add(operation, values.first(node), t_args=numbers)]

    return translate


def _same(values: OnnxValues, node: OnnxNode) -> list[Address]:
    return [values.first(node)]


def _chained(operation: str) -> Translate:
    def translate(values: OnnxValues, node: OnnxNode) -> list[Address]:
        total, *others = (values.address(each) for each in node.inputs)
        for each in others:
            total = values.graph.add(operation, total, each)
        if node.operator == "Mean" and others:
            count = values.graph.constant(np.float32(len(node.inputs)), "count")
            total = values.graph.add("divide", total, count)
        return [total]

    return translate


def _relu(values: OnnxValues, node: OnnxNode) -> list[Address]:
    return [values.graph.add("relu", values.first(node), t_args=(0.0,))]


def _selu(values: OnnxValues, node: OnnxNode) -> list[Address]:
    wanted = (node.number("alpha", _SELU[0]), node.number("gamma", _SELU[1]))
    if not all(math.isclose(one, other, rel_tol=1e-5) for one, other in zip(wanted, _SELU, strict=True)):
        msg = f"its numbers are {wanted}; GraphServer's are {_SELU}"
        raise ExportError(msg)
    return [values.graph.add("selu", values.first(node))]


def _prelu(values: OnnxValues, node: OnnxNode) -> list[Address]:
    graph, x = values.graph, values.first(node)
    zero = graph.constant(np.float32(0), "zero")
    below = graph.add("multiply", graph.add("minimum", x, zero), values.address(node.inputs[1]))
    return [graph.add("add", graph.add("relu", x, t_args=(0.0,)), below)]


def _clip(values: OnnxValues, node: OnnxNode) -> list[Address]:
    made = values.first(node)
    for place, operation, attribute in ((1, "maximum", "min"), (2, "minimum", "max")):
        if node.has(place):
            limit = values.address(node.inputs[place])
        elif attribute in node.attributes:
            limit = values.graph.constant(np.float32(node.number(attribute, 0.0)), attribute)
        else:
            continue
        made = values.graph.add(operation, made, limit)
    return [made]


def _gelu(values: OnnxValues, node: OnnxNode) -> list[Address]:
    return [gelu(values.graph, values.first(node), by_tanh=node.text("approximate", "none") == "tanh")]


def _hard_sigmoid(values: OnnxValues, node: OnnxNode) -> list[Address]:
    slope, offset = node.number("alpha", 0.2), node.number("beta", 0.5)
    return [hard_sigmoid(values.graph, values.first(node), slope, offset)]


def _hard_swish(values: OnnxValues, node: OnnxNode) -> list[Address]:
    x = values.first(node)
    return [values.graph.add("multiply", x, hard_sigmoid(values.graph, x, 1 / 6, 0.5))]


def _gemm(values: OnnxValues, node: OnnxNode) -> list[Address]:
    graph = values.graph
    flags = (int(node.integer("transA", 0) != 0), int(node.integer("transB", 0) != 0), 0)
    made = graph.add("matmul", values.first(node), values.address(node.inputs[1]), i_args=flags)
    if node.number("alpha", 1.0) != 1:
        made = graph.add("multiply", made, graph.constant(np.float32(node.number("alpha", 1.0)), "alpha"))
    if not node.has(2):
        return [made]
    added, beta = values.address(node.inputs[2]), node.number("beta", 1.0)
    if beta != 1:
        added = graph.add("multiply", added, graph.constant(np.float32(beta), "beta"))
    return [graph.add("add", made, added)]


def _moves(node: OnnxNode, kernel: tuple[int, ...]) -> Moves:
    rank = len(kernel)
    pads, auto = node.integers("pads", (0,) * (2 * rank)), node.text("auto_pad", "NOTSET")
    if auto == "SAME_LOWER":
        msg = "the padding SAME_LOWER"
        raise ExportError(msg)
    if node.integer("ceil_mode", 0):
        msg = "pooling that rounds up"
        raise ExportError(msg)
    if auto != "NOTSET":
        pads = (0,) * (2 * rank)
    return Moves(
        kernel=kernel,
        stride=node.integers("strides", (1,) * rank),
        dilation=node.integers("dilations", (1,) * rank),
        before=pads[:rank],
        after=pads[rank:],
        is_same=auto == "SAME_UPPER",
    )


def _convolution(values: OnnxValues, node: OnnxNode) -> list[Address]:
    weights = values.known(node, 1)
    bias = values.known(node, 2) if node.has(2) else None
    moves, groups = _moves(node, weights.shape[2:]), node.integer("group", 1)
    return [convolution(values.graph, values.first(node), weights, bias, moves, groups)]


def _transposed(values: OnnxValues, node: OnnxNode) -> list[Address]:
    weights = values.known(node, 1)
    bias = values.known(node, 2) if node.has(2) else None
    is_plain = node.integer("group", 1) == 1 and not any(node.integers("output_padding", ()))
    if not is_plain or "output_shape" in node.attributes:
        msg = "in groups, or with a padding or a shape of its output"
        raise ExportError(msg)
    moves = _moves(node, weights.shape[2:])
    return [transposed_convolution(values.graph, values.first(node), weights, bias, moves)]


def _pool(kind: str) -> Translate:
    def translate(values: OnnxValues, node: OnnxNode) -> list[Address]:
        moves = _moves(node, node.integers("kernel_shape", ()))
        counts = bool(node.integer("count_include_pad", 0))
        return [pool(values.graph, values.first(node), kind, moves, counts_padding=counts)]

    return translate


def _global(operation: str) -> Translate:
    def translate(values: OnnxValues, node: OnnxNode) -> list[Address]:
        axes = tuple(range(2, values.rank(node.inputs[0])))
        return [values.graph.add(operation, values.first(node), i_args=axes, b_args=(True,))]

    return translate


def _batch_norm(values: OnnxValues, node: OnnxNode) -> list[Address]:
    if node.integer("training_mode", 0):
        msg = "in training mode"
        raise ExportError(msg)
    factor, offset, mean, variance = (values.known(node, place) for place in (1, 2, 3, 4))
    epsilon = node.number("epsilon", 1e-5)
    return [batch_norm(values.graph, values.first(node), (mean, variance), (factor, offset), epsilon)]


def _layer_norm(values: OnnxValues, node: OnnxNode) -> list[Address]:
    axis, epsilon = node.integer("axis", -1), node.number("epsilon", 1e-5)
    rank = -axis if axis < 0 else values.rank(node.inputs[0]) - axis
    affine = [values.known(node, place) if node.has(place) else None for place in (1, 2)]
    return [layer_norm(values.graph, values.first(node), rank, affine, epsilon)]


def _local_response(values: OnnxValues, node: OnnxNode) -> list[Address]:
    numbers = (node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("bias", 1.0))
    return [local_response_norm(values.graph, values.first(node), node.integer("size", 1), *numbers)]


def _softmax(operation: str) -> Translate:
    def translate(values: OnnxValues, node: OnnxNode) -> list[Address]:
        axis = node.integer("axis", -1 if node.opset >= 13 else 1)
        if node.opset < 13 and axis not in (-1, values.rank(node.inputs[0]) - 1):
            msg = f"over all axes from {axis} on, as before version 13"
            raise ExportError(msg)
        return [values.graph.add(operation, values.first(node), i_args=(axis,))]

    return translate


TABLE: Final[dict[str, Callable[[OnnxValues, OnnxNode], list[Address]]]] = {
    **{operator: _plain(operation) for operator, operation in (_UNARY | _BINARY).items()},
    **{operator: _chained(operation) for operator, operation in _CHAINED.items()},
    "AveragePool": _pool("avg"),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Dropout": _same,
    "Elu": _numbered("elu", ("alpha", 1.0)),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global("reduce_mean"),
    "GlobalMaxPool": _global("reduce_max"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": _same,
    "LRN": _local_response,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _numbered("lrelu", ("alpha", 0.01)),
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": _plain("matmul"),
    "MaxPool": _pool("max"),
    "PRelu": _prelu,
    "Relu": _relu,
    "Selu": _selu,
    "Softmax": _softmax("softmax"),
    "ThresholdedRelu": _numbered("thresholdedrelu", ("alpha", 1.0)),
    **SHAPES,
}
"""Operator -> what writes it; shapes and reductions are beside this module."""
