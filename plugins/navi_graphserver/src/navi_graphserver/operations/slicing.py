"""Parts of arrays by place: slices, gathers, scatters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, axes_of, bounded, integers, operation


@operation("slice", inputs=(1, 3))
def _slice(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Take so many from a beginning along every axis; -1: all that is left."""
    x = inputs[0]
    if len(inputs) > 2:
        begins, sizes = integers(inputs[1]), integers(inputs[2])
    else:
        begins, sizes = arguments.i[: x.ndim], arguments.i[x.ndim : 2 * x.ndim]
    if len(begins) != x.ndim or len(sizes) != x.ndim:
        msg = f"{len(begins)} begins and {len(sizes)} sizes for an array of rank {x.ndim}"
        raise ValueError(msg)
    parts = []
    for size, begin, wanted in zip(x.shape, begins, sizes, strict=True):
        end = size if wanted == -1 else begin + wanted
        if not 0 <= begin <= end <= size:
            msg = f"the slice {begin} to {end} of an axis of {size}"
            raise ValueError(msg)
        parts.append(slice(begin, end))
    return x[tuple(parts)]


@operation("strided_slice", "stridedslice", inputs=(1, 4))
def _strided_slice(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Slice as TensorFlow does, with its five masks: begin, ellipsis, end, new axis, shrink axis."""
    x = inputs[0]
    masks, numbers = arguments.i[:5], arguments.i[5:]
    if len(inputs) > 1:
        begins, ends, strides = (integers(each) for each in inputs[1:4])
    else:
        count = len(numbers) // 3
        begins, ends, strides = (numbers[start * count : (start + 1) * count] for start in range(3))
    begin_mask, ellipsis_mask, end_mask, new_axis_mask, shrink_mask = (*masks, 0, 0, 0, 0, 0)[:5]
    parts: list[Any] = []
    for place, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << place
        if ellipsis_mask & bit:
            parts.append(Ellipsis)
        elif new_axis_mask & bit:
            parts.append(None)
        elif shrink_mask & bit:
            parts.append(begin)
        else:
            parts.append(slice(None if begin_mask & bit else begin, None if end_mask & bit else end, stride))
    return np.asarray(x[tuple(parts)])


@operation("gather", "embedding_lookup", inputs=(1, 3))
def _gather(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Take the parts along an axis (default 0) that indices name."""
    x = inputs[0]
    if len(inputs) > 1:
        axis = integers(inputs[2])[0] if len(inputs) > 2 else arguments.integer(0, 0)
        indices = inputs[1].astype(np.int64)
    else:
        axis, indices = arguments.i[0], np.array(arguments.i[1:], np.int64)
    (axis,) = axes_of([axis], x.ndim)
    bounded([*x.shape[:axis], indices.size, *x.shape[axis + 1 :]], x.dtype)
    _check(indices, x.shape[axis])
    return np.asarray(np.take(x, indices, axis=axis))


@operation("gather_nd", inputs=(2, 2))
def _gather_nd(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Take the parts that the rows of an index name."""
    del arguments
    x, indices = inputs[0], inputs[1].astype(np.int64)
    depth = indices.shape[-1]
    if depth > x.ndim:
        msg = f"indices of {depth} numbers into an array of rank {x.ndim}"
        raise ValueError(msg)
    bounded([*indices.shape[:-1], *x.shape[depth:]], x.dtype)
    for axis in range(depth):
        _check(indices[..., axis], x.shape[axis])
    return np.asarray(x[tuple(np.moveaxis(indices, -1, 0))])


def _check(indices: Array, size: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        msg = f"indices {int(indices.min())} to {int(indices.max())} into an axis of {size}"
        raise ValueError(msg)


def _put_divided(target: Array, indices: Any, updates: Array) -> None:
    np.true_divide.at(target, indices, updates)


def _put(target: Array, indices: Any, updates: Array) -> None:
    target[indices] = updates


_WAYS: Final[dict[str, Callable[[Array, Any, Array], None]]] = {
    "add": np.add.at,
    "sub": np.subtract.at,
    "mul": np.multiply.at,
    "div": _put_divided,
    "max": np.maximum.at,
    "min": np.minimum.at,
    "upd": _put,
}


def _scatter(put: Callable[[Array, Any, Array], None]) -> Any:
    """Change the parts along the first axis that indices name."""

    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        if len(inputs) == 2:
            indices = np.array(arguments.i[1 + (arguments.i[0] if arguments.i else 0) + 1 :], np.int64)
            updates = inputs[1]
        else:
            indices, updates = inputs[1].astype(np.int64), inputs[2]
        result = inputs[0].copy()
        _check(indices, result.shape[0] if result.ndim else 0)
        put(result, indices, updates.astype(result.dtype))
        return result

    return evaluate


def _scatter_nd(put: Callable[[Array, Any, Array], None]) -> Any:
    """Change the parts that the rows of an index name."""

    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        del arguments
        result, indices = inputs[0].copy(), inputs[1].astype(np.int64)
        depth = indices.shape[-1]
        if depth > result.ndim:
            msg = f"indices of {depth} numbers into an array of rank {result.ndim}"
            raise ValueError(msg)
        for axis in range(depth):
            _check(indices[..., axis], result.shape[axis])
        put(result, tuple(np.moveaxis(indices, -1, 0)), inputs[2].astype(result.dtype))
        return result

    return evaluate


for _name, _function in _WAYS.items():
    _spellings = (
        ("scatter_upd", "scatter_update", "ScatterUpdate", "scatterupdate")
        if _name == "upd"
        else (f"scatter_{_name}", f"Scatter{_name.capitalize()}")
    )
    operation(*_spellings, inputs=(2, 3))(_scatter(_function))
for _name in ("add", "sub"):
    operation(f"scatter_nd_{_name}", inputs=(3, 3))(_scatter_nd(_WAYS[_name]))
operation("scatter_nd_update", inputs=(3, 3))(_scatter_nd(_put))


@operation("scatter_nd", inputs=(3, 3))
def _scatter_into_zeros(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Add updates into zeros of a shape."""
    indices, updates, shape = inputs
    zeros = np.zeros(bounded(integers(shape), updates.dtype), updates.dtype)
    result: Array = _scatter_nd(np.add.at)([zeros, indices, updates], arguments)
    return result
