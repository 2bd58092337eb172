"""Arrays out of nothing but sizes and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.operations.shapes import numpy_dtype
from navi_graphserver.operations.table import Arguments, bounded, integers, operation


def _wanted(arguments: Arguments, default: Any) -> Any:
    return numpy_dtype(arguments.d[0]) if arguments.d else default


@operation("range", inputs=(0, 3))
def _range(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Count from start to limit by delta: three inputs, integers or numbers, of which one is the limit alone."""
    if inputs:
        numbers = [each.ravel()[0].item() for each in inputs]
        dtype = _wanted(arguments, inputs[0].dtype)
    else:
        numbers = list(arguments.i or arguments.t)
        dtype = _wanted(arguments, np.int32 if arguments.i else np.float32)
    start, limit, delta = (0, numbers[0], 1) if len(numbers) == 1 else (*numbers, 1)[:3]
    if not delta:
        msg = "a range with the step 0"
        raise ValueError(msg)
    bounded([max(0, math.ceil((limit - start) / delta))], dtype)
    return np.arange(start, limit, delta).astype(dtype)


@operation("lin_space", inputs=(0, 3))
def _lin_space(inputs: Sequence[Array], arguments: Arguments) -> Array:
    if inputs:
        start, stop, count = (each.ravel()[0].item() for each in inputs)
        dtype = _wanted(arguments, inputs[0].dtype if inputs[0].dtype.kind == "f" else np.float32)
    else:
        (start, stop), count = arguments.t[:2], arguments.i[0]
        dtype = _wanted(arguments, np.float32)
    bounded([int(count)], dtype)
    return np.linspace(start, stop, int(count)).astype(dtype)


@operation("fill", inputs=(1, 2))
def _fill(inputs: Sequence[Array], arguments: Arguments) -> Array:
    if len(inputs) > 1:
        value, dtype = inputs[1].ravel()[0], _wanted(arguments, inputs[1].dtype)
    elif arguments.t:
        value, dtype = arguments.t[0], _wanted(arguments, np.float32)
    else:
        value, dtype = arguments.i[0], _wanted(arguments, np.int64)
    return np.full(bounded(integers(inputs[0]), dtype), value, dtype)


@operation("fill_as", "fill_like", "filllike", inputs=(1, 1))
def _fill_as(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.full_like(inputs[0], arguments.t[0] if arguments.t else arguments.i[0])


@operation("zeros_as", "zeros_like", "zeroslike", inputs=(1, 1))
def _zeros_as(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.zeros(inputs[0].shape, _wanted(arguments, inputs[0].dtype))


@operation("ones_as", inputs=(1, 1))
def _ones_as(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.ones(inputs[0].shape, _wanted(arguments, inputs[0].dtype))


@operation("create", inputs=(1, 1))
def _create(inputs: Sequence[Array], arguments: Arguments) -> Array:
    dtype = numpy_dtype(arguments.d[0] if arguments.d else arguments.integer(1, 5))
    return np.zeros(bounded(integers(inputs[0]), dtype), dtype)


@operation("eye", inputs=(0, 1))
def _eye(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Make identity matrices: rows, columns, and the shape of a batch of them."""
    numbers = integers(inputs[0]) if inputs else arguments.i
    if numbers and numbers[0] in (-99, -102):
        numbers = numbers[1:]
    rows, columns, batch = numbers[0], (*numbers, numbers[0])[1], numbers[2:]
    dtype = _wanted(arguments, numpy_dtype(int(arguments.t[0])) if arguments.t else np.float32)
    bounded((*batch, rows, columns), dtype)
    return np.ascontiguousarray(np.broadcast_to(np.eye(rows, columns, dtype=dtype), (*batch, rows, columns)))


@operation("tri", inputs=(0, 0))
def _tri(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del inputs
    rows = arguments.i[0]
    columns, diagonal = arguments.integer(1, rows), arguments.integer(2, 0)
    dtype = _wanted(arguments, np.float32)
    bounded((rows, columns), dtype)
    return np.tri(rows, columns, diagonal, dtype)


@operation("onehot", inputs=(1, 4))
def _one_hot(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Put a value at each index along a new axis: indices, [depth, [on, off]]."""
    indices = inputs[0].astype(np.int64)
    depth = integers(inputs[1])[0] if len(inputs) > 1 else arguments.integer(1, 0)
    if len(inputs) > 3:
        on, off = inputs[2].ravel()[0], inputs[3].ravel()[0]
        dtype = _wanted(arguments, inputs[2].dtype)
    else:
        on, off = arguments.number(0, 1.0), arguments.number(1, 0.0)
        dtype = _wanted(arguments, np.float32)
    axis = arguments.integer(0, -1)
    bounded((*indices.shape, depth), dtype)
    hot = indices[..., None] == np.arange(depth)
    result = np.where(hot, np.asarray(on, dtype), np.asarray(off, dtype))
    return np.ascontiguousarray(np.moveaxis(result, -1, axis))


@operation("sequence_mask", inputs=(1, 2))
def _sequence_mask(inputs: Sequence[Array], arguments: Arguments) -> Array:
    lengths = inputs[0].astype(np.int64)
    if len(inputs) > 1:
        most = integers(inputs[1])[0]
    else:
        most = arguments.integer(0, 0) or (int(lengths.max()) if lengths.size else 0)
    dtype = _wanted(arguments, np.bool_)
    bounded((*lengths.shape, most), dtype)
    return (np.arange(most) < lengths[..., None]).astype(dtype)


@operation("meshgrid", inputs=(1, None))
def _meshgrid(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    xy = arguments.flag(0, default=True) if arguments.b else arguments.integer(0, 1) != 0
    bounded([each.size for each in inputs], np.float64)
    return [
        each.copy() for each in np.meshgrid(*(each.ravel() for each in inputs), indexing="xy" if xy else "ij")
    ]
