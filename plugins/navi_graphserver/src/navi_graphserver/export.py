"""PyTorch modules -> FlatGraph: perceptrons and convolutional networks, layer by layer.

``torch`` is not imported here: a module is known by its class's name, and its weights are read as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.flat.arrays import flat_dtype
from navi_graphserver.flat.enums import DType, Generation, OutputMode, VariableKind
from navi_graphserver.flat.records import Address, FlatGraph, FlatNode, FlatVariable
from navi_graphserver.operations.hashes import name_hash

__all__ = ["ExportError", "export_torch"]


class ExportError(ValueError):
    """A module has a layer that this exporter does not know, or a setting that GraphServer has no form for."""


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
    graph = _GraphWriter(tuple(input_shape), input_name)
    for layer in _layers(module):
        write = _LAYERS.get(type(layer).__name__)
        if write is None:
            known = ", ".join(_LAYERS)
            msg = f"a layer of the class {type(layer).__name__}; expected one of {known}"
            raise ExportError(msg)
        write(graph, layer)
    return graph.finished(graph_id, output_name)


def _layers(module: Any) -> list[Any]:
    if type(module).__name__ == "Sequential":
        return [layer for child in module for layer in _layers(child)]
    return [module]


class _GraphWriter:
    """A graph in the making, and the value that the next layer takes."""

    def __init__(self, shape: tuple[int | None, ...], name: str) -> None:
        self._variables = [
            FlatVariable(
                address=Address(1), name=name, kind=VariableKind.PLACEHOLDER, dtype=DType.FLOAT, shape=shape
            )
        ]
        self._nodes: list[FlatNode] = []
        self._next = 2
        self._last = Address(1)

    def constant(self, value: Any, name: str) -> Address:
        """Add a constant: a tensor of torch's, or numbers."""
        array: Array = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
        address = Address(self._take())
        self._variables.append(
            FlatVariable(
                address=address,
                name=f"{name}_{address.node}",
                kind=VariableKind.CONSTANT,
                dtype=flat_dtype(array),
                shape=array.shape,
                array=array,
            )
        )
        return address

    def add(self, operation: str, *others: Address, family: str = "CUSTOM", **arguments: Any) -> None:
        """Add a node that takes the last value, and perhaps others, and makes the last value."""
        number = self._take()
        self._nodes.append(
            FlatNode(
                id=number,
                name=f"{operation}_{number}",
                family=family,
                op_number=arguments.pop("op_number", None) or name_hash(operation),
                op_name=operation,
                inputs=(self._last, *others),
                **arguments,
            )
        )
        self._last = Address(number)

    def _take(self) -> int:
        self._next += 1
        return self._next - 1

    def finished(self, graph_id: int, output_name: str) -> FlatGraph:
        """Return the graph, its last value under a name."""
        self.add("identity")
        last = self._nodes.pop()
        named = FlatNode(
            id=last.id,
            name=output_name,
            family=last.family,
            op_number=last.op_number,
            op_name=last.op_name,
            inputs=last.inputs,
        )
        return FlatGraph(
            generation=Generation.GEN2,
            id=graph_id,
            variables=tuple(self._variables),
            nodes=(*self._nodes, named),
            outputs=(Address(last.id),),
            output_mode=OutputMode.EXPLICIT,
            placeholders=(self._variables[0].name,),
        )


Write = Callable[[_GraphWriter, Any], None]


def _linear(graph: _GraphWriter, layer: Any) -> None:
    graph.add("matmul", graph.constant(layer.weight, "weight"), i_args=(0, 1, 0))
    if layer.bias is not None:
        graph.add("biasadd", graph.constant(layer.bias, "bias"))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _conv2d(graph: _GraphWriter, layer: Any) -> None:
    if layer.groups != 1 or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        msg = "a convolution in groups, or with a padding by name"
        raise ExportError(msg)
    window = (
        *_pair(layer.kernel_size),
        *_pair(layer.stride),
        *_pair(layer.padding),
        *_pair(layer.dilation),
    )
    others = [graph.constant(layer.weight, "weight")]
    if layer.bias is not None:
        others.append(graph.constant(layer.bias, "bias"))
    graph.add(
        "conv2d", *others, i_args=(*window, 0, 0, 1)
    )  # as given, channels first, (out, in, height, width)


def _pool(operation: str) -> Write:
    def write(graph: _GraphWriter, layer: Any) -> None:
        if layer.ceil_mode:
            msg = "pooling that rounds up"
            raise ExportError(msg)
        window = (*_pair(layer.kernel_size), *_pair(layer.stride), *_pair(layer.padding))
        dilation = _pair(getattr(layer, "dilation", 1))
        counted = int(getattr(layer, "count_include_pad", False))
        graph.add(operation, i_args=(*window, *dilation, 0, counted, 0))

    return write


def _batch_norm(graph: _GraphWriter, layer: Any) -> None:
    learned = [(layer.running_mean, "mean"), (layer.running_var, "variance")]
    if layer.affine:
        learned += [(layer.weight, "gamma"), (layer.bias, "beta")]
    others = [graph.constant(value, name) for value, name in learned]
    affine = int(layer.affine)
    graph.add("batchnorm", *others, i_args=(affine, affine, 1), t_args=(float(layer.eps),))


def _flatten(graph: _GraphWriter, layer: Any) -> None:
    if layer.start_dim != 1 or layer.end_dim != -1:
        msg = "a Flatten that keeps more than the rows"
        raise ExportError(msg)
    graph.add("flatten_2d", i_args=(1,))


def _softmax(operation: str) -> Write:
    def write(graph: _GraphWriter, layer: Any) -> None:
        graph.add(operation, i_args=(-1 if layer.dim is None else int(layer.dim),))

    return write


def _legacy(operation: str, family: str, number: int) -> Write:
    return lambda graph, _: graph.add(operation, family=family, op_number=number)


def _gelu(graph: _GraphWriter, layer: Any) -> None:
    if layer.approximate != "tanh":
        msg = "a GELU that is not approximated by tanh, which GraphServer's is"
        raise ExportError(msg)
    graph.add("precise_gelu", family="TRANSFORM_STRICT", op_number=55)


def _nothing(graph: _GraphWriter, layer: Any) -> None:
    """Add nothing: at inference the layer does not do anything."""
    del graph, layer


_LAYERS: Final[dict[str, Write]] = {
    "Linear": _linear,
    "Conv2d": _conv2d,
    "MaxPool2d": _pool("maxpool2d"),
    "AvgPool2d": _pool("avgpool2d"),
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "Flatten": _flatten,
    "ReLU": lambda graph, _: graph.add("relu", t_args=(0.0,)),
    "ReLU6": lambda graph, _: graph.add("relu6", t_args=(0.0,)),
    "LeakyReLU": lambda graph, layer: graph.add("lrelu", t_args=(float(layer.negative_slope),)),
    "ELU": lambda graph, layer: graph.add("elu", t_args=(float(layer.alpha),)),
    "SELU": lambda graph, _: graph.add("selu"),
    "GELU": _gelu,
    "SiLU": _legacy("swish", "TRANSFORM_STRICT", 43),
    "Mish": _legacy("mish", "TRANSFORM_STRICT", 57),
    "Tanh": lambda graph, _: graph.add("tanh"),
    "Sigmoid": lambda graph, _: graph.add("sigmoid"),
    "Softplus": lambda graph, _: graph.add("softplus"),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Dropout": _nothing,
    "Identity": _nothing,
}
