"""Operations over windows: convolution and pooling, whatever kernels compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, Evaluate, bounded, operation
from navi_graphserver.operations.window import (
    Window,
    channels_back,
    channels_first,
    kernel_first,
    window_of,
)
from navi_graphserver.operations.window_kernels import (
    NumpyKernels,
    WindowKernels,
    all_windows,
    kept_places,
)

__all__ = ["WINDOWS"]

_NUMPY: Final = NumpyKernels()

Windowed = Callable[[Sequence[Array], Arguments, WindowKernels], Array]
WINDOWS: Final[dict[str, Windowed]] = {}
"""Operations that other kernels than NumPy's can compute, by name."""


def _windowed(name: str, *synonyms: str, inputs: tuple[int, int | None]) -> Callable[[Windowed], Windowed]:
    """Register an operation, computed with NumPy's kernels."""

    def register(evaluate: Windowed) -> Windowed:
        with_numpy: Evaluate = lambda given, arguments: evaluate(given, arguments, _NUMPY)  # noqa: E731
        operation(name, *synonyms, inputs=inputs)(with_numpy)
        WINDOWS[name] = evaluate
        return evaluate

    return register


def _convolution(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels, rank: int) -> Array:
    x, weights = inputs[0], inputs[1]
    last = arguments.integer(4 * rank + 1, 0) == 1
    if x.ndim != rank + 2 or weights.ndim != rank + 2:
        msg = f"arrays of rank {x.ndim} and {weights.ndim}; expected {rank + 2}"
        raise ValueError(msg)
    own = kernel_first(weights, arguments.integer(4 * rank + 2, 0))
    window = window_of(arguments, rank, own.shape[2:])
    first = channels_first(x, last=last)
    _check_weights(window, own.shape[2:], own.shape[1], first)
    bounded((x.shape[0], own.shape[0], *window.places(first.shape[2:])), x.dtype)
    result = kernels.convolve(first, own, window)
    return _answer(result, inputs[2:], x, last=last)


def _check_weights(window: Window, kernel: Sequence[int], channels: int, first: Array) -> None:
    """Check that weights are what a window and an array want.

    Raises
    ------
    ValueError
        They are not.
    """
    if window.kernel != tuple(kernel):
        msg = f"a kernel of {list(window.kernel)}; the weights have {list(kernel)}"
        raise ValueError(msg)
    if channels != first.shape[1]:
        msg = f"{first.shape[1]} channels; the weights take {channels}"
        raise ValueError(msg)


def _answer(result: Array, bias: Sequence[Array], x: Array, *, last: bool) -> Array:
    """Return an answer as it is stored, with the bias of each of its channels."""
    if bias:
        result = result + bias[0].reshape(-1, *([1] * (result.ndim - 2)))
    return channels_back(result, last=last).astype(x.dtype, copy=False)


