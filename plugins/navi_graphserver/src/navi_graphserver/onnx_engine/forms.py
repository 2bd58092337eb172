"""The ONNX form of each operation that has one.

A form writes nodes and returns the names of its outputs. It refuses what it does not cover; the graph is then computed
with NumPy as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.writing import NotConvertibleError, Writer
from navi_graphserver.operations.reduce import reduction_axes
from navi_graphserver.operations.shapes import numpy_dtype
from navi_graphserver.operations.table import axes_of
from navi_graphserver.operations.windows import Window, window_of
from navi_graphserver.plan import Node

__all__ = ["FORMS"]

Form = Callable[[Writer, Node], list[str]]
FORMS: Final[dict[str, Form]] = {}
"""Operation -> its form."""


def form(*names: str) -> Callable[[Form], Form]:
    """Register a form for operations."""

    def register(write: Form) -> Form:
        for name in names:
            FORMS[name] = write
        return write

    return register


def _x(writer: Writer, node: Node, index: int = 0) -> str:
    return writer.name(node.inputs[index])


def _refuse(node: Node, why: str) -> NotConvertibleError:
    name = node.operation.name if node.operation is not None else node.control
    return NotConvertibleError(f"node '{node.label}' ({name}): {why}")


# --- element by element -----------------------------------------------------------------------------------

_UNARY: Final = {
    "abs": "Abs",
    "sign": "Sign",
    "neg": "Neg",
    "ceil": "Ceil",
    "floor": "Floor",
    "rint": "Round",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "tanh": "Tanh",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "asinh": "Asinh",
    "acosh": "Acosh",
    "atanh": "Atanh",
    "erf": "Erf",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "identity": "Identity",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "not": "Not",
}


def _unary(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        kind = writer.sample(node.inputs[0]).dtype.kind
        if operator == "Not" and kind != "b":
            raise _refuse(node, "the opposite of what is no bool")
        if operator not in ("Identity", "Abs", "Neg", "Sign", "Not") and kind != "f":
            raise _refuse(node, "of what is no float")
        return [writer.add(operator, _x(writer, node))]

    return write


for _name, _operator in _UNARY.items():
    FORMS[_name] = _unary(_operator)


@form("square")
def _square(writer: Writer, node: Node) -> list[str]:
    x = _x(writer, node)
    return [writer.add("Mul", x, x)]


@form("cube")
def _cube(writer: Writer, node: Node) -> list[str]:
    x = _x(writer, node)
    return [writer.add("Mul", writer.add("Mul", x, x), x)]


@form("one_minus")
def _one_minus(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Sub", writer.like(1, node.inputs[0]), _x(writer, node))]


@form("rsqrt")
def _rsqrt(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Reciprocal", writer.add("Sqrt", _x(writer, node)))]


@form("log1p")
def _log1p(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Log", writer.add("Add", _x(writer, node), writer.like(1, node.inputs[0])))]


@form("swish")
def _swish(writer: Writer, node: Node) -> list[str]:
    x = _x(writer, node)
    return [writer.add("Mul", x, writer.add("Sigmoid", x))]


@form("mish")
def _mish(writer: Writer, node: Node) -> list[str]:
    x = _x(writer, node)
    return [writer.add("Mul", x, writer.add("Tanh", writer.add("Softplus", x)))]


@form("gelu")
def _gelu(writer: Writer, node: Node) -> list[str]:
    x = _x(writer, node)
    scaled = writer.add("Mul", x, writer.like(1.702, node.inputs[0]))
    return [writer.add("Mul", x, writer.add("Sigmoid", scaled))]


@form("hardsigmoid")
def _hard_sigmoid(writer: Writer, node: Node) -> list[str]:
    return [writer.add("HardSigmoid", _x(writer, node), alpha=0.2, beta=0.5)]


@form("selu")
def _selu(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Selu", _x(writer, node))]


def _number(writer: Writer, node: Node, default: float) -> float:
    """Return the second operand of a SCALAR operation, which has to be known."""
    if len(node.inputs) > 1:
        known = writer.known(node.inputs[1])
        if known is None or known.size != 1:
            raise _refuse(node, "its second operand changes from run to run")
        return float(known.ravel()[0])
    if node.arguments.t:
        return node.arguments.t[0]
    return default if node.arguments.scalar is None else float(node.arguments.scalar.ravel()[0])


@form("relu")
def _relu(writer: Writer, node: Node) -> list[str]:
    cutoff = _number(writer, node, 0.0)
    if cutoff == 0:
        return [writer.add("Relu", _x(writer, node))]
    return [writer.add("Max", _x(writer, node), writer.like(cutoff, node.inputs[0]))]


@form("relu6")
def _relu6(writer: Writer, node: Node) -> list[str]:
    low = writer.like(_number(writer, node, 0.0), node.inputs[0])
    return [writer.add("Clip", _x(writer, node), low, writer.like(6, node.inputs[0]))]


@form("lrelu")
def _leaky_relu(writer: Writer, node: Node) -> list[str]:
    return [writer.add("LeakyRelu", _x(writer, node), alpha=_number(writer, node, 0.01))]


@form("elu")
def _elu(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Elu", _x(writer, node), alpha=_number(writer, node, 1.0))]


@form("clipbyvalue")
def _clip(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) > 1:
        raise _refuse(node, "its limits are inputs")
    low, high = (writer.like(each, node.inputs[0]) for each in node.arguments.t[:2])
    return [writer.add("Clip", _x(writer, node), low, high)]


# --- two operands -----------------------------------------------------------------------------------------

_BINARY: Final = {
    "add": ("Add", False),
    "subtract": ("Sub", False),
    "multiply": ("Mul", False),
    "divide": ("Div", False),
    "reversesubtract": ("Sub", True),
    "reversedivide": ("Div", True),
    "maximum": ("Max", False),
    "minimum": ("Min", False),
    "pow": ("Pow", False),
}
_COMPARE: Final = {
    "equals": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "boolean_and": "And",
    "boolean_or": "Or",
    "boolean_xor": "Xor",
}


def _operands(writer: Writer, node: Node) -> tuple[str, str]:
    """Return two operands of one type."""
    if node.aligned_axes and writer.sample(node.inputs[0]).ndim != writer.sample(node.inputs[1]).ndim:
        raise _refuse(node, "its second operand lies along some axes of the first")
    if len(node.inputs) == 1:
        return _x(writer, node), writer.like(_number(writer, node, 0.0), node.inputs[0])
    x, y = (writer.sample(each) for each in node.inputs[:2])
    if x.dtype != y.dtype:
        raise _refuse(node, "operands of two types")
    return _x(writer, node), _x(writer, node, 1)


def _binary(operator: str, *, is_reversed: bool) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        if operator == "Div" and writer.sample(node.inputs[0]).dtype.kind != "f":
            raise _refuse(node, "a division of integers")
        x, y = _operands(writer, node)
        return [writer.add(operator, *((y, x) if is_reversed else (x, y)))]

    return write


def _comparison(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        x, y = _operands(writer, node)
        if (operator in ("And", "Or", "Xor")) != (writer.sample(node.inputs[0]).dtype.kind == "b"):
            raise _refuse(node, "operands of another type")
        return [_as_answer(writer, node, writer.add(operator, x, y))]

    return write


def _as_answer(writer: Writer, node: Node, name: str) -> str:
    """Return a value in the type that the graph has it in: floats for everything in the first generation."""
    wanted = writer.sample(Address(node.id)).dtype
    return name if not node.arguments.is_gen1 else writer.cast(name, wanted)


for _name, (_operator, _is_reversed) in _BINARY.items():
    FORMS[_name] = _binary(_operator, is_reversed=_is_reversed)
for _name, _operator in _COMPARE.items():
    FORMS[_name] = _comparison(_operator)


@form("not_equals")
def _not_equals(writer: Writer, node: Node) -> list[str]:
    return [_as_answer(writer, node, writer.add("Not", writer.add("Equal", *_operands(writer, node))))]


@form("squaredsubtract")
def _squared_difference(writer: Writer, node: Node) -> list[str]:
    difference = writer.add("Sub", *_operands(writer, node))
    return [writer.add("Mul", difference, difference)]


@form("select")
def _select(writer: Writer, node: Node) -> list[str]:
    condition, x = (writer.sample(each) for each in node.inputs[:2])
    if condition.dtype.kind != "b" or (condition.ndim == 1 and x.ndim > 1):
        raise _refuse(node, "conditions that choose rows")
    return [writer.add("Where", *(writer.name(each) for each in node.inputs))]


@form("mergeadd")
def _sum(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Sum", *(writer.name(each) for each in node.inputs))]


# --- products, windows, normalisation ---------------------------------------------------------------------


@form("matmul")
def _matmul(writer: Writer, node: Node) -> list[str]:
    arguments = node.arguments
    if arguments.number(0, 1.0) != 1.0 or len(node.inputs) > 2:
        raise _refuse(node, "scaled, or added to something")
    names = []
    for place in (0, 1):
        name, rank = _x(writer, node, place), writer.sample(node.inputs[place]).ndim
        names.append(_swapped(writer, name, rank) if arguments.integer(place, 0) and rank > 1 else name)
    product = writer.add("MatMul", *names)
    if arguments.integer(2, 0):
        product = _swapped(writer, product, writer.sample(Address(node.id)).ndim)
    return [product]


def _swapped(writer: Writer, name: str, rank: int) -> str:
    order = [*range(rank - 2), rank - 1, rank - 2]
    return writer.add("Transpose", name, perm=order)


@form("xw_plus_b")
def _xw_plus_b(writer: Writer, node: Node) -> list[str]:
    x, weights, bias = (writer.name(each) for each in node.inputs)
    swaps = {"transA": node.arguments.integer(0, 0), "transB": node.arguments.integer(1, 0)}
    return [writer.add("Gemm", x, weights, bias, **swaps)]


@form("biasadd")
def _bias_add(writer: Writer, node: Node) -> list[str]:
    bias = _x(writer, node, 1)
    rank = writer.sample(node.inputs[0]).ndim
    if node.arguments.flag(0):
        bias = writer.add("Unsqueeze", bias, writer.constant(list(range(1, rank - 1)), np.int64))
    return [writer.add("Add", _x(writer, node), bias)]


def _first(writer: Writer, name: str, *, last: bool, rank: int = 4) -> str:
    return writer.add("Transpose", name, perm=[0, rank - 1, *range(1, rank - 1)]) if last else name


def _back(writer: Writer, name: str, *, last: bool, rank: int = 4) -> str:
    return writer.add("Transpose", name, perm=[0, *range(2, rank), 1]) if last else name


def _moves(window: Window) -> dict[str, Any]:
    moves: dict[str, Any] = {"kernel_shape": list(window.kernel), "strides": list(window.stride)}
    moves["dilations"] = list(window.dilation)
    if window.is_same:
        moves["auto_pad"] = "SAME_UPPER"
    else:
        moves["pads"] = [*window.padding, *window.padding]
    return moves


@form("conv2d")
def _conv2d(writer: Writer, node: Node) -> list[str]:
    arguments = node.arguments
    last = arguments.integer(9, 0) == 1
    weights = writer.known(node.inputs[1])
    if weights is None:
        raise _refuse(node, "its weights change from run to run")
    orders = {0: (3, 2, 0, 1), 1: (0, 1, 2, 3), 2: (0, 3, 1, 2)}
    kernel = weights.transpose(orders[arguments.integer(10, 0)])
    window = window_of(arguments, 2, kernel.shape[2:])
    names = [_first(writer, _x(writer, node), last=last), writer.constant(kernel)]
    if len(node.inputs) > 2:
        names.append(_x(writer, node, 2))
    return [_back(writer, writer.add("Conv", *names, **_moves(window)), last=last)]


def _pool(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        last = node.arguments.integer(10, 0) == 1
        window = window_of(node.arguments, 2)
        attributes = _moves(window)
        if operator == "AveragePool":
            if set(attributes.pop("dilations")) != {1}:
                raise _refuse(node, "an average over spread windows")
            attributes["count_include_pad"] = int(node.arguments.integer(9, 0) != 0)
        pooled = writer.add(operator, _first(writer, _x(writer, node), last=last), **attributes)
        return [_back(writer, pooled, last=last)]

    return write


FORMS["maxpool2d"] = _pool("MaxPool")
FORMS["avgpool2d"] = _pool("AveragePool")


@form("batchnorm")
def _batch_norm(writer: Writer, node: Node) -> list[str]:
    """Fold mean, variance, gamma and beta, which never change, into a factor and an offset."""
    arguments = node.arguments
    learned = [writer.known(each) for each in node.inputs[1:]]
    if any(each is None for each in learned):
        raise _refuse(node, "its statistics change from run to run")
    rank = writer.sample(node.inputs[0]).ndim
    kept = axes_of(arguments.i[2:] or (-1,), rank)
    if len(kept) != 1:
        raise _refuse(node, "over several axes")
    shape = [-1 if axis in kept else 1 for axis in range(rank)]
    values = [np.asarray(each, np.float64) for each in learned]
    factor = 1 / np.sqrt(values[1] + arguments.number(0, 1e-3))
    rest = values[2:]
    if arguments.integer(0, 0):
        factor = factor * rest.pop(0)
    offset = -values[0] * factor
    if arguments.integer(1, 0):
        offset = offset + rest.pop(0)
    scaled = writer.add("Mul", _x(writer, node), writer.like(factor.reshape(shape), node.inputs[0]))
    return [writer.add("Add", scaled, writer.like(offset.reshape(shape), node.inputs[0]))]


@form("softmax")
def _softmax(writer: Writer, node: Node) -> list[str]:
    return [writer.add("Softmax", _x(writer, node), axis=node.arguments.integer(0, -1))]


@form("log_softmax")
def _log_softmax(writer: Writer, node: Node) -> list[str]:
    return [writer.add("LogSoftmax", _x(writer, node), axis=node.arguments.integer(0, -1))]


# --- reductions -------------------------------------------------------------------------------------------

_REDUCE: Final = {
    "reduce_sum": "ReduceSum",
    "reduce_mean": "ReduceMean",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_norm1": "ReduceL1",
    "reduce_norm2": "ReduceL2",
    "reduce_sqnorm": "ReduceSumSquare",
    "reduce_logsumexp": "ReduceLogSumExp",
}


def _axes(writer: Writer, node: Node) -> tuple[list[int], bool]:
    inputs = [writer.sample(node.inputs[0])]
    if len(node.inputs) > 1:
        inputs.append(np.array(writer.integers(node, 1)))
    axes, keep = reduction_axes(inputs, node.arguments)
    return list(axes), keep


def _reduction(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        axes, keep = _axes(writer, node)
        if writer.sample(node.inputs[0]).dtype.kind != "f":
            raise _refuse(node, "of what is no float")
        return [writer.add(operator, _x(writer, node), writer.constant(axes, np.int64), keepdims=int(keep))]

    return write


for _name, _operator in _REDUCE.items():
    FORMS[_name] = _reduction(_operator)


def _position(operator: str) -> Form:
    def write(writer: Writer, node: Node) -> list[str]:
        axes, keep = _axes(writer, node)
        if len(axes) != 1:
            raise _refuse(node, "along several axes")
        return [
            _as_answer(writer, node, writer.add(operator, _x(writer, node), axis=axes[0], keepdims=int(keep)))
        ]

    return write


FORMS["argmax"] = _position("ArgMax")
FORMS["argmin"] = _position("ArgMin")


# --- shapes -----------------------------------------------------------------------------------------------


@form("reshape")
def _reshape(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) > 1:
        if writer.known(node.inputs[1]) is None:
            return [writer.add("Reshape", _x(writer, node), writer.as_int64(node.inputs[1]), allowzero=1)]
        wanted: Sequence[int] = writer.integers(node, 1)
        orders: tuple[int, ...] = (-99, -102)
    else:
        wanted, orders = node.arguments.i, (-99, -102, 99)
    if wanted and wanted[0] in orders:
        wanted = wanted[1:]
    shape = writer.constant([-1 if size < 0 else size for size in wanted], np.int64)
    return [writer.add("Reshape", _x(writer, node), shape, allowzero=int(0 in wanted))]


@form("transpose", "permute")
def _transpose(writer: Writer, node: Node) -> list[str]:
    order = writer.integers(node, 1) if len(node.inputs) > 1 else list(node.arguments.i)
    rank = writer.sample(node.inputs[0]).ndim
    return [writer.add("Transpose", _x(writer, node), perm=order or list(reversed(range(rank))))]


@form("expand_dims")
def _expand_dims(writer: Writer, node: Node) -> list[str]:
    axis = node.arguments.i[0] if node.arguments.i else writer.integers(node, 1)[0]
    return [writer.add("Unsqueeze", _x(writer, node), writer.constant([axis], np.int64))]


@form("squeeze")
def _squeeze(writer: Writer, node: Node) -> list[str]:
    axes = writer.integers(node, 1) if len(node.inputs) > 1 else list(node.arguments.i)
    if not axes:
        raise _refuse(node, "of axes that nobody names")
    return [writer.add("Squeeze", _x(writer, node), writer.constant(axes, np.int64))]


@form("concat")
def _concat(writer: Writer, node: Node) -> list[str]:
    inputs, axis = node.inputs, node.arguments.integer(0, 0)
    if node.arguments.flag(0):
        inputs, axis = inputs[:-1], writer.integers(node, len(inputs) - 1)[0]
    if any(writer.sample(each).ndim == 0 or not writer.sample(each).size for each in inputs):
        raise _refuse(node, "of scalars, or of nothing")
    return [writer.add("Concat", *(writer.name(each) for each in inputs), axis=axis)]


@form("stack")
def _stack(writer: Writer, node: Node) -> list[str]:
    axis = node.arguments.integer(0, 0)
    parts = [
        writer.add("Unsqueeze", writer.name(each), writer.constant([axis], np.int64)) for each in node.inputs
    ]
    return [writer.add("Concat", *parts, axis=axis)]


@form("split")
def _split(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) > 1:
        raise _refuse(node, "along an axis that is an input")
    count = node.arguments.integer(0, 1)
    return writer.add_many(
        "Split", [_x(writer, node)], count, axis=node.arguments.integer(1, 0), num_outputs=count
    )


@form("tile")
def _tile(writer: Writer, node: Node) -> list[str]:
    repeats = writer.integers(node, 1) if len(node.inputs) > 1 else list(node.arguments.i)
    return [writer.add("Tile", _x(writer, node), writer.constant(repeats, np.int64))]


@form("pad")
def _pad(writer: Writer, node: Node) -> list[str]:
    if node.arguments.integer(0, 0) not in (0, 1):
        raise _refuse(node, "symmetric")
    mode = ("constant", "reflect")[node.arguments.integer(0, 0)]
    sides = np.array(writer.integers(node, 1)).reshape(-1, 2)
    value = (
        _x(writer, node, 2)
        if len(node.inputs) > 2
        else writer.like(node.arguments.number(0, 0.0), node.inputs[0])
    )
    if len(node.inputs) > 2 and writer.sample(node.inputs[2]).ndim:
        raise _refuse(node, "with a value that is no scalar")
    return [writer.add("Pad", _x(writer, node), writer.constant(sides.T.ravel(), np.int64), value, mode=mode)]


@form("gather")
def _gather(writer: Writer, node: Node) -> list[str]:
    if len(node.inputs) < 2:
        raise _refuse(node, "with indices of its own")
    axis = writer.integers(node, 2)[0] if len(node.inputs) > 2 else node.arguments.integer(0, 0)
    return [writer.add("Gather", _x(writer, node), writer.as_int64(node.inputs[1]), axis=axis)]


@form("shape_of")
def _shape_of(writer: Writer, node: Node) -> list[str]:
    return [writer.cast(writer.add("Shape", _x(writer, node)), writer.sample(Address(node.id)).dtype)]


@form("cast")
def _cast(writer: Writer, node: Node) -> list[str]:
    if node.arguments.is_gen1:
        return [writer.add("Identity", _x(writer, node))]
    number = node.arguments.d[0] if node.arguments.d else node.arguments.i[0]
    return [writer.cast(_x(writer, node), numpy_dtype(number))]


@form("strided_slice")
def _strided_slice(writer: Writer, node: Node) -> list[str]:
    """Slice with begins, ends and strides that are known; no ellipsis, no new axes."""
    begin_mask, ellipsis, end_mask, new_axes, shrink = (*node.arguments.i[:5], 0, 0, 0, 0, 0)[:5]
    if ellipsis or new_axes:
        raise _refuse(node, "with an ellipsis, or new axes")
    if len(node.inputs) > 1:
        begins, ends, strides = (writer.integers(node, place) for place in (1, 2, 3))
    else:
        numbers = list(node.arguments.i[5:])
        count = len(numbers) // 3
        begins, ends, strides = (numbers[start * count : (start + 1) * count] for start in range(3))
    most = np.iinfo(np.int64).max
    starts, stops, dropped = [], [], []
    for place, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << place
        if shrink & bit:
            dropped.append(place)
            starts.append(begin)
            stops.append(begin + 1 if begin != -1 else most)
            continue
        starts.append((0 if stride > 0 else most) if begin_mask & bit else begin)
        stops.append((most if stride > 0 else -most) if end_mask & bit else end)
    steps = [1 if place in dropped else stride for place, stride in enumerate(strides)]
    axes = list(range(len(starts)))
    bounds = [writer.constant(each, np.int64) for each in (starts, stops, axes, steps)]
    sliced = writer.add("Slice", _x(writer, node), *bounds)
    return [writer.add("Squeeze", sliced, writer.constant(dropped, np.int64)) if dropped else sliced]
