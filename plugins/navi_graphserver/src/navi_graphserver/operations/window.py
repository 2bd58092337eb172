"""A window that moves over the spatial axes, and how nodes say it.

Integers of a node: kernel, stride, padding and dilation for every spatial axis, then whether the padding is TensorFlow's
SAME (1) or what is given (0), then the layout. The kernel 0 means: as the weights are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments

__all__ = ["Window", "channels_back", "channels_first", "kernel_first", "window_of"]

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

    @property
    def extent(self) -> tuple[int, ...]:
        """How many elements it spans along every axis, those between its own included."""
        return tuple(
            (kernel - 1) * dilation + 1 for kernel, dilation in zip(self.kernel, self.dilation, strict=True)
        )

    def sides(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Return the padding before and after, along every spatial axis."""
        if not self.is_same:
            return [(side, side) for side in self.padding]
        sides = []
        for size, extent, stride in zip(sizes, self.extent, self.stride, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
            sides.append((total // 2, total - total // 2))
        return sides

    def places(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return at how many places it stops along every spatial axis.

        Raises
        ------
        ValueError
            It does not fit in what is padded.
        """
        padded = [size + sum(side) for size, side in zip(sizes, self.sides(sizes), strict=True)]
        if any(size < wanted for size, wanted in zip(padded, self.extent, strict=True)):
            msg = f"a window of {list(self.extent)} over {padded}"
            raise ValueError(msg)
        return tuple(
            (size - wanted) // stride + 1
            for size, wanted, stride in zip(padded, self.extent, self.stride, strict=True)
        )


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
