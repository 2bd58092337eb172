"""ONNX's operators as SameDiff's operations: shapes, parts of arrays, and what is computed over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from navi_graphserver.export.onnx_values import OnnxNode, OnnxValues
from navi_graphserver.export.writer import ExportError
from navi_graphserver.flat.arrays import flat_dtype
from navi_graphserver.flat.records import Address

__all__ = ["SHAPES", "Translate"]

Translate = Callable[[OnnxValues, OnnxNode], list[Address]]

_C_ORDER: Final = -99
_FAR: Final = 2**31 - 1
_REDUCTIONS: Final = {
    "ReduceMean": "reduce_mean",
    "ReduceSum": "reduce_sum",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
    "ReduceL1": "reduce_norm1",
    "ReduceL2": "reduce_norm2",
    "ReduceSumSquare": "reduce_sqnorm",
    "ReduceLogSumExp": "reduce_logsumexp",
}


def _flatten(values: OnnxValues, node: OnnxNode) -> list[Address]:
    (axis,) = values.axes(node.inputs[0], (node.integer("axis", 1),))
    return [values.graph.add("flatten_2d", values.first(node), i_args=(axis,))]


def _reshape(values: OnnxValues, node: OnnxNode) -> list[Address]:
    x, graph = values.first(node), values.graph
    if "shape" not in node.attributes and node.inputs[1] not in values.arrays:
        if node.integer("allowzero", 0) == 0 and values.rank(node.inputs[0]) == 0:
            msg = "of a scalar to a shape that changes from run to run"
            raise ExportError(msg)
        return [graph.add("reshape", x, values.address(node.inputs[1]))]
    wanted = list(values.integers(node, 1, "shape") or ())
    made, given = values.shape(node.outputs[0]) or (), values.shape(node.inputs[0]) or ()
    kept = []
    for place, size in enumerate(wanted):
        if size == 0 and not node.integer("allowzero", 0):
            own = given[place] if place < len(given) else None
            wanted[place] = 0 if own is None else own
            kept += [place] if own is None else []
        elif size == -1 and place < len(made):
            wanted[place] = -1 if made[place] is None else int(made[place] or 0)
    if kept and len(kept) + wanted.count(-1) == 1:
        wanted[kept.pop()] = -1
    if not kept:
        return [graph.add("reshape", x, i_args=(_C_ORDER, *wanted))]
    shape = graph.add("shape_of", x)
    parts = [
        graph.add("gather", shape, graph.constant(np.array([place], np.int64), "place"))
        if place in kept
        else graph.constant(np.array([size], np.int64), "size")
        for place, size in enumerate(wanted)
    ]
    return [graph.add("reshape", x, graph.add("concat", *parts, i_args=(0,)))]


def _transpose(values: OnnxValues, node: OnnxNode) -> list[Address]:
    order = node.integers("perm", ()) or tuple(reversed(range(values.rank(node.inputs[0]))))
    return [values.graph.add("permute", values.first(node), i_args=order)]


def _unsqueeze(values: OnnxValues, node: OnnxNode) -> list[Address]:
    axes = values.integers(node, 1, "axes") or ()
    if len(axes) > 1 and min(axes) < 0:
        rank = values.rank(node.inputs[0]) + len(axes)
        axes = tuple(axis % rank for axis in axes)
    made = values.first(node)
    for axis in sorted(axes):
        made = values.graph.add("expand_dims", made, i_args=(axis,))
    return [made]


def _squeeze(values: OnnxValues, node: OnnxNode) -> list[Address]:
    axes = values.integers(node, 1, "axes")
    if axes is None:
        shape = values.shape(node.inputs[0])
        if shape is None or None in shape:
            msg = "of axes that nobody names, in a shape that is open"
            raise ExportError(msg)
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return [values.graph.add("squeeze", values.first(node), i_args=axes)]


def _concat(values: OnnxValues, node: OnnxNode) -> list[Address]:
    inputs = [values.address(each) for each in node.inputs]
    return [values.graph.add("concat", *inputs, i_args=(node.integer("axis", 0),))]


def _split(values: OnnxValues, node: OnnxNode) -> list[Address]:
    axis, sizes = node.integer("axis", 0), values.integers(node, 1, "split")
    x, count = values.first(node), len(node.outputs)
    if sizes is None:
        (place,) = values.axes(node.inputs[0], (axis,))
        shape = values.shape(node.inputs[0])
        size = None if shape is None else shape[place]
        if size is None or size % count:
            msg = f"of {size} elements into {count} parts"
            raise ExportError(msg)
        made = values.graph.add("split", x, i_args=(count, axis))
    else:
        parts = values.graph.constant(np.array(sizes, np.int32), "sizes")
        made = values.graph.add("split_v", x, parts, i_args=(axis,))
    return [Address(made.node, place) for place in range(count)]


def _slice(values: OnnxValues, node: OnnxNode) -> list[Address]:
    """Slice from begin to end in steps; where an end is the array's, a bit of a mask says so."""
    starts, ends = values.integers(node, 1, "starts") or (), values.integers(node, 2, "ends") or ()
    axes = values.integers(node, 3, "axes") or tuple(range(len(starts)))
    steps = values.integers(node, 4, "steps") or (1,) * len(starts)
    axes = values.axes(node.inputs[0], axes)
    if not axes:
        return [values.first(node)]
    count = max(axes) + 1
    begin, end, stride = [0] * count, [0] * count, [1] * count
    begin_mask = end_mask = (1 << count) - 1
    for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True):
        bit = 1 << axis
        stride[axis] = step
        if abs(start) < _FAR:
            begin[axis], begin_mask = start, begin_mask & ~bit
        if abs(stop) < _FAR:
            end[axis], end_mask = stop, end_mask & ~bit
    numbers = (begin_mask, 0, end_mask, 0, 0, *begin, *end, *stride)
    return [values.graph.add("strided_slice", values.first(node), i_args=numbers)]


