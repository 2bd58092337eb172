"""Look into an ONNX file before tract does.

tract knows an ONNX model's outputs by their nodes' names, ignores the shapes that are declared for them,
and opens external data files by itself. This module reads what is declared, every external tensor, and the
nodes; no weights are copied.

Field numbers: onnx/onnx.proto (ONNX 1.23, IR version 13). Unknown fields are skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from navi_tract.wire_format import Buffer, FileFormatError, fields, messages, text

__all__ = [
    "Declared",
    "ExternalTensor",
    "Graph",
    "Node",
    "OnnxFile",
    "read_onnx_file",
    "without_shapes_within",
]

_MAX_DEPTH: Final = 100  # protobuf's own limit of nesting
_NO_NAMES: Final = frozenset({"", "?", "-1", "None"})
"""What exporters call sizes that they know nothing of, and that need not be equal."""
_EXTERNAL: Final = 1  # TensorProto.DataLocation.EXTERNAL
_VALUE_INFO_TAG: Final = 13 << 3 | 2
_RESERVED_TAG: Final = 9 << 3 | 2

# A tree ensemble holds millions of numbers as single fields of its attributes (floats 7, ints 8):
# whole runs are skipped at once, in portions, since matching holds the GIL.
_ATTRIBUTE_NUMBERS: Final = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,10000}+", re.DOTALL)


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


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """A tensor whose elements are in another file.

    Parameters
    ----------
    name
        The tensor's name; may be empty.
    location
        The file, relative to the model's directory; None: not said.
    offset, length
        The texts of these entries; empty: not said.
    """

    name: str
    location: str | None
    offset: str = ""
    length: str = ""


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


def read_onnx_file(data: Buffer) -> OnnxFile:
    """Walk a serialized ``ModelProto``.

    Raises
    ------
    FileFormatError
        The bytes are no protobuf message, hold no graph, or more than one.
    """
    found = OnnxFile()
    has_graph = False
    for number, value, begin in fields(data, 0, len(data)):
        if not isinstance(value, slice):
            continue
        if number == 7:  # graph
            if has_graph:  # protobuf would merge the two
                msg = f"a second graph at byte {begin}"
                raise FileFormatError(msg)
            has_graph = True
            found.graph = _graph(data, value, found, 0)
        elif number == 25:  # functions
            for part, node in messages(data, value):
                if part == 7:
                    _node(data, node, found, 1)
    if not has_graph:
        msg = "it holds no graph"
        raise FileFormatError(msg)
    return found


def without_shapes_within(data: Buffer, file: OnnxFile) -> bytearray:
    """Return a copy of the model without the inner shapes that are not all numbers.

    Exporters name the sizes of inner tensors as they please. tract insists that these names agree with
    those of the inputs, so a size that is given to an input contradicts them.

    The fields are not cut out, which would change the lengths of all that they are in: they get a number
    that ``GraphProto`` reserves, and readers skip them.
    """
    copy = bytearray(data)
    for position in file.inner_shapes:
        copy[position] = _RESERVED_TAG
    return copy


# --- messages -------------------------------------------------------------------------------------


def _graph(data: Buffer, span: slice, found: OnnxFile, depth: int) -> Graph:
    if depth >= _MAX_DEPTH:
        msg = f"graphs are nested more than {_MAX_DEPTH} deep"
        raise FileFormatError(msg)
    graph = Graph()
    for number, value, begin in fields(data, span.start, span.stop):
        if not isinstance(value, slice):
            continue
        if number == 1:
            graph.nodes.append(_node(data, value, found, depth))
        elif number == 5:  # initializer
            graph.initializers.add(_tensor(data, value, found))
        elif number == 15:  # sparse_initializer: named by its values
            graph.initializers.update(_sparse_tensor(data, value, found)[:1])
        elif number == 11:
            graph.inputs.append(_declared(data, value))
        elif number == 12:
            graph.outputs.append(_declared(data, value))
        elif number == 13:  # value_info
            dims = _declared(data, value).dims
            is_known = dims is None or all(isinstance(dim, int) for dim in dims)
            if not is_known and data[begin] == _VALUE_INFO_TAG:
                found.inner_shapes.append(begin)
    return graph


def _node(data: Buffer, span: slice, found: OnnxFile, depth: int) -> Node:
    node = Node()
    for number, value in messages(data, span):
        if number == 1:
            node.inputs.append(text(data, value))
        elif number == 2:
            node.outputs.append(text(data, value))
        elif number == 3:
            node.name = text(data, value)
        elif number == 4:
            node.op_type = text(data, value)
        elif number == 5:
            _attribute(data, value, node, found, depth)
    return node


def _attribute(data: Buffer, span: slice, node: Node, found: OnnxFile, depth: int) -> None:
    name, integer = "", 0
    for number, value, _ in fields(data, span.start, span.stop, _ATTRIBUTE_NUMBERS):
        if not isinstance(value, slice):
            integer = value if number == 3 else integer
        elif number == 1:
            name = text(data, value)
        elif number in (5, 10):  # t, tensors
            _tensor(data, value, found)
        elif number in (6, 11):  # g, graphs
            node.graphs.append(_graph(data, value, found, depth + 1))
        elif number in (22, 23):  # sparse_tensor, sparse_tensors
            _sparse_tensor(data, value, found)
    if name == "to":
        node.to = integer


def _sparse_tensor(data: Buffer, span: slice, found: OnnxFile) -> list[str]:
    """Return the names of values and indices."""
    return [_tensor(data, value, found) for number, value in messages(data, span) if number in (1, 2)]


def _tensor(data: Buffer, span: slice, found: OnnxFile) -> str:
    """Return the tensor's name, and note where its elements are if not here."""
    name = ""
    entries: dict[str, str] = {}
    is_external = False
    for number, value, _ in fields(data, span.start, span.stop):
        if isinstance(value, slice):
            if number == 8:
                name = text(data, value)
            elif number == 13:  # external_data: key and value
                is_external = True
                pair = {part: text(data, each) for part, each in messages(data, value)}
                entries[pair.get(1, "")] = pair.get(2, "")
        elif number == 14:  # data_location
            is_external = is_external or value == _EXTERNAL
    if is_external:
        found.external.append(
            ExternalTensor(
                name, entries.get("location"), entries.get("offset", ""), entries.get("length", "")
            )
        )
    return name


def _declared(data: Buffer, span: slice) -> Declared:
    name, elem_type = "", 0
    dims: tuple[int | str | None, ...] | None = None
    for number, value in messages(data, span):
        if number == 1:
            name = text(data, value)
        elif number == 2:  # type
            for kind, tensor_type in messages(data, value):
                if kind != 1:  # a sequence, a map, an optional
                    continue
                for part, shape, _ in fields(data, tensor_type.start, tensor_type.stop):
                    if part == 1 and isinstance(shape, int):
                        elem_type = shape
                    elif part == 2 and isinstance(shape, slice):
                        dims = tuple(_dim(data, dim) for each, dim in messages(data, shape) if each == 1)
    return Declared(name, elem_type, dims)


def _dim(data: Buffer, span: slice) -> int | str | None:
    for number, value, _ in fields(data, span.start, span.stop):
        if number == 1 and isinstance(value, int):
            return value if value < 1 << 63 else None  # a negative size means none
        if number == 2 and isinstance(value, slice):
            name = text(data, value)
            return None if name in _NO_NAMES else name
    return None
