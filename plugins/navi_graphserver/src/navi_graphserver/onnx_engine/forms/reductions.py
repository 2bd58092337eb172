"""ONNX forms of what is computed over axes."""

from __future__ import annotations

from typing import Final

import numpy as np

from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.forms.table import FORMS, Form, as_answer, first_input, form, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.operations.reduce import reduction_axes
from navi_graphserver.plan import Node

_REDUCE: Final = {
    "reduce_sum": "ReduceSum",
    "reduce_mean": "ReduceMean",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_norm1": "ReduceL1",
    "reduce_norm2": "ReduceL2",
    "reduce_sqnorm": "ReduceSumSquare",
    "reduce_logsumexp": "ReduceLogSumExp",
}


def _axes(writer: Writer, node: Node) -> tuple[list[int], bool]:
    inputs = [writer.sample(node.inputs[0])]
    if len(node.inputs) > 1:
        inputs.append(np.array(writer.integers(node, 1)))
    axes, keep = reduction_axes(inputs, node.arguments)
    return list(axes), keep


def _reduction(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        axes, keep = _axes(writer, node)
        if writer.sample(node.inputs[0]).dtype.kind != "f":
            raise refusal(node, "of what is no float")
        return [
            writer.add(
                operator, first_input(writer, node), writer.constant(axes, np.int64), keepdims=int(keep)
            )
        ]

    return write


for _name, _operator in _REDUCE.items():
    FORMS[_name] = _reduction(_operator)


def _position(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        axes, keep = _axes(writer, node)
        if len(axes) != 1:
            raise refusal(node, "along several axes")
        return [
            as_answer(
                writer,
                node,
                writer.add(operator, first_input(writer, node), axis=axes[0], keepdims=int(keep)),
            )
        ]

    return write


def _of_sizes(operator: str) -> Form:
    """Reduce what the numbers are without their signs."""

    def write(writer: Writer, node: Node) -> list[str]:
        axes, keep = _axes(writer, node)
        sizes = writer.add("Abs", first_input(writer, node))
        return [writer.add(operator, sizes, writer.constant(axes, np.int64), keepdims=int(keep))]

    return write


for _name, _operator in (
    ("reduce_norm_max", "ReduceMax"),
    ("reduce_amax", "ReduceMax"),
    ("reduce_amin", "ReduceMin"),
    ("asum", "ReduceSum"),
    ("amean", "ReduceMean"),
):
    FORMS[_name] = _of_sizes(_operator)


def _truth(operator: str) -> Form:
    """Tell whether any, or all, are not 0: the largest, or the smallest, as numbers."""

    def write(writer: Writer, node: Node) -> list[str]:
        axes, keep = _axes(writer, node)
        numbers = writer.cast(writer.cast(first_input(writer, node), np.bool_), np.int32)
        found = writer.add(operator, numbers, writer.constant(axes, np.int64), keepdims=int(keep))
        return [writer.cast(found, writer.sample(Address(node.id)).dtype)]

    return write


FORMS["any"] = _truth("ReduceMax")
FORMS["all"] = _truth("ReduceMin")


@form("count_non_zero")
def _count_non_zero(writer: Writer, node: Node) -> list[str]:
    axes, keep = _axes(writer, node)
    ones = writer.cast(writer.cast(first_input(writer, node), np.bool_), np.int64)
    count = writer.add("ReduceSum", ones, writer.constant(axes, np.int64), keepdims=int(keep))
    return [writer.cast(count, writer.sample(Address(node.id)).dtype)]


def _spread(writer: Writer, node: Node, *, corrected: bool) -> tuple[str, str]:
    """Return the mean and the variance; corrected for bias, it is divided by one less, but not by 0."""
    axes, keep = _axes(writer, node)
    if writer.sample(node.inputs[0]).dtype.kind != "f" or not axes:
        raise refusal(node, "of what is no float, or over no axes")
    x, named = first_input(writer, node), writer.constant(axes, np.int64)
    centred = writer.add("Sub", x, writer.add("ReduceMean", x, named))
    squares = writer.add("Mul", centred, centred)
    mean = writer.add("ReduceMean", x, named, keepdims=int(keep))
    if not corrected:
        return mean, writer.add("ReduceMean", squares, named, keepdims=int(keep))
    total = writer.add("ReduceSum", squares, named, keepdims=int(keep))
    sizes = writer.add("Gather", writer.add("Shape", x), named)
    count = writer.add("ReduceProd", sizes, keepdims=0)
    one = writer.constant(1, np.int64)
    less = writer.add("Max", writer.add("Sub", count, one), one)
    return mean, writer.add("Div", total, writer.cast(less, writer.sample(node.inputs[0]).dtype))


@form("variance", "stdev")
def _legacy_variance(writer: Writer, node: Node) -> list[str]:
    _, variance = _spread(writer, node, corrected=bool(node.arguments.number(0, 1.0)))
    return [_root(writer, node, variance)]


@form("reduce_variance", "reduce_stdev")
def _variance(writer: Writer, node: Node) -> list[str]:
    corrected = node.arguments.flag(1) or bool(node.arguments.number(1, 0.0))
    return [_root(writer, node, _spread(writer, node, corrected=corrected)[1])]


def _root(writer: Writer, node: Node, variance: str) -> str:
    is_deviation = node.operation is not None and node.operation.name.endswith("stdev")
    return writer.add("Sqrt", variance) if is_deviation else variance


@form("moments")
def _moments(writer: Writer, node: Node) -> list[str]:
    return list(_spread(writer, node, corrected=False))


@form("cumsum")
def _cumsum(writer: Writer, node: Node) -> list[str]:
    arguments = node.arguments
    wanted = writer.integers(node, 1) if len(node.inputs) > 1 else arguments.i[2:] or arguments.dimensions
    if len(wanted) != 1:
        raise refusal(node, "along no axis, or several")
    axis = writer.constant(wanted[0], np.int64)
    how = {"exclusive": int(arguments.integer(0, 0) != 0), "reverse": int(arguments.integer(1, 0) != 0)}
    return [writer.add("CumSum", first_input(writer, node), axis, **how)]


FORMS["argmax"] = _position("ArgMax")
FORMS["argmin"] = _position("ArgMin")