def _gather(values: OnnxValues, node: OnnxNode) -> list[Address]:
    axis = node.integer("axis", 0)
    indices = values.address(node.inputs[1])
    known = values.arrays.get(node.inputs[1])
    if known is not None and np.any(known < 0):
        shape = values.shape(node.inputs[0])
        size = None if shape is None else shape[axis]
        if size is None:
            msg = "an index from the end of an open dimension"
            raise ExportError(msg)
        indices = values.graph.constant(np.where(known < 0, known + size, known), "indices")
    return [values.graph.add("gather", values.first(node), indices, i_args=(axis,))]


def _pad(values: OnnxValues, node: OnnxNode) -> list[Address]:
    modes = {"constant": 0, "reflect": 1}
    mode = node.text("mode", "constant")
    sides = values.integers(node, 1, "pads" if "pads" in node.attributes else "paddings") or ()
    if mode not in modes or min(sides, default=0) < 0:
        msg = f"the mode '{mode}', or sides that are cut off: {list(sides)}"
        raise ExportError(msg)
    value = float(values.known(node, 2).ravel()[0]) if node.has(2) else node.number("value", 0.0)
    pairs = np.array(sides, np.int32).reshape(2, -1).T
    if node.has(3):
        axes = values.axes(node.inputs[0], values.integers(node, 3) or ())
        everything = np.zeros((values.rank(node.inputs[0]), 2), np.int32)
        everything[list(axes)] = pairs
        pairs = everything
    numbers = {"i_args": (modes[mode],), "t_args": (value,)}
    return [values.graph.add("pad", values.first(node), values.graph.constant(pairs, "sides"), **numbers)]


def _shape(values: OnnxValues, node: OnnxNode) -> list[Address]:
    if node.integer("start", 0) or "end" in node.attributes:
        msg = "of some axes only"
        raise ExportError(msg)
    return [values.graph.add("shape_of", values.first(node))]


def _cast(values: OnnxValues, node: OnnxNode) -> list[Address]:
    from onnx import helper  # noqa: PLC0415 - an extra

    try:
        dtype = flat_dtype(np.empty(0, helper.tensor_dtype_to_np_dtype(node.integer("to", 0))))
    except (KeyError, ValueError):
        msg = f"to ONNX's type {node.integer('to', 0)}"
        raise ExportError(msg) from None
    return [values.graph.add("cast", values.first(node), i_args=(int(dtype),))]


def _reduction(operation: str) -> Translate:
    def translate(values: OnnxValues, node: OnnxNode) -> list[Address]:
        axes = values.integers(node, 1, "axes") or ()
        if not axes and node.integer("noop_with_empty_axes", 0):
            return [values.first(node)]
        keep = bool(node.integer("keepdims", 1))
        return [values.graph.add(operation, values.first(node), i_args=axes, b_args=(keep,))]

    return translate


def _position(operation: str) -> Translate:
    def translate(values: OnnxValues, node: OnnxNode) -> list[Address]:
        if node.integer("select_last_index", 0):
            msg = "the last place of several"
            raise ExportError(msg)
        axes, keep = (node.integer("axis", 0),), bool(node.integer("keepdims", 1))
        return [values.graph.add(operation, values.first(node), i_args=axes, b_args=(keep,))]

    return translate


def _upsample(values: OnnxValues, node: OnnxNode) -> list[Address]:
    """Repeat rows and columns: nearest neighbours, at whole numbers."""
    place = 2 if node.operator == "Resize" and node.opset >= 11 else 1
    factors = np.ravel(values.known(node, place)) if node.has(place) else np.empty(0)
    rule = (
        node.text("coordinate_transformation_mode", "half_pixel"),
        node.text("nearest_mode", "round_prefer_floor"),
    )
    if node.operator == "Upsample" or node.opset < 11:
        rule = ("asymmetric", "floor")
    repeats = rule in (("half_pixel", "round_prefer_floor"), ("asymmetric", "floor"))
    whole = factors.size == 4 and np.all(factors == np.round(factors)) and np.all(factors[:2] == 1)
    if node.text("mode", "nearest") != "nearest" or not repeats or not whole or np.any(factors < 1):
        msg = "anything but nearest neighbours, two axes, whole numbers of times"
        raise ExportError(msg)
    rows, columns = (int(each) for each in factors[2:])
    return [values.graph.add("upsampling2d", values.first(node), i_args=(rows, columns, 1))]


SHAPES: Final[dict[str, Translate]] = {
    "ArgMax": _position("argmax"),
    "ArgMin": _position("argmin"),
    "Cast": _cast,
    "Concat": _concat,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _upsample,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _upsample,
    **{operator: _reduction(operation) for operator, operation in _REDUCTIONS.items()},
}
"""Operator -> what writes it."""
