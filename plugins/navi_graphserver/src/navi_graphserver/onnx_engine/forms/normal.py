"""ONNX forms of normalisation and softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from navi_core import Array
from navi_graphserver.onnx_engine.forms.table import first_input, form, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.operations.table import axes_of
from navi_graphserver.plan import Node


def _learned(writer: Writer, node: Node) -> list[Array]:
    learned = [writer.known(each) for each in node.inputs[1:]]
    if any(each is None for each in learned):
        raise refusal(node, "its statistics change from run to run")
    return [np.asarray(each, np.float64) for each in learned]


def _scaled(writer: Writer, node: Node, factor: Array, offset: Array) -> list[str]:
    scaled = writer.add("Mul", first_input(writer, node), writer.like(factor, node.inputs[0]))
    return [writer.add("Add", scaled, writer.like(offset, node.inputs[0]))]


@form("batchnorm")
def _batch_norm(writer: Writer, node: Node) -> list[str]:
    """Fold mean, variance, gamma and beta, which never change, into a factor and an offset."""
    arguments = node.arguments
    mean, variance, *rest = _learned(writer, node)
    rank = writer.sample(node.inputs[0]).ndim
    kept = axes_of(arguments.i[2:] or (-1,), rank)
    if len(kept) != 1:
        raise refusal(node, "over several axes")
    shape = [-1 if axis in kept else 1 for axis in range(rank)]
    factor = 1 / np.sqrt(variance + arguments.number(0, 1e-3))
    if arguments.integer(0, 0):
        factor = factor * rest.pop(0)
    offset = -mean * factor
    if arguments.integer(1, 0):
        offset = offset + rest.pop(0)
    return _scaled(writer, node, factor.reshape(shape), offset.reshape(shape))


@form("fused_batch_norm")
def _fused_batch_norm(writer: Writer, node: Node) -> list[str]:
    """Fold what never changes into a factor and an offset."""
    arguments = node.arguments
    scale, offset, mean, variance = _learned(writer, node)[:4]
    shape = [1, 1, 1, -1] if arguments.integer(0, 0) == 0 else [1, -1, 1, 1]
    factor = scale / np.sqrt(variance + arguments.number(0, 1e-3))
    return _scaled(writer, node, factor.reshape(shape), (offset - mean * factor).reshape(shape))


def _standardized(writer: Writer, node: Node, wanted: Sequence[int]) -> str:
    """Subtract the mean and divide by the deviation; what does not deviate is 0."""
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "of what is no float")
    x = first_input(writer, node)
    axes = writer.constant(axes_of(wanted, writer.sample(node.inputs[0]).ndim), np.int64)
    centred = writer.add("Sub", x, writer.add("ReduceMean", x, axes))
    deviation = writer.add("Sqrt", writer.add("ReduceMean", writer.add("Mul", centred, centred), axes))
    zero = writer.like(0, node.inputs[0])
    is_zero = writer.add("Equal", deviation, zero)
    safe = writer.add("Where", is_zero, writer.like(1, node.inputs[0]), deviation)
    return writer.add("Where", is_zero, zero, writer.add("Div", centred, safe))


@form("standardize")
def _standardize(writer: Writer, node: Node) -> list[str]:
    own = node.arguments.i or node.arguments.dimensions
    return [_standardized(writer, node, writer.integers(node, 1) if len(node.inputs) > 1 else own)]


@form("layer_norm")
def _layer_norm(writer: Writer, node: Node) -> list[str]:
    rank = writer.sample(node.inputs[0]).ndim
    made = _standardized(writer, node, node.arguments.i or (-1,))
    behind = rank - 2 if node.arguments.flag(0) else 0  # the channels are the second axis, or the last one
    for operator, place in (("Mul", 1), ("Add", 2)):
        if place < len(node.inputs):
            value = writer.name(node.inputs[place])
            if behind:
                value = writer.add("Unsqueeze", value, writer.constant(range(1, 1 + behind), np.int64))
            made = writer.add(operator, made, value)
    return [made]


@form("lrn")
def _local_response(writer: Writer, node: Node) -> list[str]:
    """Normalise the last axis: ONNX's channels are the second one, and its alpha is for all of them together."""
    if writer.sample(node.inputs[0]).ndim != 4:
        raise refusal(node, "of an array whose rank is not 4")
    bias, alpha, beta = (node.arguments.number(place, most) for place, most in enumerate((1.0, 1.0, 0.5)))
    size = 2 * node.arguments.integer(0, 5) + 1
    first = writer.add("Transpose", first_input(writer, node), perm=[0, 3, 1, 2])
    made = writer.add("LRN", first, size=size, alpha=alpha * size, beta=beta, bias=bias)
    return [writer.add("Transpose", made, perm=[0, 2, 3, 1])]


@form("softmax")
def _softmax(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Softmax", first_input(writer, node), axis=node.arguments.integer(0, -1))]


@form("log_softmax")
def _log_softmax(writer: Writer, node: Node) -> list[str]:
    return [writer.add("LogSoftmax", first_input(writer, node), axis=node.arguments.integer(0, -1))]
