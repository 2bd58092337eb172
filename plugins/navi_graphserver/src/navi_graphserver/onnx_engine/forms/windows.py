"""ONNX forms of windows: convolution and pooling, and of resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.onnx_engine.forms.table import FORMS, Form, first_input, form, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.operations.window import Window, kernel_first, window_of
from navi_graphserver.plan import Node


def _first(writer: Writer, name: str, *, last: bool, rank: int = 4) -> str:
    return writer.add("Transpose", name, perm=[0, rank - 1, *range(1, rank - 1)]) if last else name


def _back(writer: Writer, name: str, *, last: bool, rank: int = 4) -> str:
    return writer.add("Transpose", name, perm=[0, *range(2, rank), 1]) if last else name


def _moves(window: Window) -> dict[str, Any]:
    moves: dict[str, Any] = {"kernel_shape": list(window.kernel), "strides": list(window.stride)}
    moves["dilations"] = list(window.dilation)
    if window.is_same:
        moves["auto_pad"] = "SAME_UPPER"
    else:
        moves["pads"] = [*window.padding, *window.padding]
    return moves


def _weights(writer: Writer, node: Node, index: int = 1) -> Array:
    weights = writer.known(node.inputs[index])
    if weights is None:
        raise refusal(node, "its weights change from run to run")
    return weights


def _convolution(rank: int) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        arguments = node.arguments
        last = arguments.integer(4 * rank + 1, 0) == 1
        kernel = kernel_first(_weights(writer, node), arguments.integer(4 * rank + 2, 0))
        window = window_of(arguments, rank, kernel.shape[2:])
        names = [_first(writer, first_input(writer, node), last=last, rank=rank + 2), writer.constant(kernel)]
        if len(node.inputs) > 2:
            names.append(first_input(writer, node, 2))
        return [_back(writer, writer.add("Conv", *names, **_moves(window)), last=last, rank=rank + 2)]

    return write


FORMS["conv2d"] = _convolution(2)
FORMS["conv3dnew"] = _convolution(3)


@form("pointwise_conv2d")
def _pointwise(writer: Writer, node: Node) -> list[str]:
    last = node.arguments.integer(0, 0) == 1
    kernel = kernel_first(_weights(writer, node), node.arguments.integer(1, 0))
    names = [_first(writer, first_input(writer, node), last=last), writer.constant(kernel)]
    if len(node.inputs) > 2:
        names.append(first_input(writer, node, 2))
    return [_back(writer, writer.add("Conv", *names), last=last)]


_KERNEL_FIRST = {0: (0, 1, 2, 3), 1: (2, 3, 1, 0), 2: (1, 2, 3, 0)}


def _each_channel(writer: Writer, node: Node, x: str, bias: list[str]) -> str:
    """Convolve each channel with its own kernels, channels first."""
    own = _weights(writer, node).transpose(_KERNEL_FIRST[node.arguments.integer(10, 0)])
    window = window_of(node.arguments, 2, own.shape[:2])
    rows, columns, channels, multiplier = own.shape
    kernel = own.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, rows, columns)
    return writer.add("Conv", x, writer.constant(kernel), *bias, group=channels, **_moves(window))


@form("depthwise_conv2d")
def _depthwise(writer: Writer, node: Node) -> list[str]:
    last = node.arguments.integer(9, 0) == 1
    bias = [first_input(writer, node, 2)] if len(node.inputs) > 2 else []
    x = _first(writer, first_input(writer, node), last=last)
    return [_back(writer, _each_channel(writer, node, x, bias), last=last)]


@form("sconv2d")
def _separable(writer: Writer, node: Node) -> list[str]:
    last = node.arguments.integer(9, 0) == 1
    ranks = [writer.sample(each).ndim for each in node.inputs]
    points = [place for place, rank in enumerate(ranks) if place > 1 and rank == 4]
    biases = [first_input(writer, node, place) for place, rank in enumerate(ranks) if place > 1 and rank < 4]
    x = _first(writer, first_input(writer, node), last=last)
    made = _each_channel(writer, node, x, [] if points else biases)
    if points:
        kernel = kernel_first(_weights(writer, node, points[0]), node.arguments.integer(10, 0))
        made = writer.add("Conv", made, writer.constant(kernel), *biases)
    return [_back(writer, made, last=last)]


@form("deconv2d")
def _transposed(writer: Writer, node: Node) -> list[str]:
    last = node.arguments.integer(9, 0) == 1
    own = _weights(writer, node).transpose(_KERNEL_FIRST[node.arguments.integer(10, 0)])
    window = window_of(node.arguments, 2, own.shape[:2])
    if window.is_same:
        raise refusal(node, "padded as TensorFlow does")
    names = [_first(writer, first_input(writer, node), last=last), writer.constant(own.transpose(3, 2, 0, 1))]
    if len(node.inputs) > 2:
        names.append(first_input(writer, node, 2))
    return [_back(writer, writer.add("ConvTranspose", *names, **_moves(window)), last=last)]


def _pool(operator: str, rank: int) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        last = node.arguments.integer(4 * rank + 2, 0) == 1
        window = window_of(node.arguments, rank)
        attributes = _moves(window)
        if operator == "AveragePool":
            if set(attributes.pop("dilations")) != {1}:
                raise refusal(node, "an average over spread windows")
            counts = node.arguments.integer(4 * rank + 1, 0) != 0
            if counts and window.is_same:
                raise refusal(node, "an average that counts the padding as TensorFlow pads")
            attributes["count_include_pad"] = int(counts)
        x = _first(writer, first_input(writer, node), last=last, rank=rank + 2)
        return [_back(writer, writer.add(operator, x, **attributes), last=last, rank=rank + 2)]

    return write


FORMS["maxpool2d"] = _pool("MaxPool", 2)
FORMS["avgpool2d"] = _pool("AveragePool", 2)
FORMS["maxpool3dnew"] = _pool("MaxPool", 3)
FORMS["avgpool3dnew"] = _pool("AveragePool", 3)


@form("upsampling2d")
def _upsampling(writer: Writer, node: Node) -> list[str]:
    rows, columns = node.arguments.i[0], node.arguments.integer(1, node.arguments.i[0])
    last = node.arguments.integer(2, 1) == 0
    x = _first(writer, first_input(writer, node), last=last)
    scales = writer.constant([1, 1, rows, columns], np.float32)
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return [_back(writer, writer.add("Resize", x, "", scales, **how), last=last)]


def _resized(writer: Writer, node: Node, **how: str) -> list[str]:
    """Resize (batch, height, width, channels) to a height and a width that are known."""
    size = writer.integers(node, 1) if len(node.inputs) > 1 else list(node.arguments.i[:2])
    if writer.sample(node.inputs[0]).dtype != np.float32:
        raise refusal(node, "of what is not float32")
    x = _first(writer, first_input(writer, node), last=True)
    kept = writer.add("Shape", x, start=0, end=2)
    sizes = writer.add("Concat", kept, writer.constant(size, np.int64), axis=0)
    return [_back(writer, writer.add("Resize", x, "", "", sizes, **how), last=True)]


@form("resize_bilinear")
def _resize_bilinear(writer: Writer, node: Node) -> list[str]:
    rule = (
        "align_corners"
        if node.arguments.flag(0)
        else "half_pixel"
        if node.arguments.flag(1)
        else "asymmetric"
    )
    return _resized(writer, node, mode="linear", coordinate_transformation_mode=rule)


@form("resize_nearest_neighbor")
def _resize_nearest(writer: Writer, node: Node) -> list[str]:
    if node.arguments.flag(0) or node.arguments.flag(1):
        raise refusal(node, "with corners or centres")
    how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return _resized(writer, node, mode="nearest", **how)


@form("depth_to_space")
def _depth_to_space(writer: Writer, node: Node) -> list[str]:
    last = node.arguments.integer(1, 1) == 1
    x = _first(writer, first_input(writer, node), last=last)
    return [_back(writer, writer.add("DepthToSpace", x, blocksize=_block(node)), last=last)]


@form("space_to_depth")
def _space_to_depth(writer: Writer, node: Node) -> list[str]:
    last = node.arguments.integer(1, 1) == 1
    x = _first(writer, first_input(writer, node), last=last)
    return [_back(writer, writer.add("SpaceToDepth", x, blocksize=_block(node)), last=last)]


def _block(node: Node) -> int:
    return node.arguments.integer(0, 2)
