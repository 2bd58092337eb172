"""PyTorch modules -> FlatGraph: perceptrons and convolutional networks, layer by layer.

``torch`` is not imported here: a module is known by its class's name, and its weights are read as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.export.layers import (
    Moves,
    batch_norm,
    convolution,
    gelu,
    hard_sigmoid,
    layer_norm,
    local_response_norm,
    pool,
    transposed_convolution,
)
from navi_graphserver.export.writer import ExportError, GraphWriter
from navi_graphserver.flat.records import Address, FlatGraph

__all__ = ["export_torch"]


def export_torch(
    module: Any,
    input_shape: Sequence[int | None],
    *,
    graph_id: int = 0,
    input_name: str = "input",
    output_name: str = "output",
) -> FlatGraph:
    """Return a module as a graph of the second generation.

    Parameters
    ----------
    module
        A ``torch.nn.Sequential``, perhaps of others, or one layer; in evaluation mode.
    input_shape
        Of the input, None for the rows: ``(None, 16)``, ``(None, 3, 32, 32)``.
    graph_id
        Under which it is registered.
    input_name, output_name
        What clients call its tensors.

    Raises
    ------
    ExportError
        A layer is not known, or has a setting that is not.
    """
    graph = GraphWriter()
    last = graph.placeholder(input_name, input_shape)
    for layer in _layers(module):
        write = _LAYERS.get(type(layer).__name__)
        if write is None:
            known = ", ".join(_LAYERS)
            msg = f"a layer of the class {type(layer).__name__}; expected one of {known}"
            raise ExportError(msg)
        last = write(graph, last, layer)
    return graph.finished(graph_id, {output_name: last})


def _layers(module: Any) -> list[Any]:
    if type(module).__name__ == "Sequential":
        return [layer for child in module for layer in _layers(child)]
    return [module]


Write = Callable[[GraphWriter, Address, Any], Address]


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().numpy())


def _maybe(tensor: Any) -> Array | None:
    return None if tensor is None else _array(tensor)


def _linear(graph: GraphWriter, x: Address, layer: Any) -> Address:
    weight = graph.constant(_array(layer.weight), "weight")
    product = graph.add("matmul", x, weight, i_args=(0, 1, 0))
    if layer.bias is None:
        return product
    return graph.add("biasadd", product, graph.constant(_array(layer.bias), "bias"))


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(int(each) for each in value)


def _moves(layer: Any, rank: int) -> Moves:
    kernel, dilation = _each(layer.kernel_size, rank), _each(getattr(layer, "dilation", 1), rank)
    stride = _each(layer.kernel_size if layer.stride is None else layer.stride, rank)
    if layer.padding == "valid":
        before = after = (0,) * rank
    elif layer.padding == "same":  # of stride 1 only, the odd element at the end
        totals = [spread * (size - 1) for size, spread in zip(kernel, dilation, strict=True)]
        before, after = tuple(each // 2 for each in totals), tuple(each - each // 2 for each in totals)
    else:
        before = after = _each(layer.padding, rank)
    return Moves(kernel=kernel, stride=stride, dilation=dilation, before=before, after=after)


def _convolution(rank: int) -> Write:
    def write(graph: GraphWriter, x: Address, layer: Any) -> Address:
        if layer.padding_mode != "zeros":
            msg = f"a convolution with the padding '{layer.padding_mode}'"
            raise ExportError(msg)
        moves = _moves(layer, rank)
        return convolution(graph, x, _array(layer.weight), _maybe(layer.bias), moves, layer.groups)

    return write


def _transposed(graph: GraphWriter, x: Address, layer: Any) -> Address:
    if layer.groups != 1 or any(_each(layer.output_padding, 2)):
        msg = "a transposed convolution in groups, or with a padding of its output"
        raise ExportError(msg)
    return transposed_convolution(graph, x, _array(layer.weight), _maybe(layer.bias), _moves(layer, 2))


def _pool(kind: str, rank: int) -> Write:
    def write(graph: GraphWriter, x: Address, layer: Any) -> Address:
        if layer.ceil_mode or getattr(layer, "return_indices", False):
            msg = "pooling that rounds up, or that returns places"
            raise ExportError(msg)
        if getattr(layer, "divisor_override", None) is not None:
            msg = "an average with a divisor of its own"
            raise ExportError(msg)
        counted = bool(getattr(layer, "count_include_pad", False))
        return pool(graph, x, kind, _moves(layer, rank), counts_padding=counted)

    return write


def _global_average(rank: int) -> Write:
    def write(graph: GraphWriter, x: Address, layer: Any) -> Address:
        size = layer.output_size
        if any(each != 1 for each in ((size,) if isinstance(size, int | None) else size)):
            msg = "adaptive pooling to more than one place"
            raise ExportError(msg)
        return graph.add("reduce_mean", x, i_args=tuple(range(2, 2 + rank)), b_args=(True,))

    return write


def _batch_norm(graph: GraphWriter, x: Address, layer: Any) -> Address:
    if layer.running_mean is None:
        msg = "a BatchNorm that takes the statistics of each batch"
        raise ExportError(msg)
    statistics = (_array(layer.running_mean), _array(layer.running_var))
    affine = (_array(layer.weight), _array(layer.bias)) if layer.affine else None
    return batch_norm(graph, x, statistics, affine, float(layer.eps))


def _layer_norm(graph: GraphWriter, x: Address, layer: Any) -> Address:
    affine = [_maybe(layer.weight), _maybe(layer.bias)]
    return layer_norm(graph, x, len(layer.normalized_shape), affine, float(layer.eps))


def _flatten(graph: GraphWriter, x: Address, layer: Any) -> Address:
    if layer.start_dim != 1 or layer.end_dim != -1:
        msg = "a Flatten that keeps more than the rows"
        raise ExportError(msg)
    return graph.add("flatten_2d", x, i_args=(1,))


def _softmax(operation: str) -> Write:
    def write(graph: GraphWriter, x: Address, layer: Any) -> Address:
        if layer.dim is None:  # PyTorch then goes by how many axes the input has
            msg = f"a {type(layer).__name__} that does not say over which axis (dim)"
            raise ExportError(msg)
        return graph.add(operation, x, i_args=(int(layer.dim),))

    return write


def _plain(operation: str, *numbers: float) -> Write:
    return lambda graph, x, _: graph.add(operation, x, t_args=numbers)


def _softplus(graph: GraphWriter, x: Address, layer: Any) -> Address:
    if layer.beta != 1:
        msg = f"a Softplus with the factor {layer.beta}"
        raise ExportError(msg)
    return graph.add("softplus", x)


def _hard_swish(graph: GraphWriter, x: Address, layer: Any) -> Address:
    del layer
    return graph.add("multiply", x, hard_sigmoid(graph, x, 1 / 6, 0.5))


_LAYERS: Final[dict[str, Write]] = {
    "Linear": _linear,
    **{f"Conv{rank}d": _convolution(rank) for rank in (1, 2, 3)},
    "ConvTranspose2d": _transposed,
    **{f"MaxPool{rank}d": _pool("max", rank) for rank in (1, 2, 3)},
    **{f"AvgPool{rank}d": _pool("avg", rank) for rank in (1, 2, 3)},
    **{f"AdaptiveAvgPool{rank}d": _global_average(rank) for rank in (1, 2, 3)},
    **{f"BatchNorm{rank}d": _batch_norm for rank in (1, 2, 3)},
    "LayerNorm": _layer_norm,
    "LocalResponseNorm": lambda graph, x, layer: local_response_norm(
        graph, x, layer.size, layer.alpha, layer.beta, layer.k
    ),
    "Flatten": _flatten,
    "ReLU": _plain("relu", 0.0),
    "ReLU6": _plain("relu6", 0.0),
    "LeakyReLU": lambda graph, x, layer: graph.add("lrelu", x, t_args=(float(layer.negative_slope),)),
    "ELU": lambda graph, x, layer: graph.add("elu", x, t_args=(float(layer.alpha),)),
    "SELU": _plain("selu"),
    "GELU": lambda graph, x, layer: gelu(graph, x, by_tanh=layer.approximate == "tanh"),
    "SiLU": _plain("swish"),
    "Mish": _plain("mish"),
    "Tanh": _plain("tanh"),
    "Sigmoid": _plain("sigmoid"),
    "LogSigmoid": _plain("logsigmoid"),
    "Softplus": _softplus,
    "Softsign": _plain("softsign"),
    "Hardtanh": lambda graph, x, layer: graph.add(
        "clipbyvalue", x, t_args=(float(layer.min_val), float(layer.max_val))
    ),
    "Hardsigmoid": lambda graph, x, _: hard_sigmoid(graph, x, 1 / 6, 0.5),
    "Hardswish": _hard_swish,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    **dict.fromkeys(("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "Identity"), lambda _, x, __: x),
}
