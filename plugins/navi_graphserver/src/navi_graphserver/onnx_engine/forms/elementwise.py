"""ONNX forms of what is computed element by element from one array."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from navi_graphserver.onnx_engine.forms.table import FORMS, Form, first_input, form, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.plan import Node

_UNARY: Final = {
    "abs": "Abs",
    "sign": "Sign",
    "neg": "Neg",
    "ceil": "Ceil",
    "floor": "Floor",
    "rint": "Round",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "tanh": "Tanh",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "asinh": "Asinh",
    "acosh": "Acosh",
    "atanh": "Atanh",
    "erf": "Erf",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "identity": "Identity",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "not": "Not",
}


def _unary(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        kind = writer.sample(node.inputs[0]).dtype.kind
        if operator == "Not" and kind != "b":
            raise refusal(node, "the opposite of what is no bool")
        if operator not in ("Identity", "Abs", "Neg", "Sign", "Not") and kind != "f":
            raise refusal(node, "of what is no float")
        return [writer.add(operator, first_input(writer, node))]

    return write


for _name, _operator in _UNARY.items():
    FORMS[_name] = _unary(_operator)


@form("square")
def _square(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    return [writer.add("Mul", x, x)]


@form("cube")
def _cube(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    return [writer.add("Mul", writer.add("Mul", x, x), x)]


@form("one_minus")
def _one_minus(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Sub", writer.like(1, node.inputs[0]), first_input(writer, node))]


@form("rsqrt")
def _rsqrt(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Reciprocal", writer.add("Sqrt", first_input(writer, node)))]


@form("log1p")
def _log1p(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Log", writer.add("Add", first_input(writer, node), writer.like(1, node.inputs[0])))]


@form("swish")
def _swish(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    return [writer.add("Mul", x, writer.add("Sigmoid", x))]


@form("mish")
def _mish(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    return [writer.add("Mul", x, writer.add("Tanh", writer.add("Softplus", x)))]


@form("gelu")
def _gelu(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    scaled = writer.add("Mul", x, writer.like(1.702, node.inputs[0]))
    return [writer.add("Mul", x, writer.add("Sigmoid", scaled))]


@form("hardsigmoid")
def _hard_sigmoid(writer: Writer, node: Node) -> list[str]:
    return [writer.add("HardSigmoid", first_input(writer, node), alpha=0.2, beta=0.5)]


@form("selu")
def _selu(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Selu", first_input(writer, node))]


def known_number(writer: Writer, node: Node, default: float) -> float:
    """Return the second operand of a SCALAR operation, which has to be known."""
    if len(node.inputs) > 1:
        known = writer.known(node.inputs[1])
        if known is None or known.size != 1:
            raise refusal(node, "its second operand changes from run to run")
        return float(known.ravel()[0])
    if node.arguments.t:
        return node.arguments.t[0]
    return default if node.arguments.scalar is None else float(node.arguments.scalar.ravel()[0])


@form("relu")
def _relu(writer: Writer, node: Node) -> list[str]:
    cutoff = known_number(writer, node, 0.0)
    if cutoff == 0:
        return [writer.add("Relu", first_input(writer, node))]
    return [writer.add("Max", first_input(writer, node), writer.like(cutoff, node.inputs[0]))]


@form("relu6")
def _relu6(writer: Writer, node: Node) -> list[str]:
    low = writer.like(known_number(writer, node, 0.0), node.inputs[0])
    return [writer.add("Clip", first_input(writer, node), low, writer.like(6, node.inputs[0]))]


@form("lrelu")
def _leaky_relu(writer: Writer, node: Node) -> list[str]:
    return [writer.add("LeakyRelu", first_input(writer, node), alpha=known_number(writer, node, 0.01))]


@form("elu")
def _elu(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Elu", first_input(writer, node), alpha=known_number(writer, node, 1.0))]


@form("clipbyvalue")
def _clip(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) > 1:
        raise refusal(node, "its limits are inputs")
    low, high = (writer.like(each, node.inputs[0]) for each in node.arguments.t[:2])
    return [writer.add("Clip", first_input(writer, node), low, high)]


@form("hardtanh")
def _hard_tanh(writer: Writer, node: Node) -> list[str]:
    limits = (writer.like(each, node.inputs[0]) for each in (-1, 1))
    return [writer.add("Clip", first_input(writer, node), *limits)]


@form("logsigmoid")
def _log_sigmoid(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    return [writer.add("Neg", writer.add("Softplus", writer.add("Neg", x)))]


@form("rectifiedtanh")
def _rectified_tanh(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Relu", writer.add("Tanh", first_input(writer, node)))]


@form("times_one_minus")
def _times_one_minus(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    return [writer.add("Mul", x, writer.add("Sub", writer.like(1, node.inputs[0]), x))]


@form("erfc")
def _erfc(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Sub", writer.like(1, node.inputs[0]), writer.add("Erf", first_input(writer, node)))]


@form("expm1")
def _expm1(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Sub", writer.add("Exp", first_input(writer, node)), writer.like(1, node.inputs[0]))]


@form("round")
def _round(writer: Writer, node: Node) -> list[str]:
    """Round halves away from zero; ONNX's own rounds them to even numbers."""
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "of what is no float")
    x = first_input(writer, node)
    half = writer.add("Add", writer.add("Abs", x), writer.like(0.5, node.inputs[0]))
    return [writer.add("Mul", writer.add("Sign", x), writer.add("Floor", half))]


@form("precise_gelu")
def _precise_gelu(writer: Writer, node: Node) -> list[str]:
    x, like = first_input(writer, node), node.inputs[0]
    cubed = writer.add("Mul", writer.add("Mul", writer.add("Mul", x, x), x), writer.like(0.044715, like))
    inner = writer.add("Mul", writer.add("Add", x, cubed), writer.like(math.sqrt(2 / math.pi), like))
    factor = writer.add("Add", writer.add("Tanh", inner), writer.like(1, like))
    return [writer.add("Mul", writer.add("Mul", x, writer.like(0.5, like)), factor)]


@form("prelu")
def _prelu(writer: Writer, node: Node) -> list[str]:
    x, alpha = (writer.sample(each) for each in node.inputs)
    shape = [1 if axis + 1 in node.arguments.i else size for axis, size in enumerate(x.shape[1:])]
    if alpha.size != math.prod(shape):
        raise refusal(node, "slopes of another shape")
    slopes = writer.add("Reshape", first_input(writer, node, 1), writer.constant(shape, np.int64))
    return [writer.add("PRelu", first_input(writer, node), slopes)]


@form("thresholdedrelu")
def _thresholded_relu(writer: Writer, node: Node) -> list[str]:
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "of what is no float")
    return [writer.add("ThresholdedRelu", first_input(writer, node), alpha=node.arguments.number(0, 0.0))]


@form("crelu")
def _crelu(writer: Writer, node: Node) -> list[str]:
    x = first_input(writer, node)
    return [writer.add("Relu", writer.add("Concat", x, writer.add("Neg", x), axis=-1))]


@form("step")
def _step(writer: Writer, node: Node) -> list[str]:
    cutoff = writer.like(known_number(writer, node, 0.0), node.inputs[0])
    above = writer.add("Greater", first_input(writer, node), cutoff)
    return [writer.cast(above, writer.sample(node.inputs[0]).dtype)]


@form("replace_nans")
def _replace_nans(writer: Writer, node: Node) -> list[str]:
    x, number = first_input(writer, node), writer.like(known_number(writer, node, 0.0), node.inputs[0])
    return [writer.add("Where", writer.add("IsNaN", x), number, x)]
