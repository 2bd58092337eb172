"""Over axes: sums, means, extremes, norms, moments, and where they are found.

Which axes: the second input where there is one, else the node's ``dimensions`` (legacy) or integers (CUSTOM); none, or
2147483647 among them, are all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, axes_of, integers, operation
from navi_graphserver.operations.unary import as_float

ALL_AXES: Final = 2147483647
Reduction = Callable[..., Any]


def _log_sum_exp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    most = np.max(x, axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, 0)
    total = np.log(np.sum(np.exp(x - most), axis=axis, keepdims=True)) + most
    return np.asarray(total if keepdims else np.squeeze(total, axis=axis))


def _entropy(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    return -np.sum(x * np.log(x), axis=axis, keepdims=keepdims)


def _through(function: Callable[[Array], Any], reduction: Reduction) -> Reduction:
    return lambda x, axis, keepdims: reduction(function(x), axis=axis, keepdims=keepdims)


_FLOAT: Final[dict[str, Reduction]] = {
    "reduce_mean": np.mean,
    "amean": _through(np.abs, np.mean),
    "reduce_norm1": _through(np.abs, np.sum),
    "reduce_norm2": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
    "reduce_norm_max": _through(np.abs, np.max),
    "reduce_sqnorm": _through(np.square, np.sum),
    "entropy": _entropy,
    "log_entropy": lambda x, axis, keepdims: np.log(_entropy(x, axis, keepdims)),
    "shannon_entropy": lambda x, axis, keepdims: -np.sum(x * np.log2(x), axis=axis, keepdims=keepdims),
    "reduce_logsumexp": _log_sum_exp,
}
_SAME: Final[dict[str, Reduction]] = {
    "reduce_sum": np.sum,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "asum": _through(np.abs, np.sum),
    "reduce_amax": _through(np.abs, np.max),
    "reduce_amin": _through(np.abs, np.min),
}
_LONG: Final[dict[str, Reduction]] = {
    "count_non_zero": lambda x, axis, keepdims: np.count_nonzero(x, axis=axis, keepdims=keepdims),
    "count_zero": lambda x, axis, keepdims: np.count_nonzero(x == 0, axis=axis, keepdims=keepdims),
}
_BOOL: Final[dict[str, Reduction]] = {
    "any": np.any,
    "all": np.all,
    "all_finite": _through(np.isfinite, np.all),
    "any_inf_or_nan": _through(lambda x: ~np.isfinite(x), np.any),
    "any_nan": _through(np.isnan, np.any),
    "any_inf": _through(np.isinf, np.any),
    "all_positive": _through(lambda x: x > 0, np.all),
    "all_negative": _through(lambda x: x < 0, np.all),
}


def reduction_axes(inputs: Sequence[Array], arguments: Arguments) -> tuple[tuple[int, ...], bool]:
    """Return the axes to reduce, and whether they are kept with one element."""
    x = inputs[0]
    legacy = arguments.dimensions
    keep = arguments.flag(0)
    if arguments.is_gen1 and len(inputs) > 1:
        keep = legacy[:1] == (1,)
    wanted = integers(inputs[1]) if len(inputs) > 1 else legacy or arguments.i
    if not wanted or ALL_AXES in wanted or (len(inputs) > 1 and ALL_AXES in legacy):
        return tuple(range(x.ndim)), keep
    return axes_of(wanted, x.ndim), keep


def _register(table: dict[str, Reduction], dtype: Any, *, as_floats: bool = False) -> None:
    for name, function in table.items():
        operation(name, inputs=(1, 2))(_reduction(function, dtype, as_floats=as_floats))


def _reduction(function: Reduction, dtype: Any, *, as_floats: bool) -> Any:
    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        x = as_float(inputs[0]) if as_floats else inputs[0]
        axes, keep = reduction_axes(inputs, arguments)
        return np.asarray(function(x, axis=axes, keepdims=keep)).astype(dtype or x.dtype, copy=False)

    return evaluate


_register(_FLOAT, None, as_floats=True)
_register(_SAME, None)
_register(_LONG, np.int64)
_register(_BOOL, np.bool_)


def _variance(inputs: Sequence[Array], arguments: Arguments, *, corrected: bool) -> Array:
    x = as_float(inputs[0])
    axes, keep = reduction_axes(inputs, arguments)
    count = int(np.prod([x.shape[axis] for axis in axes])) if axes else 1
    return np.asarray(np.var(x, axis=axes, ddof=int(corrected and count > 1), keepdims=keep)).astype(x.dtype)


@operation("variance", inputs=(1, 2))
def _legacy_variance(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Correct for bias unless the node says otherwise (its second boolean tells the argument's form)."""
    return _variance(inputs, arguments, corrected=bool(arguments.number(0, 1.0)))


