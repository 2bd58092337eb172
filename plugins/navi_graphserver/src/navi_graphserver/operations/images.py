"""Images: resizing, and moving between space, depth and batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, bounded, integers, operation
from navi_graphserver.operations.unary import as_float

_IMAGE_RANK: Final = 4


def _target(inputs: Sequence[Array], arguments: Arguments) -> tuple[int, int]:
    height, width = integers(inputs[1]) if len(inputs) > 1 else arguments.i[:2]
    if height < 1 or width < 1:
        msg = f"an image of {height} x {width}"
        raise ValueError(msg)
    return height, width


def _source_places(size: int, wanted: int, *, align: bool, centres: bool) -> Array:
    """Return where each of the wanted places lies in the source."""
    places = np.arange(wanted, dtype=np.float64)
    if align and wanted > 1:
        return places * ((size - 1) / (wanted - 1))
    scale = size / wanted
    return (places + 0.5) * scale - 0.5 if centres else places * scale


@operation("resize_bilinear", inputs=(1, 2))
def _resize_bilinear(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Resize (batch, height, width, channels); booleans: corners stay, places are centres."""
    x = as_float(inputs[0])
    height, width = _target(inputs, arguments)
    bounded((x.shape[0], height, width, x.shape[3]), x.dtype)
    for axis, wanted in ((1, height), (2, width)):
        size = x.shape[axis]
        places = _source_places(size, wanted, align=arguments.flag(0), centres=arguments.flag(1))
        places = np.clip(places, 0, size - 1)
        low = np.floor(places).astype(np.int64)
        part = (places - low).reshape([-1 if each == axis else 1 for each in range(_IMAGE_RANK)])
        upper = np.take(x, np.minimum(low + 1, size - 1), axis=axis)
        x = (np.take(x, low, axis=axis) * (1 - part) + upper * part).astype(x.dtype)
    return x


