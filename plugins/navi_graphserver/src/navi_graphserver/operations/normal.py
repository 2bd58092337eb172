"""Normalisation and softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, axes_of, operation
from navi_graphserver.operations.unary import as_float


@operation("batchnorm", inputs=(3, 5))
def _batch_norm(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Normalise with a mean and a variance that were learned: x, mean, variance, [gamma], [beta]."""
    x, mean, variance = inputs[:3]
    scale, offset, axes = arguments.integer(0, 0), arguments.integer(1, 0), arguments.i[2:] or (-1,)
    kept = axes_of(axes, x.ndim)
    shape = [x.shape[axis] if axis in kept else 1 for axis in range(x.ndim)]
    rest = list(inputs[3:])
    result = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + arguments.number(0, 1e-3))
    if scale:
        result = result * rest.pop(0).reshape(shape)
    if offset:
        result = result + rest.pop(0).reshape(shape)
    return result.astype(x.dtype)


@operation("fused_batch_norm", inputs=(3, 6))
def _fused_batch_norm(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Normalise as TensorFlow's fused operation does at inference: x, scale, offset, mean, variance."""
    if len(inputs) < 5 or arguments.integer(1, 0):
        msg = "statistics of the batch itself, which only training needs"
        raise ValueError(msg)
    x, scale, offset, mean, variance = inputs[:5]
    shape = [1, 1, 1, -1] if arguments.integer(0, 0) == 0 else [1, -1, 1, 1]
    scale, offset, mean, variance = (each.reshape(shape) for each in (scale, offset, mean, variance))
    return ((x - mean) / np.sqrt(variance + arguments.number(0, 1e-3)) * scale + offset).astype(x.dtype)


@operation("standardize", inputs=(1, 2))
def _standardize(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Subtract the mean and divide by the deviation; what does not deviate is 0."""
    x = as_float(inputs[0])
    axes = axes_of(
        inputs[1].astype(int).tolist() if len(inputs) > 1 else arguments.i or arguments.dimensions, x.ndim
    )
    deviation = np.std(x, axis=axes, keepdims=True)
    centred = x - np.mean(x, axis=axes, keepdims=True)
    return np.where(deviation == 0, 0, centred / np.where(deviation == 0, 1, deviation)).astype(x.dtype)


@operation("layer_norm", inputs=(2, 3))
def _layer_norm(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Standardise, then scale and shift along the channels."""
    x, gain = inputs[0], inputs[1]
    channels = 1 if arguments.flag(0) else x.ndim - 1
    shape = [x.shape[axis] if axis == channels else 1 for axis in range(x.ndim)]
    result = _standardize([x], Arguments(i=arguments.i or (-1,))) * gain.reshape(shape)
    if len(inputs) > 2:
        result = result + inputs[2].reshape(shape)
    return np.asarray(result.astype(x.dtype))


@operation("softmax", inputs=(1, 1))
def _softmax(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = as_float(inputs[0])
    axis = arguments.integer(0, -1)
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return np.asarray((e / np.sum(e, axis=axis, keepdims=True)).astype(x.dtype))


@operation("log_softmax", inputs=(1, 1))
def _log_softmax(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = as_float(inputs[0])
    axis = arguments.integer(0, -1)
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return np.asarray((shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))).astype(x.dtype))


@operation("lrn", "LRN", "local_response_normalization", inputs=(1, 1))
def _local_response(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Divide by the squares of neighbouring channels, the last axis: numbers are bias, alpha and beta."""
    x = inputs[0]
    bias, alpha, beta = (arguments.number(place, default) for place, default in enumerate((1.0, 1.0, 0.5)))
    depth = arguments.integer(0, 5)
    squares = np.pad(x * x, [*([(0, 0)] * (x.ndim - 1)), (depth, depth)])
    sums = np.lib.stride_tricks.sliding_window_view(squares, 2 * depth + 1, -1).sum(axis=-1)
    return np.asarray((x / (bias + alpha * sums) ** beta).astype(x.dtype))


@operation("clipbynorm", inputs=(1, 2))
def _clip_by_norm(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    most = float(inputs[1].ravel()[0]) if len(inputs) > 1 else arguments.number(0, 1.0)
    axes = axes_of(arguments.i, x.ndim) or None
    norm = np.sqrt(np.sum(x * x, axis=axes, keepdims=True))
    return np.where(norm > most, x * (most / np.maximum(norm, np.finfo(x.dtype).tiny)), x).astype(x.dtype)


@operation("l2_loss", inputs=(1, 1))
def _l2_loss(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    return np.asarray(np.sum(inputs[0] * inputs[0]) / 2, inputs[0].dtype)


@operation("dot_product_attention", inputs=(3, 4))
def _attention(inputs: Sequence[Array], arguments: Arguments) -> Sequence[Array]:
    """Attend with queries (.., features, queries) to keys and values (.., features, times); a mask is optional."""
    queries, keys, values = inputs[:3]
    scores = np.swapaxes(keys, -1, -2) @ queries
    if arguments.integer(0, 0):
        scores = scores / np.sqrt(np.asarray(keys.shape[-2], scores.dtype))
    if len(inputs) > 3:
        mask = inputs[3].reshape(inputs[3].shape[0], *([1] * (scores.ndim - 3)), inputs[3].shape[-1], 1)
        scores = scores - (1 - mask.astype(scores.dtype)) * np.asarray(1e9, scores.dtype)
    e = np.exp(scores - scores.max(axis=-2, keepdims=True))
    weights = (e / e.sum(axis=-2, keepdims=True)).astype(queries.dtype)
    result = values @ weights
    return [result, weights] if arguments.integer(1, 0) else [result]
