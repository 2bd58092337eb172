"""Element by element, of one array: the legacy transforms, activations, and their CUSTOM forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, operation

_ERF: Final = np.frompyfunc(math.erf, 1, 1)
_SQRT_2_OVER_PI: Final = math.sqrt(2 / math.pi)
_SELU_ALPHA: Final = 1.6732632423543772848170429916717
_SELU_SCALE: Final = 1.0507009873554804934193349852946


def as_float(array: Array) -> Array:
    """Return an array of floats: nd4j's default type for what is none."""
    return array if array.dtype.kind in "fV" else array.astype(np.float32)


def erf(x: Array) -> Array:
    """Return the error function, in float64: NumPy has none, Python's is exact."""
    return np.asarray(_ERF(x.astype(np.float64)), np.float64)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e**-x) without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def softplus(x: Array) -> Array:
    """Return log(1 + e**x) without overflow."""
    return np.logaddexp(x, np.zeros((), x.dtype)).astype(x.dtype)


def _erf_like(x: Array) -> Array:
    return erf(x).astype(x.dtype)


def _gelu(x: Array) -> Array:
    """Return x * sigmoid(1.702 x): what libnd4j calls GELU."""
    return x * sigmoid((1.702 * x).astype(x.dtype))


def _precise_gelu(x: Array) -> Array:
    """Return libnd4j's PreciseGELU, the form with tanh."""
    return np.asarray(0.5 * x * (1 + np.tanh(_SQRT_2_OVER_PI * (x + 0.044715 * x**3))))


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _round(x: Array) -> Array:
    """Round halves away from zero, as C does."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x) if x.dtype.kind == "f" else x


def _rational_tanh(x: Array) -> Array:
    """Return libnd4j's approximation 1.7159 * tanh(2x/3)."""
    a = np.abs(x * (2.0 / 3.0))
    return np.asarray(1.7159 * np.sign(x) * (1 - 1 / (1 + a + a * a + 1.41645 * a**4)))


_FLOAT: Final[dict[str, Callable[[Array], Any]]] = {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "cos": np.cos,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sin": np.sin,
    "tan": np.tan,
    "tanh": np.tanh,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "acosh": np.arccosh,
    "asinh": np.arcsinh,
    "atanh": np.arctanh,
    "sigmoid": sigmoid,
    "logsigmoid": lambda x: -softplus(-x),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "hardsigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "rationaltanh": _rational_tanh,
    "rectifiedtanh": lambda x: np.maximum(np.tanh(x), 0),
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "swish": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "gelu": _gelu,
    "precise_gelu": _precise_gelu,
    "erf": _erf_like,
    "erfc": lambda x: (1 - erf(x)).astype(x.dtype),
    "rint": np.rint,
}
_SAME: Final[dict[str, Callable[[Array], Any]]] = {
    "abs": np.abs,
    "sign": np.sign,
    "ones": np.ones_like,
    "neg": np.negative,
    "round": _round,
    "times_one_minus": lambda x: x * (1 - x),
    "cube": lambda x: x * x * x,
    "one_minus": lambda x: 1 - x,
    "reciprocal": lambda x: 1 / x,
    "square": np.square,
    "identity": lambda x: x,
    "ceil": np.ceil,
    "floor": np.floor,
}
_BOOL: Final[dict[str, Callable[[Array], Any]]] = {
    "isinf": np.isinf,
    "isnan": np.isnan,
    "isfinite": np.isfinite,
    "isinf_or_nan": lambda x: ~np.isfinite(x),
    "is_positive": lambda x: x > 0,
    "is_negative": lambda x: x < 0,
    "not": lambda x: x == 0,
}
_SYNONYMS: Final = {
    "sigmoid": ("Sigmoid",),
    "tanh": ("Tanh",),
    "log1p": ("Log1p",),
    "exp": ("Exp",),
    "log": ("Log",),
    "floor": ("Floor",),
    "identity": ("stop_gradient", "StopGradient", "linear", "copy", "dropout", "noop"),
    "square": (),
    "not": ("boolean_not",),
}


