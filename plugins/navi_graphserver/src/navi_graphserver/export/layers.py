"""Layers as SameDiff's operations: what PyTorch's modules and ONNX's operators have in common.

Arrays are channels first, weights as both store them: (out, in) of a dense layer, (out, in, *kernel) of a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from navi_core import Array
from navi_graphserver.export.writer import ExportError, GraphWriter
from navi_graphserver.flat.records import Address

__all__ = [
    "Moves",
    "batch_norm",
    "convolution",
    "gelu",
    "hard_sigmoid",
    "layer_norm",
    "local_response_norm",
    "pool",
    "scaled",
    "shifted",
    "transposed_convolution",
]

_OUT_IN_KERNEL = 1  # the number of weights that are stored as (out, in, *kernel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """How a window moves: one number for each spatial axis.

    Parameters
    ----------
    kernel, stride, dilation
        Its size, its steps, the distance of its elements.
    before, after
        What is padded at both ends.
    is_same
        The padding is TensorFlow's SAME, the odd element at the end; what is padded does not matter then.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    is_same: bool = False

    @property
    def rank(self) -> int:
        """How many spatial axes there are."""
        return len(self.kernel)

    def with_leading_axis(self) -> Moves:
        """Return the same moves with an axis of one element before."""
        return Moves(
            kernel=(1, *self.kernel),
            stride=(1, *self.stride),
            dilation=(1, *self.dilation),
            before=(0, *self.before),
            after=(0, *self.after),
            is_same=self.is_same,
        )

    def without_padding(self) -> Moves:
        """Return the same moves over what is padded already."""
        nothing = (0,) * self.rank
        return Moves(
            kernel=self.kernel, stride=self.stride, dilation=self.dilation, before=nothing, after=nothing
        )

    def integers(self) -> tuple[int, ...]:
        """Return what a node says of them."""
        return (*self.kernel, *self.stride, *self.before, *self.dilation, int(self.is_same))


def _evenly(graph: GraphWriter, x: Address, moves: Moves, value: float) -> tuple[Address, Moves]:
    """Pad beforehand where the two ends differ: a node says one number for both."""
    if moves.is_same or moves.before == moves.after:
        return x, moves
    sides = np.array([(0, 0), (0, 0), *zip(moves.before, moves.after, strict=True)], np.int32)
    padded = graph.add("pad", x, graph.constant(sides, "sides"), i_args=(0,), t_args=(value,))
    return padded, moves.without_padding()


def convolution(
    graph: GraphWriter, x: Address, weights: Array, bias: Array | None, moves: Moves, groups: int = 1
) -> Address:
    """Convolve over one to three axes."""
    if moves.rank == 1:
        wide = graph.add("expand_dims", x, i_args=(2,))
        made = convolution(graph, wide, weights[:, :, None], bias, moves.with_leading_axis(), groups)
        return graph.add("squeeze", made, i_args=(2,))
    if moves.rank > 3:
        msg = f"a convolution over {moves.rank} axes"
        raise ExportError(msg)
    x, moves = _evenly(graph, x, moves, 0.0)
    others = [] if bias is None else [graph.constant(bias, "bias")]
    if groups == 1:
        operation = {2: "conv2d", 3: "conv3dnew"}[moves.rank]
        kernel = graph.constant(weights, "weights")
        return graph.add(operation, x, kernel, *others, i_args=(*moves.integers(), 0, _OUT_IN_KERNEL))
    if moves.rank != 2 or weights.shape[1] != 1:
        return _in_groups(graph, x, weights, bias, moves, groups)
    # (channels * multiplier, 1, height, width) -> (height, width, channels, multiplier)
    depth = weights.reshape(groups, -1, *weights.shape[2:]).transpose(2, 3, 0, 1)
    kernel = graph.constant(np.ascontiguousarray(depth), "weights")
    return graph.add("depthwise_conv2d", x, kernel, *others, i_args=(*moves.integers(), 0, 0))


def _in_groups(
    graph: GraphWriter, x: Address, weights: Array, bias: Array | None, moves: Moves, groups: int
) -> Address:
    """Convolve each group of channels on its own, and put them side by side: GraphServer knows no groups."""
    parts = graph.add("split", x, i_args=(groups, 1))
    biases = [None] * groups if bias is None else np.split(bias, groups)
    made = [
        convolution(graph, Address(parts.node, place), own, biases[place], moves)
        for place, own in enumerate(np.split(weights, groups))
    ]
    return graph.add("concat", *made, i_args=(1,))


