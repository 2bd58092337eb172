"""The shape of arrays: reshaping, transposing, joining, splitting, repeating, padding; and shapes as values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.flat.enums import NUMPY_DTYPES, DType
from navi_graphserver.operations.table import Arguments, axes_of, bounded, integers, operation

_ORDERS: Final = (-99, -102, 99)  # first integers of a reshape that say an order; it is always C's here
_PAD_MODES: Final = ("constant", "reflect", "symmetric")


def numpy_dtype(number: int) -> np.dtype[Any]:
    """Return NumPy's type for an element type's number.

    Raises
    ------
    ValueError
        Arrays of it are not served.
    """
    try:
        dtype: np.dtype[Any] = NUMPY_DTYPES[DType(number)]
    except (KeyError, ValueError):
        msg = f"arrays of element type {number} are not served"
        raise ValueError(msg) from None
    return dtype


@operation("identity_n", inputs=(1, None))
def _identity_n(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    del arguments
    return inputs


@operation("assign", inputs=(1, 2))
def _assign(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Answer the second array, as the first's shape and type."""
    del arguments
    if len(inputs) == 1:
        return inputs[0]
    x, y = inputs
    return np.ascontiguousarray(np.broadcast_to(y, x.shape)).astype(x.dtype, copy=False)


@operation("cast", "Cast", inputs=(1, 1))
def _cast(inputs: Sequence[Array], arguments: Arguments) -> Array:
    if arguments.is_gen1:  # there is one element type; the numbers of the cast are another enumeration's
        return inputs[0]
    return inputs[0].astype(numpy_dtype(arguments.d[0] if arguments.d else arguments.i[0]))


CASTS: Final = {
    "to_double": np.float64,
    "to_float16": np.float16,
    "to_float32": np.float32,
    "to_int32": np.int32,
    "to_int64": np.int64,
    "to_uint32": np.uint32,
    "to_uint64": np.uint64,
}
"""Operation -> the type that it makes of everything."""


def _cast_to(dtype: Any) -> Any:
    return lambda inputs, _: inputs[0].astype(dtype)


for _name, _dtype in CASTS.items():
    operation(_name)(_cast_to(_dtype))