def _register_all() -> None:
    for table, prepare in ((_FLOAT, as_float), (_SAME, None), (_BOOL, None)):
        for name, function in table.items():
            most = None if name == "identity" else 1  # dropout has seeds and rates, noop anything
            least = 0 if name == "identity" else 1
            operation(name, *_SYNONYMS.get(name, ()), inputs=(least, most))(_element_wise(function, prepare))


def _element_wise(function: Callable[[Array], Any], prepare: Callable[[Array], Array] | None) -> Any:
    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Any:
        del arguments
        if not inputs:
            return []
        x = inputs[0] if prepare is None else prepare(inputs[0])
        result = np.asarray(function(x))
        return result if result.dtype == np.bool_ else result.astype(x.dtype, copy=False)

    return evaluate


_register_all()


@operation("relu", inputs=(1, 2))
def _relu(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    return np.asarray(np.maximum(x, second_operand(inputs, arguments, 0.0).astype(x.dtype)))


@operation("relu6", inputs=(1, 2))
def _relu6(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    least = np.maximum(x, second_operand(inputs, arguments, 0.0).astype(x.dtype))
    return np.asarray(np.minimum(least, 6), x.dtype)


@operation("lrelu", "LeakyRELU", inputs=(1, 2))
def _leaky_relu(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = as_float(inputs[0])
    return np.where(x >= 0, x, x * second_operand(inputs, arguments, 0.01).astype(x.dtype)).astype(x.dtype)


@operation("elu", inputs=(1, 2))
def _elu_operation(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = as_float(inputs[0])
    return _elu(x, float(second_operand(inputs, arguments, 1.0).ravel()[0])).astype(x.dtype)


@operation("prelu", inputs=(2, 2))
def _prelu(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Leaky with a learned slope each; integers are the axes that share one."""
    x, alpha = inputs
    shape = [1 if axis + 1 in arguments.i else size for axis, size in enumerate(x.shape[1:])]
    if alpha.size == math.prod(shape):
        alpha = alpha.reshape(shape)
    return np.where(x >= 0, x, x * alpha).astype(x.dtype)


@operation("thresholdedrelu", inputs=(1, 1))
def _thresholded_relu(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    return np.where(x > arguments.number(0, 0.0), x, 0).astype(x.dtype)


@operation("crelu", inputs=(1, 1))
def _crelu(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Concatenate relu(x) and relu(-x) along the last axis."""
    del arguments
    x = inputs[0]
    return np.asarray(np.maximum(np.concatenate([x, -x], axis=-1), 0).astype(x.dtype))


@operation("step", inputs=(1, 2))
def _step(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    return (x > second_operand(inputs, arguments, 0.0).astype(x.dtype)).astype(x.dtype)


@operation("clipbyvalue", "ClipByValue", inputs=(1, 3))
def _clip_by_value(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    low, high = (inputs[1], inputs[2]) if len(inputs) > 2 else (arguments.t[0], arguments.t[1])
    return np.clip(x, low, high).astype(x.dtype)


@operation("replace_nans", inputs=(1, 2))
def _replace_nans(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = inputs[0]
    return np.where(np.isnan(x), second_operand(inputs, arguments, 0.0).astype(x.dtype), x)


@operation("log_x", inputs=(1, 2))
def _log_x(inputs: Sequence[Array], arguments: Arguments) -> Array:
    x = as_float(inputs[0])
    return np.asarray(
        (np.log(x) / np.log(second_operand(inputs, arguments, math.e).astype(x.dtype))).astype(x.dtype)
    )


def second_operand(inputs: Sequence[Array], arguments: Arguments, default: float) -> Array:
    """Return the second operand of a SCALAR operation: an input, the first number, the node's constant."""
    if len(inputs) > 1:
        return inputs[1]
    if arguments.t:
        return np.asarray(arguments.t[0])
    return np.asarray(default) if arguments.scalar is None else arguments.scalar
