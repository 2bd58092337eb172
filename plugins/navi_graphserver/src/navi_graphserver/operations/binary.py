"""Element by element, of two arrays: arithmetic, comparisons and logic, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.operations.table import Arguments, are_small, bounded, operation
from navi_graphserver.operations.unary import second_operand

Binary = Callable[[Any, Any], Any]


def _divide(x: Array, y: Array) -> Array:
    """Divide as C does: integers are cut off towards zero."""
    if x.dtype.kind in "iub":
        return _truncated(x, y)
    return np.divide(x, y)


def _truncated(x: Array, y: Array) -> Array:
    if x.dtype.kind == "f":
        return np.trunc(x / y)
    if not np.all(y):
        msg = "integers are divided by zero"
        raise ValueError(msg)
    quotient = np.abs(x) // np.abs(y)
    return np.where((x < 0) != (y < 0), -quotient, quotient)


def _divide_no_nan(x: Array, y: Array) -> Array:
    return np.where(y == 0, 0, np.divide(x, np.where(y == 0, 1, y)))


def _floor_divide(x: Array, y: Array) -> Array:
    return np.floor(x / y) if x.dtype.kind == "f" else np.floor_divide(x, y)


ARITHMETIC: Final[dict[str, Binary]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": _divide,
    "reversesubtract": lambda x, y: y - x,
    "reversedivide": lambda x, y: _divide(y, x),
    "squaredsubtract": lambda x, y: (x - y) * (x - y),
    "squared_reverse_subtract": lambda x, y: (y - x) * (y - x),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "amax": lambda x, y: np.where(np.abs(x) >= np.abs(y), x, y),
    "amin": lambda x, y: np.where(np.abs(x) <= np.abs(y), x, y),
    "pow": np.power,
    "reverse_pow": lambda x, y: np.power(y, x),
    "mod": np.fmod,
    "reversemod": lambda x, y: np.fmod(y, x),
    "fmod": np.fmod,
    "remainder": np.remainder,
    "floormod": np.mod,
    "floordiv": _floor_divide,
    "truncatediv": _truncated,
    "safe_divide": lambda x, y: np.where(y == 0, 0, _divide(x, np.where(y == 0, 1, y))),
    "divide_no_nan": _divide_no_nan,
    "tf_atan2": np.arctan2,
    "copy_second": lambda x, y: np.broadcast_to(y, np.broadcast_shapes(x.shape, y.shape)),
    "axpy": np.add,
    "relative_error": lambda x, y: np.where(x == y, 0, np.abs(x - y) / (np.abs(x) + np.abs(y))),
}
"""Answers have the type of the first operand, or of the second where only that is a float."""

COMPARISONS: Final[dict[str, Binary]] = {
    "equals": np.equal,
    "not_equals": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "epsilon_equals": lambda x, y: np.abs(x - y) <= 1e-5,
    "boolean_and": np.logical_and,
    "boolean_or": np.logical_or,
    "boolean_xor": np.logical_xor,
}

_BITWISE: Final[dict[str, Binary]] = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "shift_bits": np.left_shift,
    "rshift_bits": np.right_shift,
}

_SYNONYMS: Final = {
    "subtract": ("Sub", "sub"),
    "multiply": ("Mul",),
    "divide": ("Div", "realdiv", "RealDiv"),
    "reversesubtract": ("RSub",),
    "reversedivide": ("RDiv",),
    "squaredsubtract": ("squareddifference",),
    "pow": ("Pow",),
    "equals": ("Equals", "equal"),
    "not_equals": ("NotEquals", "notequals"),
    "greater": ("Greater",),
    "greater_equal": ("GreaterOrEquals", "greaterOrEquals"),
    "less": ("Less",),
    "less_equal": ("LessOrEquals", "lessorequals"),
}


def common_dtype(x: Array, y: Array) -> np.dtype[Any]:
    """Return the type of an answer from two operands (libnd4j's ``pickPairwiseResultType``)."""
    if x.dtype == y.dtype or x.dtype.kind in "fV":
        return x.dtype
    if y.dtype.kind in "fV":
        return y.dtype
    return x.dtype if x.dtype.itemsize >= y.dtype.itemsize else y.dtype


def _arithmetic(function: Binary) -> Any:
    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        x, y = inputs[0], inputs[1] if len(inputs) > 1 else second_operand(inputs, arguments, 0.0)
        dtype = common_dtype(x, y) if len(inputs) > 1 else x.dtype
        if x.shape != y.shape and not are_small(x, y):
            bounded(np.broadcast_shapes(x.shape, y.shape), dtype)
        result: Array = np.asarray(function(x.astype(dtype, copy=False), y.astype(dtype, copy=False)))
        return result.astype(dtype, copy=False)

    return evaluate


def _comparison(function: Binary) -> Any:
    def evaluate(inputs: Sequence[Array], arguments: Arguments) -> Array:
        x, y = inputs[0], inputs[1] if len(inputs) > 1 else second_operand(inputs, arguments, 0.0)
        if x.shape != y.shape and not are_small(x, y):
            bounded(np.broadcast_shapes(x.shape, y.shape), np.float64)
        if x.dtype != y.dtype and x.dtype.kind != "O":
            dtype = common_dtype(x, y) if len(inputs) > 1 else np.result_type(x.dtype, y.dtype)
            x, y = x.astype(dtype, copy=False), y.astype(dtype, copy=False)
        return np.asarray(function(x, y), np.bool_)

    return evaluate


for _name, _function in ARITHMETIC.items():
    operation(_name, *_SYNONYMS.get(_name, ()), inputs=(1, 2))(_arithmetic(_function))
for _name, _function in COMPARISONS.items():
    operation(_name, *_SYNONYMS.get(_name, ()), inputs=(1, 2))(_comparison(_function))
for _name, _function in _BITWISE.items():
    operation(_name, inputs=(2, 2))(_arithmetic(_function))


@operation("select", inputs=(3, 3))
def _select(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Take from the second where the first is true, else from the third; a vector of conditions chooses rows."""
    del arguments
    condition, x, y = inputs
    condition = condition != 0
    if condition.ndim == 1 and x.ndim > 1 and condition.shape[0] == x.shape[0]:
        condition = condition.reshape(condition.shape[0], *([1] * (x.ndim - 1)))
    return np.where(condition, x, y).astype(x.dtype, copy=False)


@operation("Where", "where_np", inputs=(1, 3))
def _where(inputs: Sequence[Array], arguments: Arguments) -> Array:
    """Choose like ``select``; with one input, the places of what is true."""
    if len(inputs) == 1:
        return np.argwhere(inputs[0]).astype(np.int64)
    return np.asarray(_select(inputs, arguments))


@operation("mergeadd", "accumulate_n", "accumulaten", "add_n", "addn", "mergesum", inputs=(1, None))
def _add_all(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    total = inputs[0]
    for each in inputs[1:]:
        _same_shape(total, each)
        total = total + each
    return total


@operation("mergemax", "MergeMax", inputs=(1, None))
def _maximum_of_all(inputs: Sequence[Array], arguments: Arguments) -> Array:
    del arguments
    most = inputs[0]
    for each in inputs[1:]:
        _same_shape(most, each)
        most = np.maximum(most, each)
    return most


@operation("mergeavg", inputs=(1, None))
def _mean_of_all(inputs: Sequence[Array], arguments: Arguments) -> Array:
    return np.asarray((_add_all(inputs, arguments) / len(inputs)).astype(inputs[0].dtype))


def _same_shape(x: Array, y: Array) -> None:
    if x.shape != y.shape:
        msg = f"shapes {list(x.shape)} and {list(y.shape)}; expected equal ones"
        raise ValueError(msg)
