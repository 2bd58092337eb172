"""ONNX forms of what moves elements and leaves them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.forms.table import FORMS, Form, first_input, form, places, refusal
from navi_graphserver.onnx_engine.writing import Writer
from navi_graphserver.operations.shapes import CASTS, numpy_dtype
from navi_graphserver.plan import Node


@form("reshape")
def _reshape(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) > 1:
        if writer.known(node.inputs[1]) is None:
            return [
                writer.add("Reshape", first_input(writer, node), writer.as_int64(node.inputs[1]), allowzero=1)
            ]
        wanted: Sequence[int] = writer.integers(node, 1)
        orders: tuple[int, ...] = (-99, -102)
    else:
        wanted, orders = node.arguments.i, (-99, -102, 99)
    if wanted and wanted[0] in orders:
        wanted = wanted[1:]
    shape = writer.constant([-1 if size < 0 else size for size in wanted], np.int64)
    return [writer.add("Reshape", first_input(writer, node), shape, allowzero=int(0 in wanted))]


@form("transpose", "permute")
def _transpose(writer: Writer, node: Node) -> list[str]:
    order = writer.integers(node, 1) if len(node.inputs) > 1 else list(node.arguments.i)
    rank = writer.sample(node.inputs[0]).ndim
    return [writer.add("Transpose", first_input(writer, node), perm=order or list(reversed(range(rank))))]


@form("expand_dims")
def _expand_dims(writer: Writer, node: Node) -> list[str]:
    axis = node.arguments.i[0] if node.arguments.i else writer.integers(node, 1)[0]
    return [writer.add("Unsqueeze", first_input(writer, node), writer.constant([axis], np.int64))]


@form("squeeze")
def _squeeze(writer: Writer, node: Node) -> list[str]:
    axes = writer.integers(node, 1) if len(node.inputs) > 1 else list(node.arguments.i)
    if not axes:
        raise refusal(node, "of axes that nobody names")
    return [writer.add("Squeeze", first_input(writer, node), writer.constant(axes, np.int64))]


@form("concat")
def _concat(writer: Writer, node: Node) -> list[str]:
    inputs, axis = node.inputs, node.arguments.integer(0, 0)
    if node.arguments.flag(0):
        inputs, axis = inputs[:-1], writer.integers(node, len(inputs) - 1)[0]
    if any(writer.sample(each).ndim == 0 or not writer.sample(each).size for each in inputs):
        raise refusal(node, "of scalars, or of nothing")
    return [writer.add("Concat", *(writer.name(each) for each in inputs), axis=axis)]


@form("stack")
def _stack(writer: Writer, node: Node) -> list[str]:
    axis = node.arguments.integer(0, 0)
    parts = [
        writer.add("Unsqueeze", writer.name(each), writer.constant([axis], np.int64)) for each in node.inputs
    ]
    return [writer.add("Concat", *parts, axis=axis)]


@form("split")
def _split(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) > 1:
        raise refusal(node, "along an axis that is an input")
    count = node.arguments.integer(0, 1)
    return writer.add_many(
        "Split", [first_input(writer, node)], count, axis=node.arguments.integer(1, 0), num_outputs=count
    )


@form("tile")
def _tile(writer: Writer, node: Node) -> list[str]:
    repeats = writer.integers(node, 1) if len(node.inputs) > 1 else list(node.arguments.i)
    return [writer.add("Tile", first_input(writer, node), writer.constant(repeats, np.int64))]


@form("pad")
def _pad(writer: Writer, node: Node) -> list[str]:
    if node.arguments.integer(0, 0) not in (0, 1):
        raise refusal(node, "symmetric")
    mode = ("constant", "reflect")[node.arguments.integer(0, 0)]
    sides = np.array(writer.integers(node, 1)).reshape(-1, 2)
    value = (
        first_input(writer, node, 2)
        if len(node.inputs) > 2
        else writer.like(node.arguments.number(0, 0.0), node.inputs[0])
    )
    if len(node.inputs) > 2 and writer.sample(node.inputs[2]).ndim:
        raise refusal(node, "with a value that is no scalar")
    return [
        writer.add(
            "Pad", first_input(writer, node), writer.constant(sides.T.ravel(), np.int64), value, mode=mode
        )
    ]


@form("gather")
def _gather(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) < 2:
        raise refusal(node, "with indices of its own")
    axis = writer.integers(node, 2)[0] if len(node.inputs) > 2 else node.arguments.integer(0, 0)
    return [writer.add("Gather", first_input(writer, node), places(writer, node.inputs[1]), axis=axis)]


@form("shape_of")
def _shape_of(writer: Writer, node: Node) -> list[str]:
    return [
        writer.cast(writer.add("Shape", first_input(writer, node)), writer.sample(Address(node.id)).dtype)
    ]


@form("cast")
def _cast(writer: Writer, node: Node) -> list[str]:
    if node.arguments.is_gen1:
        return [writer.add("Identity", first_input(writer, node))]
    number = node.arguments.d[0] if node.arguments.d else node.arguments.i[0]
    return [writer.cast(first_input(writer, node), numpy_dtype(number))]


@form("strided_slice")
def _strided_slice(writer: Writer, node: Node) -> list[str]:
    """Slice with begins, ends and strides that are known; no ellipsis, no new axes."""
    begin_mask, ellipsis, end_mask, new_axes, shrink = (*node.arguments.i[:5], 0, 0, 0, 0, 0)[:5]
    if ellipsis or new_axes:
        raise refusal(node, "with an ellipsis, or new axes")
    if len(node.inputs) > 1:
        begins, ends, strides = (writer.integers(node, place) for place in (1, 2, 3))
    else:
        numbers = list(node.arguments.i[5:])
        count = len(numbers) // 3
        begins, ends, strides = (numbers[start * count : (start + 1) * count] for start in range(3))
    most = np.iinfo(np.int64).max
    starts, stops, dropped = [], [], []
    for place, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << place
        if shrink & bit:
            dropped.append(place)
            starts.append(begin)
            stops.append(begin + 1 if begin != -1 else most)
            continue
        starts.append((0 if stride > 0 else most) if begin_mask & bit else begin)
        stops.append((most if stride > 0 else -most) if end_mask & bit else end)
    steps = [1 if place in dropped else stride for place, stride in enumerate(strides)]
    axes = list(range(len(starts)))
    bounds = [writer.constant(each, np.int64) for each in (starts, stops, axes, steps)]
    sliced = writer.add("Slice", first_input(writer, node), *bounds)
    return [writer.add("Squeeze", sliced, writer.constant(dropped, np.int64)) if dropped else sliced]


@form("flatten_2d")
def _flatten_2d(writer: Writer, node: Node) -> list[str]:
    rank = writer.sample(node.inputs[0]).ndim
    return [writer.add("Flatten", first_input(writer, node), axis=node.arguments.integer(0, 1) % (rank + 1))]


@form("flatten")
def _flatten(writer: Writer, node: Node) -> list[str]:
    if node.arguments.integer(0, 99) == ord("f"):
        raise refusal(node, "column by column")
    shape = writer.constant([-1], np.int64)
    parts = [writer.add("Reshape", writer.name(each), shape) for each in node.inputs]
    return [writer.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]]


@form("reshape_as")
def _reshape_as(writer: Writer, node: Node) -> list[str]:
    shape = writer.add("Shape", first_input(writer, node, 1))
    return [writer.add("Reshape", first_input(writer, node), shape, allowzero=1)]


@form("broadcast_to")
def _broadcast_to(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Expand", first_input(writer, node), writer.as_int64(node.inputs[1]))]


@form("assign")
def _assign(writer: Writer, node: Node) -> list[str]:
    """Answer the second value in the first one's shape and type."""
    if len(node.inputs) == 1:
        return [writer.add("Identity", first_input(writer, node))]
    shape = writer.add("Shape", first_input(writer, node))
    value = writer.cast(first_input(writer, node, 1), writer.sample(node.inputs[0]).dtype)
    return [writer.add("Expand", value, shape)]


