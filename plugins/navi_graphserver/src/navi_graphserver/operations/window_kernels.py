"""What convolves and pools: arrays are channels first, windows fit, and answers are small enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import bounded
from navi_graphserver.operations.window import Window

__all__ = ["NumpyKernels", "WindowKernels", "all_windows", "kept_places", "num_counted"]


class WindowKernels:
    """The kernels that operations over windows are made of; this class says what they compute."""

    def convolve(self, x: Array, weights: Array, window: Window) -> Array:
        """Return (batch, outputs, *places) of (batch, inputs, *spatial) and (outputs, inputs, *kernel)."""
        raise NotImplementedError

    def convolve_each(self, x: Array, weights: Array, window: Window) -> Array:
        """Convolve each channel with its own kernels: weights (height, width, channels, multiplier)."""
        raise NotImplementedError

    def spread(self, x: Array, weights: Array, window: Window) -> Array:
        """Add every element, times a window, to where the window lies: weights (height, width, outputs, inputs)."""
        raise NotImplementedError

    def largest(self, x: Array, window: Window) -> Array:
        """Return the largest number of every window; what is padded is smaller than everything."""
        raise NotImplementedError

    def average(self, x: Array, window: Window, *, counts_padding: bool) -> Array:
        """Return the average of every window, over what is not padded or over all of it."""
        raise NotImplementedError


class NumpyKernels(WindowKernels):
    """The kernels with NumPy: sums over a view of all windows."""

    def convolve(self, x: Array, weights: Array, window: Window) -> Array:
        """Multiply all windows with the weights as matrices."""
        rank = x.ndim - 2
        windows = all_windows(x, window)
        bounded([windows.size], x.dtype)
        spatial = tuple(range(2 + rank, 2 + 2 * rank))
        result = np.tensordot(windows, weights, ((1, *spatial), (1, *range(2, 2 + rank))))
        return np.moveaxis(result, -1, 1)

    def convolve_each(self, x: Array, weights: Array, window: Window) -> Array:
        """Multiply the windows of each channel."""
        windows = all_windows(x, window)
        bounded([windows.size], x.dtype)
        result: Array = np.einsum("nchwij,ijcm->ncmhw", windows, weights, optimize=True)
        return result.reshape(result.shape[0], -1, *result.shape[3:])

    def spread(self, x: Array, weights: Array, window: Window) -> Array:
        """Add for every element of the kernel, in steps."""
        sizes = x.shape[2:]
        full = [
            (size - 1) * stride + wide
            for size, stride, wide in zip(sizes, window.stride, window.extent, strict=True)
        ]
        canvas = np.zeros((x.shape[0], weights.shape[2], *full), x.dtype)
        height, width = (size * stride for size, stride in zip(sizes, window.stride, strict=True))
        for row in range(window.kernel[0]):
            for column in range(window.kernel[1]):
                added = np.einsum("nchw,oc->nohw", x, weights[row, column], optimize=True)
                top, left = row * window.dilation[0], column * window.dilation[1]
                rows = slice(top, top + height, window.stride[0])
                columns = slice(left, left + width, window.stride[1])
                canvas[:, :, rows, columns] += added
        return canvas

    def largest(self, x: Array, window: Window) -> Array:
        """Take the largest of the view."""
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return np.asarray(np.max(all_windows(x, window, least), axis=_within(x)))

    def average(self, x: Array, window: Window, *, counts_padding: bool) -> Array:
        """Add up the view, and divide."""
        total = np.sum(all_windows(x, window), axis=_within(x))
        return np.asarray(total / num_counted(x, window, counts_padding=counts_padding))


def _within(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim, 2 * x.ndim - 2))


def all_windows(x: Array, window: Window, value: Any = 0) -> Array:
    """Return all windows of (batch, channels, *spatial) as a view: (batch, channels, *places, *kernel)."""
    padded = _padded(x, window.sides(x.shape[2:]), value)
    spatial = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(padded, window.extent, spatial)
    places = tuple(slice(None, None, stride) for stride in window.stride)
    within = tuple(slice(None, None, dilation) for dilation in window.dilation)
    return windows[(slice(None), slice(None), *places, *within)]


def _padded(x: Array, sides: Sequence[tuple[int, int]], value: Any) -> Array:
    if not any(before or after for before, after in sides):
        return x
    every = [(0, 0), (0, 0), *sides]
    bounded([size + before + after for size, (before, after) in zip(x.shape, every, strict=True)], x.dtype)
    return np.pad(x, every, constant_values=value)


def num_counted(x: Array, window: Window, *, counts_padding: bool) -> Any:
    """Return how many elements every window's average is over."""
    if counts_padding:
        return math.prod(window.kernel)
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    return np.sum(all_windows(ones, window), axis=_within(ones))


def kept_places(sizes: Sequence[int], window: Window) -> list[slice]:
    """Return what is kept of the canvas that elements were spread over: without what is padding in the other direction."""
    kept = []
    for size, wide, stride, padding in zip(sizes, window.extent, window.stride, window.padding, strict=True):
        full = (size - 1) * stride + wide
        if window.is_same:
            before = max(full - size * stride, 0) // 2
            kept.append(slice(before, before + size * stride))
        else:
            kept.append(slice(padding, full - padding))
    return kept