@operation("reshape", inputs=(1, 2))
def _reshape(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Take the shape from the second input, else from the integers behind the order, if any."""
    wanted = integers(inputs[1]) if len(inputs) > 1 else arguments.i
    if wanted and wanted[0] in _ORDERS and (len(inputs) == 1 or wanted[0] < 0):
        wanted = wanted[1:]
    return inputs[0].reshape([-1 if size < 0 else size for size in wanted])


@operation("reshape_as", "reshapeas", inputs=(2, 2))
def _reshape_as(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return inputs[0].reshape(inputs[1].shape)


@operation("flatten", inputs=(1, None))
def _flatten(inputs: Sequence[Array], arguments: Arguments) -> Array:
    order = "F" if arguments.integer(0, 99) == ord("f") else "C"
    return np.concatenate([each.ravel(order=order) for each in inputs])  # type: ignore[arg-type]  # "C" or "F"


@operation("flatten_2d", inputs=(1, 1))
def _flatten_2d(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x, axis = inputs[0], arguments.integer(0, 1)
    first = axis % (x.ndim + 1)
    return x.reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:]))


@operation("transpose", inputs=(1, 2))
def _transpose(inputs: Sequence[Array], arguments: Arguments) -> Array:
    wanted = integers(inputs[1]) if len(inputs) > 1 else arguments.i
    return np.transpose(inputs[0], wanted or None)


@operation("permute", inputs=(1, 2))
def _permute(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.asarray(_transpose(inputs, arguments))


@operation("expand_dims", inputs=(1, 2))
def _expand_dims(inputs: Sequence[Array], arguments: Arguments) -> Array:
    axis = arguments.i[0] if arguments.i else integers(inputs[1])[0]
    return np.expand_dims(inputs[0], axis)


@operation("squeeze", inputs=(1, 2))
def _squeeze(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    wanted = integers(inputs[1]) if len(inputs) > 1 else arguments.i
    return np.squeeze(x, axes_of(wanted, x.ndim)) if wanted else np.squeeze(x)


def _axis_and_arrays(inputs: Sequence[Array], arguments: Arguments) -> tuple[int, Sequence[Array]]:
    if arguments.flag(0):
        return integers(inputs[-1])[0], inputs[:-1]
    return arguments.integer(0, 0), inputs


@operation("concat", "concat_v2", "concatv2", inputs=(1, None))
def _concat(inputs: Sequence[Array], arguments: Arguments) -> Array:
    axis, arrays = _axis_and_arrays(inputs, arguments)
    present = [each for each in arrays if each.size or each.ndim > 1] or arrays
    return np.concatenate([each.reshape(1) if each.ndim == 0 else each for each in present], axis=axis)


@operation("stack", "pack", "Pack", "parallel_stack", "ParallelConcat", inputs=(1, None))
def _stack(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.stack(inputs, axis=arguments.integer(0, 0))


@operation("unstack", "unpack", inputs=(1, 1))
def _unstack(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    x, axis = inputs[0], arguments.integer(0, 0)
    axes_of([axis], x.ndim)
    return [np.asarray(each) for each in np.moveaxis(x, axis, 0)]


@operation("tear", inputs=(1, 1))
def _tear(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    """Split into sub-arrays along all axes but those that are named."""
    x = inputs[0]
    kept = axes_of(arguments.i, x.ndim)
    others = [axis for axis in range(x.ndim) if axis not in kept]
    parts = np.transpose(x, (*others, *kept)).reshape(-1, *(x.shape[axis] for axis in kept))
    return list(parts)


@operation("split", inputs=(1, 2))
def _split(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    """Split evenly; the axis comes first where it is an input."""
    if len(inputs) > 1:
        axis, x = (
            (integers(inputs[0])[0], inputs[1])
            if inputs[0].size == 1
            else (integers(inputs[1])[0], inputs[0])
        )
    else:
        x, axis = inputs[0], arguments.integer(1, 0)
    return np.split(x, arguments.integer(0, 1), axis=axis)


@operation("split_v", inputs=(2, 3))
def _split_by_sizes(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    x, sizes = inputs[0], list(integers(inputs[1]))
    axis = integers(inputs[2])[0] if len(inputs) > 2 else arguments.integer(0, 0)
    axes_of([axis], x.ndim)
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = x.shape[axis] - (sum(sizes) + 1)
    if any(size < 0 for size in sizes) or sum(sizes) != x.shape[axis]:
        msg = f"parts of {sizes} of an axis of {x.shape[axis]}"
        raise ValueError(msg)
    return np.split(x, np.cumsum(sizes)[:-1], axis=axis)


@operation("tile", inputs=(1, 2))
def _tile(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    repeats = integers(inputs[1]) if len(inputs) > 1 else arguments.i
    if len(repeats) != x.ndim:
        msg = f"{len(repeats)} repeats of an array of rank {x.ndim}"
        raise ValueError(msg)
    bounded([size * count for size, count in zip(x.shape, repeats, strict=True)], x.dtype)
    return np.tile(x, repeats)


@operation("tile_to_shape", inputs=(1, 1))
def _tile_to_shape(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x, shape = inputs[0], bounded(arguments.i, inputs[0].dtype)
    repeats = [max(wanted // max(size, 1), 1) for wanted, size in zip(shape, x.shape, strict=True)]
    return np.tile(x, repeats)


@operation("repeat", inputs=(1, 2))
def _repeat(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Repeat the parts along an axis, all so often or each by its own number."""
    x = inputs[0]
    axis = arguments.i[-1] if arguments.i else 0
    counts = integers(inputs[1]) if len(inputs) > 1 else arguments.i[:-1]
    axes_of([axis], x.ndim)
    total = sum(counts) if len(counts) > 1 else counts[0] * x.shape[axis]
    bounded([*x.shape[:axis], total, *x.shape[axis:][1:]] if axis >= 0 else [total, x.size], x.dtype)
    return np.repeat(x, counts[0] if len(counts) == 1 else counts, axis=axis)


@operation("broadcast_to", inputs=(2, 2))
def _broadcast_to(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.ascontiguousarray(np.broadcast_to(inputs[0], bounded(integers(inputs[1]), inputs[0].dtype)))


@operation("broadcast_dynamic_shape", inputs=(2, 2))
def _broadcast_shape(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.array(np.broadcast_shapes(integers(inputs[0]), integers(inputs[1])), inputs[0].dtype)


@operation("pad", inputs=(2, 3))
def _pad(inputs: Sequence[Array], arguments: Arguments) -> Array:
    mode = arguments.integer(0, 0)
    value = inputs[2].ravel()[0] if len(inputs) > 2 else arguments.number(0, 0.0)
    return _padded(inputs[0], inputs[1], mode, value)


@operation("mirror_pad", inputs=(2, 2))
def _mirror_pad(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _padded(inputs[0], inputs[1], 1 + arguments.integer(0, 0), 0)


def _padded(x: Array, paddings: Array, mode: int, value: Any) -> Array:
    if paddings.shape != (x.ndim, 2) or not 0 <= mode < len(_PAD_MODES):
        msg = f"paddings of shape {list(paddings.shape)} in mode {mode} for an array of rank {x.ndim}"
        raise ValueError(msg)
    sides = [(int(before), int(after)) for before, after in paddings.tolist()]
    bounded([size + before + after for size, (before, after) in zip(x.shape, sides, strict=True)], x.dtype)
    if mode == 0:
        return np.pad(x, sides, constant_values=x.dtype.type(value))
    return np.asarray(np.pad(x, sides, mode=_PAD_MODES[mode]))


@operation("shape_of", "shape", inputs=(1, 1))
def _shape_of(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.array(inputs[0].shape, numpy_dtype(arguments.d[0]) if arguments.d else np.int64)


@operation("shapes_of", "shape_n", inputs=(1, None))
def _shapes_of(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    del arguments
    return [np.array(each.shape, np.int64) for each in inputs]


@operation("set_shape", inputs=(2, 2))
def _set_shape(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return inputs[0]


@operation("size", inputs=(1, 1))
def _size(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.asarray(inputs[0].size, np.int64)


@operation("size_at", inputs=(1, 1))
def _size_at(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x, axis = inputs[0], arguments.integer(0, 0)
    axes_of([axis], x.ndim)
    return np.asarray(x.shape[axis], np.int64)


@operation("rank", inputs=(1, 1))
def _rank(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.asarray(inputs[0].ndim, np.int32)


@operation("order", inputs=(1, 1))
def _order(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return inputs[0]


@operation("reverse", "reverse_v2", inputs=(1, 2))
def _reverse(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    wanted = integers(inputs[1]) if len(inputs) > 1 else arguments.i or arguments.dimensions
    return (
        np.ascontiguousarray(np.flip(x, axes_of(wanted, x.ndim)))
        if wanted
        else np.ascontiguousarray(np.flip(x))
    )


@operation("reverse_sequence", inputs=(2, 2))
def _reverse_sequence(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Reverse the first so many parts along one axis, a number for each part along another."""
    x, lengths = inputs
    sequence, batch = arguments.integer(0, 0), arguments.integer(1, 0)
    axes_of([sequence, batch], x.ndim)
    moved = np.moveaxis(x, (batch, sequence), (0, 1)).copy()
    for row, length in enumerate(integers(lengths)):
        moved[row, :length] = moved[row, :length][::-1]
    return np.ascontiguousarray(np.moveaxis(moved, (0, 1), (batch, sequence)))


@operation("roll", inputs=(1, 3))
def _roll(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    if len(inputs) > 1:
        axes = axes_of(integers(inputs[2]), x.ndim) if len(inputs) > 2 else None
        return np.roll(x, integers(inputs[1]), axes)
    shifts = arguments.i
    return np.roll(x, shifts[0], None) if len(shifts) == 1 else np.roll(x, shifts[0], shifts[1:])
