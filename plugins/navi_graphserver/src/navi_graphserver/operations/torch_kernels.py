"""Convolution and pooling with PyTorch's kernels, where it is installed; it is imported when the first one is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Evaluate, bounded
from navi_graphserver.operations.window import Window
from navi_graphserver.operations.window_kernels import NumpyKernels, num_counted
from navi_graphserver.operations.windows import WINDOWS

__all__ = ["TORCH_OPERATIONS", "TorchKernels", "torch_kernels"]

_DTYPES: Final = (np.dtype(np.float32), np.dtype(np.float64))

TORCH_OPERATIONS: Final = frozenset(WINDOWS)
"""Names of the operations that have kernels of PyTorch's."""


@cache
def torch_kernels() -> dict[str, Evaluate]:
    """Return the operations that PyTorch computes, by name.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    """
    kernels = TorchKernels()

    def bound(evaluate: Any) -> Evaluate:
        return lambda inputs, arguments: evaluate(inputs, arguments, kernels)

    return {name: bound(evaluate) for name, evaluate in WINDOWS.items()}


class TorchKernels(NumpyKernels):
    """The kernels with PyTorch, for float32 and float64; others are NumPy's."""

    def __init__(self) -> None:
        import torch  # noqa: PLC0415 - not needed to be installed

        self._torch = torch
        self._functional = torch.nn.functional

    def convolve(self, x: Array, weights: Array, window: Window) -> Array:
        """Convolve."""
        if not _takes(x, weights):
            return super().convolve(x, weights, window)
        function = getattr(self._functional, f"conv{x.ndim - 2}d")
        return self._convolved(function, x, weights, window, 1)

    def convolve_each(self, x: Array, weights: Array, window: Window) -> Array:
        """Convolve in as many groups as there are channels."""
        if not _takes(x, weights):
            return super().convolve_each(x, weights, window)
        rows, columns, channels, multiplier = weights.shape
        own = weights.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, rows, columns)
        return self._convolved(self._functional.conv2d, x, own, window, channels)

    def _convolved(
        self, function: Callable[..., Any], x: Array, weights: Array, window: Window, groups: int
    ) -> Array:
        tensor, padding = self._padded(x, window, 0.0)
        return self._array(
            lambda: function(
                tensor, self._tensor(weights), None, window.stride, padding, window.dilation, groups
            )
        )

    def spread(self, x: Array, weights: Array, window: Window) -> Array:
        """Convolve backwards."""
        if not _takes(x, weights):
            return super().spread(x, weights, window)
        own = self._tensor(weights.transpose(3, 2, 0, 1))
        return self._array(
            lambda: self._functional.conv_transpose2d(
                self._tensor(x), own, None, window.stride, 0, 0, 1, window.dilation
            )
        )

    def largest(self, x: Array, window: Window) -> Array:
        """Pool."""
        if not _takes(x):
            return super().largest(x, window)
        tensor, padding = self._padded(x, window, -np.inf, is_pooled=True)
        function = getattr(self._functional, f"max_pool{x.ndim - 2}d")
        return self._array(lambda: function(tensor, window.kernel, window.stride, padding, window.dilation))

    def average(self, x: Array, window: Window, *, counts_padding: bool) -> Array:
        """Pool; where the two sides of the padding differ, PyTorch adds up, and what is counted is NumPy's."""
        if not _takes(x) or set(window.dilation) != {1}:
            return super().average(x, window, counts_padding=counts_padding)
        tensor, padding = self._padded(x, window, 0.0, is_pooled=True)
        function = getattr(self._functional, f"avg_pool{x.ndim - 2}d")
        if any(padding) or tensor.shape == x.shape:
            return self._array(
                lambda: function(tensor, window.kernel, window.stride, padding, False, counts_padding)
            )
        total = self._array(
            lambda: function(tensor, window.kernel, window.stride, 0, False, True, divisor_override=1)
        )
        return np.asarray(total / num_counted(x, window, counts_padding=counts_padding))

    def _padded(
        self, x: Array, window: Window, value: float, *, is_pooled: bool = False
    ) -> tuple[Any, tuple[int, ...]]:
        """Return a tensor, and the padding that the kernel adds itself: only an even one, and pooling little of it."""
        sides = window.sides(x.shape[2:])
        tensor = self._tensor(x)
        is_even = all(
            before == after and (not is_pooled or before <= kernel // 2)
            for (before, after), kernel in zip(sides, window.kernel, strict=True)
        )
        if is_even:
            return tensor, tuple(before for before, _ in sides)
        wanted = [size + sum(side) for size, side in zip(x.shape[2:], sides, strict=True)]
        bounded((*x.shape[:2], *wanted), x.dtype)
        flat = [side for pair in reversed(sides) for side in pair]
        return self._functional.pad(tensor, flat, value=value), (0,) * len(sides)

    def _tensor(self, array: Array) -> Any:
        """Show an array to PyTorch, which only reads it; it warns of arrays that are read-only, so these do not say so."""
        flags = array.flags
        if not flags.aligned or any(stride < 0 for stride in array.strides):
            array = array.copy()
        elif not flags.writeable:
            array = np.asarray(_Writable(array))
        return self._torch.from_numpy(array)

    def _array(self, compute: Callable[[], Any]) -> Array:
        """Return what PyTorch computes.

        Raises
        ------
        ValueError
            It could not; the first line of its text.
        """
        try:
            return np.asarray(compute().numpy())
        except RuntimeError as error:
            raise ValueError(str(error).partition("\n")[0][:200]) from error


class _Writable:
    """The array interface of a read-only array, without saying that it is read-only. Keeps the array alive."""

    __slots__ = ("__array_interface__", "array")

    def __init__(self, array: Array) -> None:
        interface = array.__array_interface__
        self.array = array
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _takes(*arrays: Array) -> bool:
    dtype = arrays[0].dtype
    return dtype in _DTYPES and all(array.dtype == dtype for array in arrays) and arrays[0].size > 0
