"""What depends on values: sorting, uniqueness, partitions, segments, counting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, bounded, integers, operation


@operation("top_k", inputs=(1, 2))
def _top_k(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    """Find the largest along the last axis, largest first; equal ones by their place."""
    x = inputs[0]
    count = integers(inputs[1])[0] if len(inputs) > 1 else arguments.integer(0, 1)
    if not 0 <= count <= x.shape[-1]:
        msg = f"the {count} largest of {x.shape[-1]}"
        raise ValueError(msg)
    order = np.argsort(-x if x.dtype.kind == "f" else -x.astype(np.int64), axis=-1, kind="stable")[
        ..., :count
    ]
    return [np.take_along_axis(x, order, -1), order.astype(np.int64)]


@operation("in_top_k", inputs=(2, 2))
def _in_top_k(inputs: Sequence[Array], arguments: Arguments) -> Array:
    predictions, targets = inputs[0], inputs[1].astype(np.int64)
    own = np.take_along_axis(predictions, targets[:, None], 1)
    return np.asarray(np.count_nonzero(predictions > own, axis=1) < arguments.integer(0, 1))


@operation("nth_element", inputs=(2, 2))
def _nth_element(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x, place = np.sort(inputs[0], axis=-1), integers(inputs[1])[0]
    if not 0 <= place < x.shape[-1]:
        msg = f"element {place} of {x.shape[-1]}"
        raise ValueError(msg)
    return np.asarray(x[..., x.shape[-1] - 1 - place] if arguments.integer(0, 0) else x[..., place])


def _unique(x: Array) -> tuple[Array, Array, Array]:
    """Return values in the order in which they first came, the place of each element's value, and counts."""
    values, first, inverse, counts = np.unique(
        x.ravel(), return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return values[order], place[inverse.reshape(-1)], counts[order]


@operation("unique", inputs=(1, 1))
def _unique_values(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    del arguments
    return list(_unique(inputs[0])[:2])


@operation("unique_with_counts", inputs=(1, 1))
def _unique_and_counts(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    del arguments
    return list(_unique(inputs[0]))


@operation("listdiff", inputs=(2, 2))
def _list_difference(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    """Return what is in the first and not in the second, and where it was."""
    del arguments
    x, y = inputs[0].ravel(), inputs[1].ravel()
    kept = ~np.isin(x, y)
    return [x[kept], np.flatnonzero(kept).astype(np.int64)]


@operation("dynamic_partition", inputs=(2, 2))
def _dynamic_partition(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    x, parts = inputs[0], inputs[1].astype(np.int64)
    count = arguments.integer(0, 1)
    bounded([count], np.int64)
    if x.shape[: parts.ndim] != parts.shape:
        msg = f"partitions of shape {list(parts.shape)} of an array of shape {list(x.shape)}"
        raise ValueError(msg)
    return [x[parts == each] for each in range(count)]


@operation("dynamic_stitch", inputs=(2, None))
def _dynamic_stitch(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Put the parts where the indices say; a later one wins."""
    del arguments
    half = len(inputs) // 2
    indices, data = [each.astype(np.int64) for each in inputs[:half]], inputs[half:]
    size = max((int(each.max()) + 1 for each in indices if each.size), default=0)
    rest = data[0].shape[indices[0].ndim :]
    result = np.zeros(bounded((size, *rest), data[0].dtype), data[0].dtype)
    for index, values in zip(indices, data, strict=True):
        if index.size and index.min() < 0:
            msg = "a negative index"
            raise ValueError(msg)
        result[index.ravel()] = values.reshape(-1, *rest)
    return result


@operation("invert_permutation", "InvertPermutation", inputs=(1, 1))
def _invert_permutation(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    order = inputs[0].astype(np.int64)
    if not np.array_equal(np.sort(order), np.arange(order.size)):
        msg = "numbers that are no permutation"
        raise ValueError(msg)
    return np.argsort(order).astype(inputs[0].dtype)


_SEGMENTS: Final[dict[str, tuple[Callable[[Array, Any, Array], None], str]]] = {
    "sum": (np.add.at, "zero"),
    "prod": (np.multiply.at, "one"),
    "max": (np.maximum.at, "lowest"),
    "min": (np.minimum.at, "highest"),
    "mean": (np.add.at, "zero"),
    "sqrt_n": (np.add.at, "zero"),
}


def _start(dtype: np.dtype[Any], which: str) -> Any:
    if which in ("zero", "one"):
        return int(which == "one")
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return limits.min if which == "lowest" else limits.max


def _segments(kind: str, *, is_sorted: bool) -> Any:
    add, which = _SEGMENTS[kind]

    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        x, ids = inputs[0], inputs[1].astype(np.int64).ravel()
        if ids.size != x.shape[0] or (ids.size and ids.min() < 0):
            msg = f"{ids.size} segment numbers of {x.shape[0]} rows, none of them negative"
            raise ValueError(msg)
        if is_sorted and np.any(np.diff(ids) < 0):
            msg = "segment numbers that are not sorted"
            raise ValueError(msg)
        if is_sorted:
            count = int(ids[-1]) + 1 if ids.size else 0
        else:
            count = integers(inputs[2])[0] if len(inputs) > 2 else arguments.i[0]
        result = np.full(bounded((count, *x.shape[1:]), x.dtype), _start(x.dtype, which), x.dtype)
        add(result, ids, x)
        sizes = np.bincount(ids, minlength=count).reshape(-1, *([1] * (x.ndim - 1)))
        if kind == "mean":
            return (result / np.maximum(sizes, 1)).astype(x.dtype)
        if kind == "sqrt_n":
            return (result / np.sqrt(np.maximum(sizes, 1))).astype(x.dtype)
        nothing = int(kind == "prod")  # what TensorFlow answers for a segment that is left out
        return np.where(sizes == 0, nothing, result).astype(x.dtype) if is_sorted else result

    return evaluate


for _kind in _SEGMENTS:
    operation(f"unsorted_segment_{_kind}", inputs=(2, 3))(_segments(_kind, is_sorted=False))
    if _kind != "sqrt_n":
        operation(f"segment_{_kind}", inputs=(2, 2))(_segments(_kind, is_sorted=True))


@operation("bincount", inputs=(1, 2))
def _bincount(inputs: Sequence[Array], arguments: Arguments) -> Array:
    values = inputs[0].astype(np.int64).ravel()
    least, most = arguments.integer(0, 0), arguments.integer(1, -1)
    if values.size and values.min() < 0:
        msg = "negative numbers to count"
        raise ValueError(msg)
    values = values[values < most] if most >= 0 else values
    bounded([max(int(values.max()) + 1 if values.size else 0, least)], np.int64)
    weights = inputs[1].ravel() if len(inputs) > 1 else None
    counted = np.bincount(values, weights, least)
    return counted.astype(inputs[1].dtype if weights is not None else np.int64)


@operation("confusion_matrix", inputs=(2, 3))
def _confusion_matrix(inputs: Sequence[Array], arguments: Arguments) -> Array:
    labels, predictions = (each.astype(np.int64).ravel() for each in inputs[:2])
    size = arguments.integer(0, int(max(labels.max(initial=-1), predictions.max(initial=-1))) + 1)
    weights = inputs[2].ravel() if len(inputs) > 2 else np.ones(labels.size, np.int64)
    result = np.zeros(bounded((size, size), weights.dtype), weights.dtype)
    np.add.at(result, (labels, predictions), weights)
    return result


@operation("is_non_decreasing", inputs=(1, 1))
def _is_non_decreasing(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.asarray(np.all(np.diff(inputs[0].ravel()) >= 0))


@operation("is_strictly_increasing", inputs=(1, 1))
def _is_strictly_increasing(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.asarray(np.all(np.diff(inputs[0].ravel()) > 0))


@operation("Assert", inputs=(1, None), pure=False)
def _assert(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    del arguments
    if not np.all(inputs[0]):
        msg = "an assertion of the graph does not hold"
        raise ValueError(msg)
    return [inputs[0]]


@operation("check_numerics", inputs=(1, 2))
def _check_numerics(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    if not np.all(np.isfinite(inputs[0])):
        msg = "a number that is not finite"
        raise ValueError(msg)
    return inputs[0]


@operation("print_variable", inputs=(1, 2))
def _print_variable(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Answer the array: a server prints nothing on behalf of a client."""
    del arguments
    return inputs[0]
