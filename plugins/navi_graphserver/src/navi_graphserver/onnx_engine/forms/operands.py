"""ONNX forms of what is computed element by element from two arrays and more."""

from __future__ import annotations

from typing import Final

from navi_graphserver.onnx_engine.forms.elementwise import known_number
from navi_graphserver.onnx_engine.forms.table import FORMS, Form, as_answer, first_input, form, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.plan import Node

_BINARY: Final = {
    "add": ("Add", False),
    "subtract": ("Sub", False),
    "multiply": ("Mul", False),
    "divide": ("Div", False),
    "reversesubtract": ("Sub", True),
    "reversedivide": ("Div", True),
    "maximum": ("Max", False),
    "minimum": ("Min", False),
    "pow": ("Pow", False),
}
_COMPARE: Final = {
    "equals": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "boolean_and": "And",
    "boolean_or": "Or",
    "boolean_xor": "Xor",
}


def _operands(writer: Writer, node: Node) -> tuple[str, str]:
    """Return two operands of one type."""
    if node.aligned_axes and writer.sample(node.inputs[0]).ndim != writer.sample(node.inputs[1]).ndim:
        raise refusal(node, "its second operand lies along some axes of the first")
    if len(node.inputs) == 1:
        return first_input(writer, node), writer.like(known_number(writer, node, 0.0), node.inputs[0])
    x, y = (writer.sample(each) for each in node.inputs[:2])
    if x.dtype != y.dtype:
        raise refusal(node, "operands of two types")
    return first_input(writer, node), first_input(writer, node, 1)


def _binary(operator: str, *, is_reversed: bool) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        if operator == "Div" and writer.sample(node.inputs[0]).dtype.kind != "f":
            raise refusal(node, "a division of integers")
        x, y = _operands(writer, node)
        return [writer.add(operator, *((y, x) if is_reversed else (x, y)))]

    return write


def _comparison(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        x, y = _operands(writer, node)
        if (operator in ("And", "Or", "Xor")) != (writer.sample(node.inputs[0]).dtype.kind == "b"):
            raise refusal(node, "operands of another type")
        return [as_answer(writer, node, writer.add(operator, x, y))]

    return write


for _name, (_operator, _is_reversed) in _BINARY.items():
    FORMS[_name] = _binary(_operator, is_reversed=_is_reversed)
for _name, _operator in _COMPARE.items():
    FORMS[_name] = _comparison(_operator)


@form("not_equals")
def _not_equals(writer: Writer, node: Node) -> list[str]:
    return [as_answer(writer, node, writer.add("Not", writer.add("Equal", *_operands(writer, node))))]


@form("squaredsubtract")
def _squared_difference(writer: Writer, node: Node) -> list[str]:
    difference = writer.add("Sub", *_operands(writer, node))
    return [writer.add("Mul", difference, difference)]


@form("select")
def _select(writer: Writer, node: Node) -> list[str]:
    condition, x = (writer.sample(each) for each in node.inputs[:2])
    if condition.dtype.kind != "b" or (condition.ndim == 1 and x.ndim > 1):
        raise refusal(node, "conditions that choose rows")
    return [writer.add("Where", *(writer.name(each) for each in node.inputs))]


@form("mergeadd")
def _sum(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Sum", *(writer.name(each) for each in node.inputs))]


@form("floordiv")
def _floor_division(writer: Writer, node: Node) -> list[str]:
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "a division of integers")
    return [writer.add("Floor", writer.add("Div", *_operands(writer, node)))]


@form("floormod")
def _floor_remainder(writer: Writer, node: Node) -> list[str]:
    """Return what is left, with the sign of the second operand."""
    x, y = _operands(writer, node)
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "a division of integers")
    whole = writer.add("Floor", writer.add("Div", x, y))
    return [writer.add("Sub", x, writer.add("Mul", whole, y))]


@form("mod", "fmod")
def _remainder(writer: Writer, node: Node) -> list[str]:
    """Return what is left, with the sign of the first operand, as C does."""
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "a division of integers")
    return [writer.add("Mod", *_operands(writer, node), fmod=1)]


@form("divide_no_nan")
def _divide_no_nan(writer: Writer, node: Node) -> list[str]:
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "a division of integers")
    x, y = _operands(writer, node)
    zero, one = writer.like(0, node.inputs[0]), writer.like(1, node.inputs[0])
    is_zero = writer.add("Equal", y, zero)
    return [writer.add("Where", is_zero, zero, writer.add("Div", x, writer.add("Where", is_zero, one, y)))]


@form("mergemax")
def _largest(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Max", *(writer.name(each) for each in node.inputs))]


@form("mergeavg")
def _average(writer: Writer, node: Node) -> list[str]:
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "of what is no float")
    return [writer.add("Mean", *(writer.name(each) for each in node.inputs))]
