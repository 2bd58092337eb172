"""ONNX forms of what is computed over axes."""

from __future__ import annotations

from typing import Final

import numpy as np

from navi_graphserver.onnx_engine.forms.table import FORMS, Form, as_answer, first_input, refusal
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


FORMS["argmax"] = _position("ArgMax")
FORMS["argmin"] = _position("ArgMin")