@operation("resize_nearest_neighbor", inputs=(1, 2))
def _resize_nearest(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    height, width = _target(inputs, arguments)
    bounded((x.shape[0], height, width, x.shape[3]), x.dtype)
    for axis, wanted in ((1, height), (2, width)):
        size = x.shape[axis]
        scale = (size - 1) / (wanted - 1) if arguments.flag(0) and wanted > 1 else size / wanted
        places = np.arange(wanted, dtype=np.float64)
        if arguments.flag(0):
            places = np.floor(places * scale + 0.5)
        elif arguments.flag(1):
            places = np.floor((places + 0.5) * scale)
        else:
            places = np.floor(places * scale)
        x = np.take(x, np.clip(places, 0, size - 1).astype(np.int64), axis=axis)
    return x


@operation("upsampling2d", inputs=(1, 1))
def _upsampling(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Repeat rows and columns; the third integer: 1 is channels first, 0 channels last."""
    x = inputs[0]
    rows, columns = arguments.i[0], arguments.integer(1, arguments.i[0])
    height, width = (2, 3) if arguments.integer(2, 1) else (1, 2)
    bounded([x.size * max(rows, 0) * max(columns, 0)], x.dtype)
    return np.repeat(np.repeat(x, rows, axis=height), columns, axis=width)


def _channels_last(x: Array, *, is_last: bool) -> Array:
    return x if is_last else np.moveaxis(x, 1, -1)


def _restored(x: Array, *, is_last: bool) -> Array:
    return np.ascontiguousarray(x if is_last else np.moveaxis(x, -1, 1))


@operation("space_to_depth", inputs=(1, 1))
def _space_to_depth(inputs: Sequence[Array], arguments: Arguments) -> Array:
    block, is_last = arguments.integer(0, 2), arguments.integer(1, 1) == 1
    x = _channels_last(inputs[0], is_last=is_last)
    n, h, w, c = x.shape
    parts = x.reshape(n, h // block, block, w // block, block, c).transpose(0, 1, 3, 2, 4, 5)
    return _restored(parts.reshape(n, h // block, w // block, block * block * c), is_last=is_last)


@operation("depth_to_space", inputs=(1, 1))
def _depth_to_space(inputs: Sequence[Array], arguments: Arguments) -> Array:
    block, is_last = arguments.integer(0, 2), arguments.integer(1, 1) == 1
    x = _channels_last(inputs[0], is_last=is_last)
    n, h, w, c = x.shape
    parts = x.reshape(n, h, w, block, block, c // (block * block)).transpose(0, 1, 3, 2, 4, 5)
    return _restored(parts.reshape(n, h * block, w * block, c // (block * block)), is_last=is_last)


def _space_to_batch(x: Array, blocks: Sequence[int], paddings: Array) -> Array:
    """Move blocks of the axes behind the first into the first."""
    count = len(blocks)
    if paddings.shape != (count, 2) or min(blocks) < 1:
        msg = f"paddings of shape {list(paddings.shape)} for blocks of {list(blocks)}"
        raise ValueError(msg)
    sides = [(0, 0), *((int(before), int(after)) for before, after in paddings.tolist())]
    sides += [(0, 0)] * (x.ndim - len(sides))
    bounded([size + before + after for size, (before, after) in zip(x.shape, sides, strict=True)], x.dtype)
    x = np.pad(x, sides)
    shape = [x.shape[0]]
    for size, block in zip(x.shape[1:], blocks, strict=False):
        shape += [size // block, block]
    rest = x.shape[1 + count :]
    parts = x.reshape(*shape, *rest)
    order = [2 * axis + 2 for axis in range(count)] + [0] + [2 * axis + 1 for axis in range(count)]
    order += range(2 * count + 1, parts.ndim)
    moved = parts.transpose(order)
    sizes = [size // block for size, block in zip(x.shape[1:], blocks, strict=False)]
    return np.ascontiguousarray(moved.reshape(-1, *sizes, *rest))


def _batch_to_space(x: Array, blocks: Sequence[int], crops: Array) -> Array:
    """Undo :func:`_space_to_batch`, then crop."""
    count = len(blocks)
    if crops.shape != (count, 2) or min(blocks) < 1:
        msg = f"crops of shape {list(crops.shape)} for blocks of {list(blocks)}"
        raise ValueError(msg)
    batch = x.shape[0] // int(np.prod(blocks))
    parts = x.reshape(*blocks, batch, *x.shape[1:])
    order = [count]
    for axis in range(count):
        order += [count + 1 + axis, axis]
    order += range(2 * count + 1, parts.ndim)
    sizes = [size * block for size, block in zip(x.shape[1:], blocks, strict=False)]
    whole = parts.transpose(order).reshape(batch, *sizes, *x.shape[1 + count :])
    kept = [
        slice(int(before), size - int(after))
        for size, (before, after) in zip(sizes, crops.tolist(), strict=True)
    ]
    return np.ascontiguousarray(whole[(slice(None), *kept)])


@operation("space_to_batch", inputs=(1, 2))
def _square_space_to_batch(inputs: Sequence[Array], arguments: Arguments) -> Array:
    block = arguments.i[0]
    paddings = inputs[1] if len(inputs) > 1 else np.array(arguments.i[1:5]).reshape(2, 2)
    return _space_to_batch(inputs[0], (block, block), paddings)


@operation("batch_to_space", inputs=(1, 2))
def _square_batch_to_space(inputs: Sequence[Array], arguments: Arguments) -> Array:
    block = arguments.i[0]
    crops = inputs[1] if len(inputs) > 1 else np.array(arguments.i[1:5]).reshape(2, 2)
    return _batch_to_space(inputs[0], (block, block), crops)


@operation("space_to_batch_nd", inputs=(3, 3))
def _space_to_batch_nd(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return _space_to_batch(inputs[0], integers(inputs[1]), inputs[2])


@operation("batch_to_space_nd", inputs=(3, 3))
def _batch_to_space_nd(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return _batch_to_space(inputs[0], integers(inputs[1]), inputs[2])
