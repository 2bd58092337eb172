"""ONNX forms of what is computed element by element from one array."""

from __future__ import annotations

from typing import Final

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
