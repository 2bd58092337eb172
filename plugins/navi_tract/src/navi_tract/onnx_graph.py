"""What is known of an ONNX file before tract reads it: declared tensors, nodes, and where external data is."""

from __future__ import annotations

from dataclasses import dataclass, field

from navi_core import ExternalTensor

__all__ = ["Declared", "Graph", "Node", "OnnxFile"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A graph input or output as the file declares it.

    Parameters
    ----------
    name
        The tensor's name.
    elem_type
        Number in ``TensorProto.DataType``; 0: it is no tensor, or not said.
    dims
        Sizes, symbols, None for any size; None: unknown rank.
    """

    name: str
    elem_type: int
    dims: tuple[int | str | None, ...] | None


@dataclass(slots=True)
class Node:
    """One operator.

    Parameters
    ----------
    op_type, name
        What it is, and what it is called.
    inputs, outputs
        Tensor names; empty where an optional one is left out.
    to
        A Cast's element type.
    graphs
        Graphs in its attributes.
    """

    op_type: str = ""
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    to: int = 0
    graphs: list[Graph] = field(default_factory=list)


@dataclass(slots=True)
class Graph:
    """A graph: the main one, or one in an attribute.

    Parameters
    ----------
    inputs, outputs
        As declared, in order.
    initializers
        Names of constants.
    nodes
        In order.
    """

    inputs: list[Declared] = field(default_factory=list)
    outputs: list[Declared] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class OnnxFile:
    """What was found.

    Parameters
    ----------
    graph
        The main graph.
    external
        Every tensor with external data: initialisers, attributes, subgraphs.
    inner_shapes
        Where the file declares a tensor inside a graph with a size that is not a number: the fields' tags.
    """

    graph: Graph = field(default_factory=Graph)
    external: list[ExternalTensor] = field(default_factory=list)
    inner_shapes: list[int] = field(default_factory=list)

    @property
    def inputs(self) -> list[Declared]:
        """The inputs that a request brings: tract takes those with a default as constants."""
        return [each for each in self.graph.inputs if each.name not in self.graph.initializers]