@_windowed("conv2d", inputs=(2, 3))
def _conv2d(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    return _convolution(inputs, arguments, kernels, 2)


@_windowed("conv3dnew", "conv3d", inputs=(2, 3))
def _conv3d(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    return _convolution(inputs, arguments, kernels, 3)


@_windowed("conv1d", inputs=(2, 3))
def _conv1d(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    """Integers: kernel, stride, padding, mode, layout, the weights' form; the dilation at the end of newer ones."""
    kernel, stride, padding, mode, layout, form = (
        arguments.integer(place, default) for place, default in enumerate((0, 1, 0, 0, 1, 0))
    )
    dilation = arguments.integer(4, 1) if len(arguments.i) > 6 else 1
    if len(arguments.i) > 6:
        layout, form = arguments.i[5], arguments.i[6]
    plain = Arguments(
        i=(kernel, stride, padding, dilation, mode, layout, form), is_gen1=arguments.is_gen1, num_outputs=1
    )
    return _convolution(inputs, plain, kernels, 1)


@_windowed("pointwise_conv2d", inputs=(2, 3))
def _pointwise(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    layout, form = arguments.integer(0, 0), arguments.integer(1, 0)
    return _convolution(inputs, Arguments(i=(1, 1, 1, 1, 0, 0, 1, 1, 0, layout, form)), kernels, 2)


def _kernel_before(x: Array, weights: Array, form: int) -> Array:
    """Return weights as (height, width, *channels): stored so 0, with both channels first 1, with the first one first 2."""
    if x.ndim != 4 or weights.ndim != 4:
        msg = f"arrays of rank {x.ndim} and {weights.ndim}; expected 4"
        raise ValueError(msg)
    return np.transpose(weights, {0: (0, 1, 2, 3), 1: (2, 3, 1, 0), 2: (1, 2, 3, 0)}[form])


@_windowed("depthwise_conv2d", inputs=(2, 3))
def _depthwise(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    """Convolve each channel with its own kernels: weights (height, width, channels, multiplier)."""
    x, last = inputs[0], arguments.integer(9, 0) == 1
    own = _kernel_before(x, inputs[1], arguments.integer(10, 0))
    first = channels_first(x, last=last)
    window = window_of(arguments, 2, own.shape[:2])
    _check_weights(window, own.shape[:2], own.shape[2], first)
    bounded((x.shape[0], own.shape[2] * own.shape[3], *window.places(first.shape[2:])), x.dtype)
    return _answer(kernels.convolve_each(first, own, window), inputs[2:], x, last=last)


@_windowed("sconv2d", inputs=(2, 4))
def _separable(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    """Convolve each channel, then mix the channels: x, depth weights, [point weights], [bias]."""
    depth = _depthwise(inputs[:2], arguments, kernels)
    if len(inputs) == 2:
        return np.asarray(depth)
    points = [each for each in inputs[2:] if each.ndim == 4]
    biases = [each for each in inputs[2:] if each.ndim < 4]
    last = arguments.integer(9, 0)
    if not points:
        return np.asarray(depth + (biases[0] if last else biases[0].reshape(-1, 1, 1)))
    mixed = Arguments(i=(last, arguments.integer(10, 0)))
    return np.asarray(_pointwise([depth, *points, *biases], mixed, kernels))


@_windowed("deconv2d", inputs=(2, 3))
def _transposed(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    """Convolve backwards: every element is spread over a window; weights (height, width, outputs, inputs)."""
    x, last = inputs[0], arguments.integer(9, 0) == 1
    own = _kernel_before(x, inputs[1], arguments.integer(10, 0))
    window = window_of(arguments, 2, own.shape[:2])
    first = channels_first(x, last=last)
    _check_weights(window, own.shape[:2], own.shape[3], first)
    full = [
        (size - 1) * stride + wide
        for size, stride, wide in zip(first.shape[2:], window.stride, window.extent, strict=True)
    ]
    bounded((x.shape[0], own.shape[2], *full), x.dtype)
    kept = kept_places(first.shape[2:], window)
    canvas = kernels.spread(first, own, window)
    missing = [(0, max(part.stop - size, 0)) for part, size in zip(kept, canvas.shape[2:], strict=True)]
    if any(behind for _, behind in missing):  # steps that are longer than the window leave zeros at the end
        bounded((*canvas.shape[:2], *(part.stop for part in kept)), x.dtype)
        canvas = np.pad(canvas, ((0, 0), (0, 0), *missing))
    result = canvas[(slice(None), slice(None), *kept)]
    return _answer(result, inputs[2:], x, last=last)


def _pool(
    inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels, rank: int, kind: str
) -> Array:
    x = inputs[0]
    if x.ndim != rank + 2:
        msg = f"an array of rank {x.ndim}; expected {rank + 2}"
        raise ValueError(msg)
    last = arguments.integer(4 * rank + 2, 0) == 1
    window = window_of(arguments, rank)
    first = channels_first(x, last=last)
    bounded((*first.shape[:2], *window.places(first.shape[2:])), x.dtype)
    extra = arguments.integer(4 * rank + 1, 0)
    if kind == "max":
        result = kernels.largest(first, window)
    elif kind == "average":
        result = kernels.average(first, window, counts_padding=extra != 0)
    else:
        power = float(extra or 2)
        spatial = tuple(range(2 + rank, 2 + 2 * rank))
        result = np.sum(np.abs(all_windows(first, window)) ** power, axis=spatial) ** (1 / power)
    return channels_back(result, last=last).astype(x.dtype, copy=False)


@_windowed("maxpool2d", "MaxPool2D", "MaxPool", "maxpool", inputs=(1, 1))
def _max_pool_2d(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    return _pool(inputs, arguments, kernels, 2, "max")


@_windowed("avgpool2d", "AvgPool2D", "AvgPool", "avgpool", inputs=(1, 1))
def _average_pool_2d(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    return _pool(inputs, arguments, kernels, 2, "average")


@operation("pnormpool2d", "PnormPool2D", "PnormPool", "pnormpool", inputs=(1, 1))
def _norm_pool_2d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _pool(inputs, arguments, _NUMPY, 2, "norm")


@_windowed("maxpool3dnew", "maxpool3d", "MaxPool3D", "MaxPool3d", inputs=(1, 1))
def _max_pool_3d(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    return _pool(inputs, arguments, kernels, 3, "max")


@_windowed("avgpool3dnew", "avgpool3d", inputs=(1, 1))
def _average_pool_3d(inputs: Sequence[Array], arguments: Arguments, kernels: WindowKernels) -> Array:
    return _pool(inputs, arguments, kernels, 3, "average")


@operation("im2col", inputs=(1, 1))
def _image_to_columns(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Return (batch, channels, kernel height, kernel width, out height, out width)."""
    numbers = arguments.i or tuple(int(number) for number in arguments.t)
    x = inputs[0]
    if x.ndim != 4:
        msg = f"an array of rank {x.ndim}; expected 4"
        raise ValueError(msg)
    window = window_of(Arguments(i=numbers), 2)
    window.places(x.shape[2:])
    windows = all_windows(x, window)
    bounded([windows.size], x.dtype)
    return np.ascontiguousarray(np.transpose(windows, (0, 1, 4, 5, 2, 3)))
