"""ONNX forms of products, windows and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.forms.table import FORMS, Form, first_input, form, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.operations.table import axes_of
from navi_graphserver.operations.window import Window, window_of
from navi_graphserver.plan import Node


@form("matmul")
def _matmul(writer: Writer, node: Node) -> list[str]:
    arguments = node.arguments
    if arguments.number(0, 1.0) != 1.0 or len(node.inputs) > 2:
        raise refusal(node, "scaled, or added to something")
    names = []
    for place in (0, 1):
        name, rank = first_input(writer, node, place), writer.sample(node.inputs[place]).ndim
        names.append(_swapped(writer, name, rank) if arguments.integer(place, 0) and rank > 1 else name)
    product = writer.add("MatMul", *names)
    if arguments.integer(2, 0):
        product = _swapped(writer, product, writer.sample(Address(node.id)).ndim)
    return [product]


def _swapped(writer: Writer, name: str, rank: int) -> str:
    order = [*range(rank - 2), rank - 1, rank - 2]
    return writer.add("Transpose", name, perm=order)


@form("xw_plus_b")
def _xw_plus_b(writer: Writer, node: Node) -> list[str]:
    x, weights, bias = (writer.name(each) for each in node.inputs)
    swaps = {"transA": node.arguments.integer(0, 0), "transB": node.arguments.integer(1, 0)}
    return [writer.add("Gemm", x, weights, bias, **swaps)]


@form("biasadd")
def _bias_add(writer: Writer, node: Node) -> list[str]:
    bias = first_input(writer, node, 1)
    rank = writer.sample(node.inputs[0]).ndim
    if node.arguments.flag(0):
        bias = writer.add("Unsqueeze", bias, writer.constant(list(range(1, rank - 1)), np.int64))
    return [writer.add("Add", first_input(writer, node), bias)]


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


@form("conv2d")
def _conv2d(writer: Writer, node: Node) -> list[str]:
    arguments = node.arguments
    last = arguments.integer(9, 0) == 1
    weights = writer.known(node.inputs[1])
    if weights is None:
        raise refusal(node, "its weights change from run to run")
    orders = {0: (3, 2, 0, 1), 1: (0, 1, 2, 3), 2: (0, 3, 1, 2)}
    kernel = weights.transpose(orders[arguments.integer(10, 0)])
    window = window_of(arguments, 2, kernel.shape[2:])
    names = [_first(writer, first_input(writer, node), last=last), writer.constant(kernel)]
    if len(node.inputs) > 2:
        names.append(first_input(writer, node, 2))
    return [_back(writer, writer.add("Conv", *names, **_moves(window)), last=last)]


def _pool(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        last = node.arguments.integer(10, 0) == 1
        window = window_of(node.arguments, 2)
        attributes = _moves(window)
        if operator == "AveragePool":
            if set(attributes.pop("dilations")) != {1}:
                raise refusal(node, "an average over spread windows")
            attributes["count_include_pad"] = int(node.arguments.integer(9, 0) != 0)
        pooled = writer.add(operator, _first(writer, first_input(writer, node), last=last), **attributes)
        return [_back(writer, pooled, last=last)]

    return write


FORMS["maxpool2d"] = _pool("MaxPool")
FORMS["avgpool2d"] = _pool("AveragePool")


@form("batchnorm")
def _batch_norm(writer: Writer, node: Node) -> list[str]:
    """Fold mean, variance, gamma and beta, which never change, into a factor and an offset."""
    arguments = node.arguments
    learned = [writer.known(each) for each in node.inputs[1:]]
    if any(each is None for each in learned):
        raise refusal(node, "its statistics change from run to run")
    rank = writer.sample(node.inputs[0]).ndim
    kept = axes_of(arguments.i[2:] or (-1,), rank)
    if len(kept) != 1:
        raise refusal(node, "over several axes")
    shape = [-1 if axis in kept else 1 for axis in range(rank)]
    values = [np.asarray(each, np.float64) for each in learned]
    factor = 1 / np.sqrt(values[1] + arguments.number(0, 1e-3))
    rest = values[2:]
    if arguments.integer(0, 0):
        factor = factor * rest.pop(0)
    offset = -values[0] * factor
    if arguments.integer(1, 0):
        offset = offset + rest.pop(0)
    scaled = writer.add("Mul", first_input(writer, node), writer.like(factor.reshape(shape), node.inputs[0]))
    return [writer.add("Add", scaled, writer.like(offset.reshape(shape), node.inputs[0]))]


@form("softmax")
def _softmax(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Softmax", first_input(writer, node), axis=node.arguments.integer(0, -1))]


@form("log_softmax")
def _log_softmax(writer: Writer, node: Node) -> list[str]:
    return [writer.add("LogSoftmax", first_input(writer, node), axis=node.arguments.integer(0, -1))]