def transposed_convolution(
    graph: GraphWriter, x: Address, weights: Array, bias: Array | None, moves: Moves
) -> Address:
    """Convolve backwards over two axes; weights are (in, out, height, width)."""
    if moves.rank != 2 or moves.before != moves.after or moves.is_same:
        msg = "a transposed convolution that is not over two axes, or that is padded unevenly"
        raise ExportError(msg)
    kernel = graph.constant(np.ascontiguousarray(weights.transpose(2, 3, 1, 0)), "weights")
    others = [] if bias is None else [graph.constant(bias, "bias")]
    return graph.add("deconv2d", x, kernel, *others, i_args=(*moves.integers(), 0, 0))


def pool(graph: GraphWriter, x: Address, kind: str, moves: Moves, *, counts_padding: bool = False) -> Address:
    """Pool over one to three axes: the ``max`` or the ``avg`` of each window."""
    if moves.rank == 1:
        wide = graph.add("expand_dims", x, i_args=(2,))
        made = pool(graph, wide, kind, moves.with_leading_axis(), counts_padding=counts_padding)
        return graph.add("squeeze", made, i_args=(2,))
    if moves.rank > 3:
        msg = f"pooling over {moves.rank} axes"
        raise ExportError(msg)
    if kind == "avg" and not counts_padding and not moves.is_same and moves.before != moves.after:
        msg = "an average that leaves out a padding whose ends differ"
        raise ExportError(msg)
    lowest = float(np.finfo(np.float32).min)
    x, moves = _evenly(graph, x, moves, lowest if kind == "max" else 0.0)
    operation = {2: f"{kind}pool2d", 3: f"{kind}pool3dnew"}[moves.rank]
    return graph.add(operation, x, i_args=(*moves.integers(), int(counts_padding), 0))


def batch_norm(
    graph: GraphWriter,
    x: Address,
    statistics: tuple[Array, Array],
    affine: tuple[Array, Array] | None,
    epsilon: float,
) -> Address:
    """Normalise the channels, the second axis, with a mean and a variance, and a factor and an offset."""
    learned = [
        graph.constant(each, name) for each, name in zip(statistics, ("mean", "variance"), strict=True)
    ]
    if affine is not None:
        learned += [graph.constant(each, name) for each, name in zip(affine, ("gamma", "beta"), strict=True)]
    has = int(affine is not None)
    return graph.add("batchnorm", x, *learned, i_args=(has, has, 1), t_args=(epsilon,))


def layer_norm(
    graph: GraphWriter, x: Address, rank: int, affine: Sequence[Array | None], epsilon: float
) -> Address:
    """Normalise the last ``rank`` axes; ``layer_norm`` of GraphServer knows no epsilon, so it is written out."""
    axes = tuple(range(-rank, 0))
    centred = graph.add("subtract", x, graph.add("reduce_mean", x, i_args=axes, b_args=(True,)))
    square = graph.add("multiply", centred, centred)
    variance = graph.add("reduce_mean", square, i_args=axes, b_args=(True,))
    spread = graph.add("sqrt", shifted(graph, variance, epsilon))
    made = graph.add("divide", centred, spread)
    for operation, value in zip(("multiply", "add"), affine, strict=True):
        if value is not None:
            made = graph.add(operation, made, graph.constant(value, "affine"))
    return made


def local_response_norm(
    graph: GraphWriter, x: Address, size: int, alpha: float, beta: float, bias: float
) -> Address:
    """Divide by the squares of neighbouring channels; GraphServer's channels are the last axis."""
    if size % 2 == 0:
        msg = f"a normalisation over {size} channels, an even number"
        raise ExportError(msg)
    last = graph.add("permute", x, i_args=(0, 2, 3, 1))
    made = graph.add("lrn", last, i_args=(size // 2,), t_args=(bias, alpha / size, beta))
    return graph.add("permute", made, i_args=(0, 3, 1, 2))


def scaled(graph: GraphWriter, x: Address, factor: float) -> Address:
    """Multiply floats by a number."""
    return x if factor == 1 else graph.add("multiply", x, graph.constant(np.float32(factor), "factor"))


def shifted(graph: GraphWriter, x: Address, offset: float) -> Address:
    """Add a number to floats."""
    return x if offset == 0 else graph.add("add", x, graph.constant(np.float32(offset), "offset"))


def gelu(graph: GraphWriter, x: Address, *, by_tanh: bool) -> Address:
    """GELU: GraphServer's own ones are approximations, by tanh and by a sigmoid, so the exact one is written out."""
    if by_tanh:
        return graph.add("precise_gelu", x)
    phi = shifted(graph, graph.add("erf", scaled(graph, x, math.sqrt(0.5))), 1.0)
    return graph.add("multiply", x, scaled(graph, phi, 0.5))


def hard_sigmoid(graph: GraphWriter, x: Address, slope: float, offset: float) -> Address:
    """Return a line, cut off at 0 and 1."""
    return graph.add("clipbyvalue", shifted(graph, scaled(graph, x, slope), offset), t_args=(0.0, 1.0))
