"""An ONNX node, and what is known of the values of a model while it is translated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.export.writer import ExportError, GraphWriter
from navi_graphserver.flat.records import Address

__all__ = ["OnnxNode", "OnnxValues"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxNode:
    """One node.

    Parameters
    ----------
    operator
        With its domain, where that is not ONNX's own.
    name
        The node's, or its first output's.
    inputs, outputs
        Names of values; an empty one is left out.
    attributes
        As Python's values; tensors as arrays, texts as bytes.
    opset
        The version of the operators.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int

    @property
    def label(self) -> str:
        """What errors call it."""
        return f"node '{self.name}' ({self.operator})"

    def has(self, index: int) -> bool:
        """Tell whether an input is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a text."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return an attribute that is several integers."""
        return tuple(int(each) for each in self.attributes.get(name, default))

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is one integer."""
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        return float(self.attributes.get(name, default))


class OnnxValues:
    """Values by their names: where they are in the graph that is made, and what is known of them.

    Parameters
    ----------
    graph
        What is written.
    shapes
        As far as they could be inferred.
    """

    def __init__(self, graph: GraphWriter, shapes: dict[str, tuple[int | None, ...]]) -> None:
        self.graph = graph
        self.arrays: dict[str, Array] = {}
        self.addresses: dict[str, Address] = {}
        self._shapes = shapes

    def address(self, name: str) -> Address:
        """Return where a value is; a constant is written when it is first asked for.

        Raises
        ------
        ExportError
            Nothing that was translated makes it.
        """
        if name not in self.addresses:
            if name not in self.arrays:
                msg = f"the value '{name}' is made by nothing that is translated"
                raise ExportError(msg)
            self.addresses[name] = self.graph.constant(self.arrays[name], name)
        return self.addresses[name]

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """Return a value's shape, None for dimensions that are open; None: nothing is known."""
        return self.arrays[name].shape if name in self.arrays else self._shapes.get(name)

    def rank(self, name: str) -> int:
        """Return how many axes a value has.

        Raises
        ------
        ExportError
            Nobody knows.
        """
        shape = self.shape(name)
        if shape is None:
            msg = f"the number of axes of '{name}' is not known"
            raise ExportError(msg)
        return len(shape)

    def axes(self, name: str, axes: tuple[int, ...]) -> tuple[int, ...]:
        """Return axes of a value as they count from the front."""
        return axes if all(axis >= 0 for axis in axes) else tuple(axis % self.rank(name) for axis in axes)

    def known(self, node: OnnxNode, index: int) -> Array:
        """Return an input that has to be constant.

        Raises
        ------
        ExportError
            It is not.
        """
        name = node.inputs[index]
        if name not in self.arrays:
            msg = f"its input '{name}' is not constant"
            raise ExportError(msg)
        return self.arrays[name]

    def integers(self, node: OnnxNode, index: int, attribute: str = "") -> tuple[int, ...] | None:
        """Return integers that an attribute or, in later versions, an input says; None: neither does."""
        if attribute in node.attributes:
            return node.integers(attribute, ())
        if not node.has(index):
            return None
        return tuple(int(each) for each in np.ravel(self.known(node, index)).tolist())

    def first(self, node: OnnxNode) -> Address:
        """Return where the first input is."""
        return self.address(node.inputs[0])