@operation("stdev", inputs=(1, 2))
def _legacy_deviation(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.asarray(np.sqrt(_legacy_variance(inputs, arguments)))


@operation("reduce_variance", inputs=(1, 2))
def _reduce_variance(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _variance(inputs, arguments, corrected=arguments.flag(1) or bool(arguments.number(1, 0.0)))


@operation("reduce_stdev", inputs=(1, 2))
def _reduce_deviation(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.asarray(np.sqrt(_reduce_variance(inputs, arguments)))


@operation("moments", inputs=(1, 2))
def _moments(inputs: Sequence[Array], arguments: Arguments) -> tuple[Array, Array]:
    x = as_float(inputs[0])
    axes, keep = reduction_axes(inputs, arguments)
    mean = np.asarray(np.mean(x, axis=axes, keepdims=keep)).astype(x.dtype)
    return mean, np.asarray(np.var(x, axis=axes, keepdims=keep)).astype(x.dtype)


@operation("zero_fraction")
def _zero_fraction(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    x = inputs[0]
    return np.asarray(np.count_nonzero(x == 0) / max(x.size, 1), np.float32)


def _position(inputs: Sequence[Array], arguments: Arguments, function: Callable[..., Any]) -> Array:
    """Find where something is along one axis; along several, or all, in the array read row by row."""
    x = inputs[0]
    axes, keep = reduction_axes(inputs, arguments)
    if len(axes) == x.ndim:
        found = np.asarray(function(x.reshape(-1), axis=0))
        return (found.reshape([1] * x.ndim) if keep else found).astype(np.int64)
    if len(axes) != 1:
        msg = f"the place along {len(axes)} of {x.ndim} axes"
        raise ValueError(msg)
    found = np.asarray(function(x, axis=axes[0]))
    return (np.expand_dims(found, axes[0]) if keep else found).astype(np.int64)


@operation("argmax", inputs=(1, 2))
def _argmax(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _position(inputs, arguments, np.argmax)


@operation("argmin", inputs=(1, 2))
def _argmin(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _position(inputs, arguments, np.argmin)


@operation("argamax", inputs=(1, 2))
def _argamax(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _position([np.abs(inputs[0]), *inputs[1:]], arguments, np.argmax)


@operation("argamin", inputs=(1, 2))
def _argamin(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _position([np.abs(inputs[0]), *inputs[1:]], arguments, np.argmin)


def _cumulative(
    inputs: Sequence[Array], arguments: Arguments, function: Callable[..., Any], start: int
) -> Array:
    x = inputs[0]
    exclusive, backwards = arguments.integer(0, 0) != 0, arguments.integer(1, 0) != 0
    wanted = integers(inputs[1]) if len(inputs) > 1 else arguments.i[2:] or arguments.dimensions
    axis = axes_of(wanted, x.ndim)[0] if wanted else None
    if axis is None:
        x, axis, shape = x.reshape(-1), 0, x.shape
    else:
        shape = x.shape
    x = np.flip(x, axis) if backwards else x
    result = function(x, axis=axis, dtype=x.dtype)
    if exclusive:
        first = np.full_like(np.take(x, [0], axis=axis), start) if x.shape[axis] else x
        result = np.concatenate([first, np.take(result, range(x.shape[axis] - 1), axis=axis)], axis=axis)
    return np.ascontiguousarray(np.flip(result, axis) if backwards else result).reshape(shape)


@operation("cumsum", inputs=(1, 2))
def _cumsum(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _cumulative(inputs, arguments, np.cumsum, 0)


@operation("cumprod", inputs=(1, 2))
def _cumprod(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return _cumulative(inputs, arguments, np.cumprod, 1)


def _cosine(x: Array, y: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    product = np.sum(x * y, axis=axis, keepdims=keepdims)
    x_norm, y_norm = (np.sqrt(np.sum(each * each, axis=axis, keepdims=keepdims)) for each in (x, y))
    return product / (x_norm * y_norm)


_DISTANCES: Final[dict[str, Reduction]] = {
    "manhattan": lambda x, y, axis, keepdims: np.sum(np.abs(x - y), axis=axis, keepdims=keepdims),
    "euclidean": lambda x, y, axis, keepdims: np.sqrt(np.sum((x - y) ** 2, axis=axis, keepdims=keepdims)),
    "reduce_dot": lambda x, y, axis, keepdims: np.sum(x * y, axis=axis, keepdims=keepdims),
    "cosine_similarity": _cosine,
    "cosine_distance": lambda x, y, axis, keepdims: 1 - _cosine(x, y, axis, keepdims),
    "jaccard": lambda x, y, axis, keepdims: (
        1
        - np.sum(np.minimum(x, y), axis=axis, keepdims=keepdims)
        / np.sum(np.maximum(x, y), axis=axis, keepdims=keepdims)
    ),
    "hamming": lambda x, y, axis, keepdims: np.sum(x != y, axis=axis, keepdims=keepdims),
}


def _distance(function: Reduction) -> Any:
    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        x, y = as_float(inputs[0]), as_float(inputs[1])
        np.broadcast_shapes(x.shape, y.shape)
        axes, keep = reduction_axes([x, *inputs[2:]], arguments)
        return np.asarray(function(x, y, axis=axes, keepdims=keep)).astype(x.dtype)

    return evaluate


for _name, _function in _DISTANCES.items():
    operation(_name, inputs=(2, 3))(_distance(_function))
