"""ONNX forms of products of matrices."""

from __future__ import annotations

import string

import numpy as np

from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.forms.table import first_input, form, refusal
from navi_graphserver.onnx_engine.writing import Writer
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


@form("relu_layer")
def _relu_layer(writer: Writer, node: Node) -> list[str]:
    made = writer.add("Gemm", *(writer.name(each) for each in node.inputs))
    return [writer.add("Max", made, writer.like(node.arguments.number(0, 0.0), node.inputs[0]))]


@form("tensormmul")
def _tensor_product(writer: Writer, node: Node) -> list[str]:
    """Say the axes by letters: those that are summed over have one in common."""
    a, b = (writer.sample(each) for each in node.inputs)
    numbers, count = node.arguments.i, node.arguments.i[0]
    a_axes = [axis % a.ndim for axis in numbers[1 : 1 + count]]
    b_axes = [axis % b.ndim for axis in numbers[2 + count : 2 + count + numbers[1 + count]]]
    if a.ndim + b.ndim > len(string.ascii_lowercase) or a.dtype.kind != "f":
        raise refusal(node, "of so many axes, or of what is no float")
    a_letters = list(string.ascii_lowercase[: a.ndim])
    b_letters = list(string.ascii_lowercase[a.ndim : a.ndim + b.ndim])
    for one, other in zip(a_axes, b_axes, strict=True):
        b_letters[other] = a_letters[one]
    kept = [letter for axis, letter in enumerate(a_letters) if axis not in a_axes]
    kept += [letter for axis, letter in enumerate(b_letters) if axis not in b_axes]
    equation = f"{''.join(a_letters)},{''.join(b_letters)}->{''.join(kept)}"
    return [writer.add("Einsum", *(writer.name(each) for each in node.inputs), equation=equation)]
