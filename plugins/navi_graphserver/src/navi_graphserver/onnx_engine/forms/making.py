"""ONNX forms of what is made out of sizes and numbers, and of parts of arrays by place."""

from __future__ import annotations

import numpy as np

from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.forms.table import first_input, form, places, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.plan import Node


def _expanded(writer: Writer, node: Node, value: float, shape: str) -> list[str]:
    """Return one number in a shape, of the type of the node's answer."""
    return [writer.add("Expand", writer.like(value, Address(node.id)), shape)]


@form("zeros_as")
def _zeros_as(writer: Writer, node: Node) -> list[str]:
    return _expanded(writer, node, 0, writer.add("Shape", first_input(writer, node)))


@form("ones_as", "ones")
def _ones_as(writer: Writer, node: Node) -> list[str]:
    return _expanded(writer, node, 1, writer.add("Shape", first_input(writer, node)))


@form("fill_as")
def _fill_as(writer: Writer, node: Node) -> list[str]:
    value = node.arguments.t[0] if node.arguments.t else node.arguments.i[0]
    return _expanded(writer, node, value, writer.add("Shape", first_input(writer, node)))


@form("fill")
def _fill(writer: Writer, node: Node) -> list[str]:
    shape = writer.as_int64(node.inputs[0])
    if len(node.inputs) == 1:
        value = node.arguments.t[0] if node.arguments.t else node.arguments.i[0]
        return _expanded(writer, node, value, shape)
    own = writer.cast(first_input(writer, node, 1), writer.sample(Address(node.id)).dtype)
    scalar = writer.add("Reshape", own, writer.constant([], np.int64))
    return [writer.add("Expand", scalar, shape)]


@form("onehot")
def _one_hot(writer: Writer, node: Node) -> list[str]:
    arguments = node.arguments
    depth = writer.integers(node, 1)[0] if len(node.inputs) > 1 else arguments.integer(1, 0)
    off, on = arguments.number(1, 0.0), arguments.number(0, 1.0)
    if len(node.inputs) > 3:
        limits = [known for each in node.inputs[2:4] if (known := writer.known(each)) is not None]
        if len(limits) != 2:
            raise refusal(node, "its values change from run to run")
        on, off = (np.ravel(each)[0] for each in limits)
    values = writer.constant([off, on], writer.sample(Address(node.id)).dtype)
    hot = writer.constant(depth, np.int64)
    # ONNX counts negative indices from the end; here, nothing is hot
    indices = writer.as_int64(node.inputs[0])
    outside = writer.add("Less", indices, writer.constant(0, np.int64))
    indices = writer.add("Where", outside, hot, indices)
    return [writer.add("OneHot", indices, hot, values, axis=arguments.integer(0, -1))]


@form("size")
def _size(writer: Writer, node: Node) -> list[str]:
    size = writer.add("Size", first_input(writer, node))
    return [writer.cast(size, writer.sample(Address(node.id)).dtype)]


@form("rank")
def _rank(writer: Writer, node: Node) -> list[str]:
    return [writer.like(writer.sample(node.inputs[0]).ndim, Address(node.id))]


@form("size_at")
def _size_at(writer: Writer, node: Node) -> list[str]:
    shape = writer.add("Shape", first_input(writer, node))
    size = writer.add("Gather", shape, writer.constant(node.arguments.integer(0, 0), np.int64))
    return [writer.cast(size, writer.sample(Address(node.id)).dtype)]


@form("slice")
def _slice(writer: Writer, node: Node) -> list[str]:
    rank = writer.sample(node.inputs[0]).ndim
    if len(node.inputs) > 2:
        begins, sizes = writer.integers(node, 1), writer.integers(node, 2)
    else:
        begins, sizes = list(node.arguments.i[:rank]), list(node.arguments.i[rank : 2 * rank])
    most = np.iinfo(np.int64).max
    if any(size < -1 for size in sizes) or any(begin < 0 for begin in begins):
        raise refusal(node, "backwards")
    ends = [most if size == -1 else begin + size for begin, size in zip(begins, sizes, strict=True)]
    bounds = [writer.constant(each, np.int64) for each in (begins, ends, range(rank))]
    return [writer.add("Slice", first_input(writer, node), *bounds)]


@form("gather_nd")
def _gather_nd(writer: Writer, node: Node) -> list[str]:
    return [writer.add("GatherND", first_input(writer, node), places(writer, node.inputs[1]))]


@form("scatter_nd_update")
def _scatter_nd_update(writer: Writer, node: Node) -> list[str]:
    return [_scattered(writer, node, "none")]


@form("scatter_nd_add")
def _scatter_nd_add(writer: Writer, node: Node) -> list[str]:
    return [_scattered(writer, node, "add")]


def _scattered(writer: Writer, node: Node, reduction: str) -> str:
    dtype = writer.sample(node.inputs[0]).dtype
    if writer.sample(node.inputs[2]).dtype != dtype:
        raise refusal(node, "updates of another type")
    indices = places(writer, node.inputs[1])
    x, updates = first_input(writer, node), first_input(writer, node, 2)
    return writer.add("ScatterND", x, indices, updates, reduction=reduction)


@form("top_k")
def _top_k(writer: Writer, node: Node) -> list[str]:
    count = writer.integers(node, 1)[0] if len(node.inputs) > 1 else node.arguments.integer(0, 1)
    if writer.sample(node.inputs[0]).dtype.kind != "f":
        raise refusal(node, "of what is no float")
    number = writer.constant([count], np.int64)
    return writer.add_many("TopK", [first_input(writer, node), number], 2)
