"""Convolution and pooling: windows that move over the spatial axes.

Integers of a node: kernel, stride, padding and dilation for every spatial axis, then whether the padding is TensorFlow's
SAME (1) or what is given (0), then the layout. The kernel 0 means: as the weights are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, bounded, operation

_SAME: Final = 1


@dataclass(frozen=True, slots=True)
class Window:
    """How a window moves: one number for each spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    is_same: bool

    def __post_init__(self) -> None:
        """Check that it moves, and forward.

        Raises
        ------
        ValueError
            It does not.
        """
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.padding) < 0:
            msg = f"a window of {self.kernel}, stride {self.stride}, padding {self.padding}, dilation {self.dilation}"
            raise ValueError(msg)

    def sides(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Return the padding before and after, along every spatial axis."""
        if not self.is_same:
            return [(side, side) for side in self.padding]
        sides = []
        for size, kernel, stride, dilation in zip(
            sizes, self.kernel, self.stride, self.dilation, strict=True
        ):
            total = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            sides.append((total // 2, total - total // 2))
        return sides

    def over(self, padded: Array) -> Array:
        """Return all windows of (batch, channels, *spatial) as a view: (batch, channels, *places, *kernel)."""
        extent = [
            (kernel - 1) * dilation + 1 for kernel, dilation in zip(self.kernel, self.dilation, strict=True)
        ]
        spatial = tuple(range(2, padded.ndim))
        if any(size < wanted for size, wanted in zip(padded.shape[2:], extent, strict=True)):
            msg = f"a window of {extent} over {list(padded.shape[2:])}"
            raise ValueError(msg)
        windows = np.lib.stride_tricks.sliding_window_view(padded, extent, spatial)
        places = tuple(slice(None, None, stride) for stride in self.stride)
        within = tuple(slice(None, None, dilation) for dilation in self.dilation)
        return windows[(slice(None), slice(None), *places, *within)]


def window_of(arguments: Arguments, rank: int, kernel: Sequence[int] | None = None) -> Window:
    """Read a window over ``rank`` spatial axes; ``kernel`` is the weights' where the node says 0."""
    numbers = arguments.i[: 4 * rank]
    if len(numbers) < 4 * rank:
        msg = f"{len(arguments.i)} integers; a window over {rank} axes has {4 * rank}"
        raise ValueError(msg)
    own = [
        wanted if wanted > 0 or kernel is None else kernel[axis] for axis, wanted in enumerate(numbers[:rank])
    ]
    return Window(
        tuple(own),
        numbers[rank : 2 * rank],
        numbers[2 * rank : 3 * rank],
        tuple(max(each, 1) for each in numbers[3 * rank :]),
        arguments.integer(4 * rank, 0) == _SAME,
    )


def channels_first(x: Array, *, last: bool) -> Array:
    """Return a view with the channels behind the batch."""
    return np.moveaxis(x, -1, 1) if last else x


def channels_back(x: Array, *, last: bool) -> Array:
    """Undo :func:`channels_first`."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1) if last else x)


def kernel_first(weights: Array, form: int) -> Array:
    """Return weights as (outputs, inputs, *kernel): stored as (*kernel, in, out) 0, (out, in, *kernel) 1, (out, *kernel, in) 2."""
    if form == 0:
        return np.moveaxis(weights, (-1, -2), (0, 1))
    return weights if form == 1 else np.moveaxis(weights, -1, 1)


def _pad(x: Array, sides: Sequence[tuple[int, int]], value: Any = 0) -> Array:
    if not any(before or after for before, after in sides):
        return x
    every = [(0, 0), (0, 0), *sides]
    bounded([size + before + after for size, (before, after) in zip(x.shape, every, strict=True)], x.dtype)
    return np.pad(x, every, constant_values=value)


def convolve(x: Array, weights: Array, window: Window) -> Array:
    """Return (batch, outputs, *places) of (batch, inputs, *spatial) and (outputs, inputs, *kernel)."""
    if x.shape[1] != weights.shape[1]:
        msg = f"{x.shape[1]} channels; the weights take {weights.shape[1]}"
        raise ValueError(msg)
    rank = x.ndim - 2
    windows = window.over(_pad(x, window.sides(x.shape[2:])))
    bounded([windows.size], x.dtype)
    spatial = tuple(range(2 + rank, 2 + 2 * rank))
    result = np.tensordot(windows, weights, ((1, *spatial), (1, *range(2, 2 + rank))))
    return np.moveaxis(result, -1, 1)


def _convolution(inputs: Sequence[Array], arguments: Arguments, rank: int) -> Array:
    x, weights = inputs[0], inputs[1]
    last = arguments.integer(4 * rank + 1, 0) == 1
    first = kernel_first(weights, arguments.integer(4 * rank + 2, 0))
    if x.ndim != rank + 2 or first.ndim != rank + 2:
        msg = f"arrays of rank {x.ndim} and {weights.ndim}; expected {rank + 2}"
        raise ValueError(msg)
    window = window_of(arguments, rank, first.shape[2:])
    if window.kernel != first.shape[2:]:
        msg = f"a kernel of {list(window.kernel)}; the weights have {list(first.shape[2:])}"
        raise ValueError(msg)
    result = convolve(channels_first(x, last=last), first, window)
    if len(inputs) > 2:
        result = result + inputs[2].reshape(-1, *([1] * rank))
    return channels_back(result, last=last).astype(x.dtype, copy=False)


@operation("conv2d", inputs=(2, 3))
def _conv2d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _convolution(inputs, arguments, 2)


@operation("conv3dnew", "conv3d", inputs=(2, 3))
def _conv3d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _convolution(inputs, arguments, 3)


@operation("conv1d", inputs=(2, 3))
def _conv1d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Integers: kernel, stride, padding, mode, layout, the weights' form; the dilation at the end of newer ones."""
    kernel, stride, padding, mode, layout, form = (
        arguments.integer(place, default) for place, default in enumerate((0, 1, 0, 0, 1, 0))
    )
    dilation = arguments.integer(4, 1) if len(arguments.i) > 6 else 1
    if len(arguments.i) > 6:
        layout, form = arguments.i[5], arguments.i[6]
    as_2d = Arguments(
        i=(kernel, stride, padding, dilation, mode, layout, form), is_gen1=arguments.is_gen1, num_outputs=1
    )
    return _convolution(inputs, as_2d, 1)


@operation("pointwise_conv2d", inputs=(2, 3))
def _pointwise(inputs: Sequence[Array], arguments: Arguments) -> Array:
    layout, form = arguments.integer(0, 0), arguments.integer(1, 0)
    return _convolution(inputs, Arguments(i=(1, 1, 1, 1, 0, 0, 1, 1, 0, layout, form)), 2)


@operation("depthwise_conv2d", inputs=(2, 3))
def _depthwise(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Convolve each channel with its own kernels: weights (height, width, channels, multiplier)."""
    x, weights = inputs[0], inputs[1]
    last = arguments.integer(9, 0) == 1
    form = arguments.integer(10, 0)
    own = {0: weights, 1: np.transpose(weights, (2, 3, 1, 0)), 2: np.transpose(weights, (1, 2, 3, 0))}[form]
    first = channels_first(x, last=last)
    if own.shape[2] != first.shape[1]:
        msg = f"{first.shape[1]} channels; the weights take {own.shape[2]}"
        raise ValueError(msg)
    window = window_of(arguments, 2, own.shape[:2])
    windows = window.over(_pad(first, window.sides(first.shape[2:])))
    bounded([windows.size], x.dtype)
    result = np.einsum("nchwij,ijcm->ncmhw", windows, own, optimize=True)
    result = result.reshape(result.shape[0], -1, *result.shape[3:])
    if len(inputs) > 2:
        result = result + inputs[2].reshape(-1, 1, 1)
    return channels_back(result, last=last).astype(x.dtype, copy=False)


@operation("sconv2d", inputs=(2, 4))
def _separable(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Convolve each channel, then mix the channels: x, depth weights, [point weights], [bias]."""
    depth = _depthwise(inputs[:2], arguments)
    if len(inputs) == 2:
        return np.asarray(depth)
    points = [each for each in inputs[2:] if each.ndim == 4]
    biases = [each for each in inputs[2:] if each.ndim < 4]
    last = arguments.integer(9, 0)
    if not points:
        return np.asarray(depth + (biases[0] if last else biases[0].reshape(-1, 1, 1)))
    return np.asarray(_pointwise([depth, *points, *biases], Arguments(i=(last, arguments.integer(10, 0)))))


@operation("deconv2d", inputs=(2, 3))
def _transposed(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Convolve backwards: every element is spread over a window; weights (height, width, outputs, inputs)."""
    x, weights = inputs[0], inputs[1]
    last = arguments.integer(9, 0) == 1
    form = arguments.integer(10, 0)
    own = {0: weights, 1: np.transpose(weights, (2, 3, 1, 0)), 2: np.transpose(weights, (1, 2, 3, 0))}[form]
    window = window_of(arguments, 2, own.shape[:2])
    first = channels_first(x, last=last)
    extent = [
        (kernel - 1) * dilation + 1 for kernel, dilation in zip(window.kernel, window.dilation, strict=True)
    ]
    full = [
        (size - 1) * stride + wide
        for size, stride, wide in zip(first.shape[2:], window.stride, extent, strict=True)
    ]
    batch, outputs = first.shape[0], own.shape[2]
    canvas = np.zeros(bounded((batch, outputs, *full), x.dtype), x.dtype)
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            spread = np.einsum("nchw,oc->nohw", first, own[row, column], optimize=True)
            top, left = row * window.dilation[0], column * window.dilation[1]
            height, width = (
                size * stride for size, stride in zip(first.shape[2:], window.stride, strict=True)
            )
            canvas[:, :, top : top + height : window.stride[0], left : left + width : window.stride[1]] += (
                spread
            )
    result = canvas[(slice(None), slice(None), *_kept(first.shape[2:], full, window))]
    if len(inputs) > 2:
        result = result + inputs[2].reshape(-1, 1, 1)
    return channels_back(result, last=last).astype(x.dtype, copy=False)


def _kept(sizes: Sequence[int], full: Sequence[int], window: Window) -> list[slice]:
    kept = []
    for size, all_of_it, stride, padding in zip(sizes, full, window.stride, window.padding, strict=True):
        if window.is_same:
            before = max(all_of_it - size * stride, 0) // 2
            kept.append(slice(before, before + size * stride))
        else:
            kept.append(slice(padding, all_of_it - padding))
    return kept


def _pool(inputs: Sequence[Array], arguments: Arguments, rank: int, kind: str) -> Array:
    x = inputs[0]
    if x.ndim != rank + 2:
        msg = f"an array of rank {x.ndim}; expected {rank + 2}"
        raise ValueError(msg)
    last = arguments.integer(4 * rank + 2, 0) == 1
    window = window_of(arguments, rank)
    first = channels_first(x, last=last)
    sides = window.sides(first.shape[2:])
    spatial = tuple(range(2 + rank, 2 + 2 * rank))
    if kind == "max":
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return channels_back(np.max(window.over(_pad(first, sides, least)), axis=spatial), last=last)
    if kind == "norm":
        power = float(arguments.integer(4 * rank + 1, 2))
        total = np.sum(np.abs(window.over(_pad(first, sides))) ** power, axis=spatial) ** (1 / power)
        return channels_back(total, last=last).astype(x.dtype)
    total = np.sum(window.over(_pad(first, sides)), axis=spatial)
    if arguments.integer(4 * rank + 1, 0):
        count: Any = math.prod(window.kernel)
    else:  # what was padded does not count
        ones = np.ones((1, 1, *first.shape[2:]), x.dtype)
        count = np.sum(window.over(_pad(ones, sides)), axis=spatial)
    return channels_back(total / count, last=last).astype(x.dtype)


@operation("maxpool2d", "MaxPool2D", "MaxPool", "maxpool", inputs=(1, 1))
def _max_pool_2d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _pool(inputs, arguments, 2, "max")


@operation("avgpool2d", "AvgPool2D", "AvgPool", "avgpool", inputs=(1, 1))
def _average_pool_2d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _pool(inputs, arguments, 2, "average")


@operation("pnormpool2d", "PnormPool2D", "PnormPool", "pnormpool", inputs=(1, 1))
def _norm_pool_2d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _pool(inputs, arguments, 2, "norm")


@operation("maxpool3dnew", "maxpool3d", "MaxPool3D", "MaxPool3d", inputs=(1, 1))
def _max_pool_3d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _pool(inputs, arguments, 3, "max")


@operation("avgpool3dnew", "avgpool3d", inputs=(1, 1))
def _average_pool_3d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _pool(inputs, arguments, 3, "average")


@operation("im2col", inputs=(1, 1))
def _image_to_columns(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Return (batch, channels, kernel height, kernel width, out height, out width)."""
    numbers = arguments.i or tuple(int(number) for number in arguments.t)
    x = inputs[0]
    window = window_of(Arguments(i=numbers), 2)
    windows = window.over(_pad(x, window.sides(x.shape[2:])))
    bounded([windows.size], x.dtype)
    return np.ascontiguousarray(np.transpose(windows, (0, 1, 4, 5, 2, 3)))