@form("identity_n")
def _identity_n(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Identity", writer.name(each)) for each in node.inputs]


@form("unstack")
def _unstack(writer: Writer, node: Node) -> list[str]:
    """Split into as many parts as there are: the axis must not be one that changes with the rows."""
    axis = node.arguments.integer(0, 0) % writer.sample(node.inputs[0]).ndim
    if axis == 0:
        raise refusal(node, "along the rows")
    count = writer.sample(node.inputs[0]).shape[axis]
    x = first_input(writer, node)
    parts = writer.add_many("Split", [x], count, axis=axis, num_outputs=count) if count > 1 else [x]
    return [writer.add("Squeeze", each, writer.constant([axis], np.int64)) for each in parts]


@form("split_v")
def _split_by_sizes(writer: Writer, node: Node) -> list[str]:
    sizes = writer.integers(node, 1)
    if -1 in sizes:
        raise refusal(node, "into a part of what is left")
    axis = writer.integers(node, 2)[0] if len(node.inputs) > 2 else node.arguments.integer(0, 0)
    inputs = [first_input(writer, node), writer.constant(sizes, np.int64)]
    return writer.add_many("Split", inputs, len(sizes), axis=axis)


@form("mirror_pad")
def _mirror_pad(writer: Writer, node: Node) -> list[str]:
    if node.arguments.integer(0, 0):
        raise refusal(node, "symmetric")
    sides = np.array(writer.integers(node, 1)).reshape(-1, 2).T.ravel()
    return [writer.add("Pad", first_input(writer, node), writer.constant(sides, np.int64), mode="reflect")]


def _cast_to(dtype: Any) -> Form:
    return lambda writer, node: [writer.cast(first_input(writer, node), dtype)]


for _name, _dtype in CASTS.items():
    FORMS[_name] = _cast_to(_dtype)
