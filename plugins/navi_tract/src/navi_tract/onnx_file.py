"""Look into an ONNX file before tract does.

tract knows an ONNX model's outputs by their nodes' names, ignores the shapes that are declared for them,
and opens external data files by itself. This module reads what is declared, every external tensor, and the
nodes; no weights are copied.

Field numbers: onnx/onnx.proto (ONNX 1.23, IR version 13). Unknown fields are skipped.
"""

from __future__ import annotations

import re
from typing import Final

from navi_core import (
    FileBytes,
    FileFormatError,
    protobuf_fields,
    protobuf_messages,
    protobuf_text,
    read_onnx_tensor,
)
from navi_tract.onnx_graph import Declared, Graph, Node, OnnxFile

__all__ = ["read_onnx_file", "without_shapes_within"]

_MAX_DEPTH: Final = 100  # protobuf's own limit of nesting
_NO_NAMES: Final = frozenset({"", "?", "-1", "None"})
"""What exporters call sizes that they know nothing of, and that need not be equal."""
_VALUE_INFO_TAG: Final = 13 << 3 | 2
_RESERVED_TAG: Final = 9 << 3 | 2

# A tree ensemble holds millions of numbers as single fields of its attributes (floats 7, ints 8):
# whole runs are skipped at once, in portions, since matching holds the GIL.
_ATTRIBUTE_NUMBERS: Final = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,10000}+", re.DOTALL)


def read_onnx_file(data: FileBytes) -> OnnxFile:
    """Walk a serialized ``ModelProto``.

    Raises
    ------
    FileFormatError
        The bytes are no protobuf message, hold no graph, or more than one.
    """
    found = OnnxFile()
    has_graph = False
    for number, value, begin in protobuf_fields(data, 0, len(data)):
        if not isinstance(value, slice):
            continue
        if number == 7:  # graph
            if has_graph:  # protobuf would merge the two
                msg = f"a second graph at byte {begin}"
                raise FileFormatError(msg)
            has_graph = True
            found.graph = _graph(data, value, found, 0)
        elif number == 25:  # functions
            for part, node in protobuf_messages(data, value):
                if part == 7:
                    _node(data, node, found, 1)
    if not has_graph:
        msg = "it holds no graph"
        raise FileFormatError(msg)
    return found


def without_shapes_within(data: FileBytes, file: OnnxFile) -> bytearray:
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


def _graph(data: FileBytes, span: slice, found: OnnxFile, depth: int) -> Graph:
    if depth >= _MAX_DEPTH:
        msg = f"graphs are nested more than {_MAX_DEPTH} deep"
        raise FileFormatError(msg)
    graph = Graph()
    for number, value, begin in protobuf_fields(data, span.start, span.stop):
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


def _node(data: FileBytes, span: slice, found: OnnxFile, depth: int) -> Node:
    node = Node()
    for number, value in protobuf_messages(data, span):
        if number == 1:
            node.inputs.append(protobuf_text(data, value))
        elif number == 2:
            node.outputs.append(protobuf_text(data, value))
        elif number == 3:
            node.name = protobuf_text(data, value)
        elif number == 4:
            node.op_type = protobuf_text(data, value)
        elif number == 5:
            _attribute(data, value, node, found, depth)
    return node


def _attribute(data: FileBytes, span: slice, node: Node, found: OnnxFile, depth: int) -> None:
    name, integer = "", 0
    for number, value, _ in protobuf_fields(data, span.start, span.stop, _ATTRIBUTE_NUMBERS):
        if not isinstance(value, slice):
            integer = value if number == 3 else integer
        elif number == 1:
            name = protobuf_text(data, value)
        elif number in (5, 10):  # t, tensors
            _tensor(data, value, found)
        elif number in (6, 11):  # g, graphs
            node.graphs.append(_graph(data, value, found, depth + 1))
        elif number in (22, 23):  # sparse_tensor, sparse_tensors
            _sparse_tensor(data, value, found)
    if name == "to":
        node.to = integer


def _sparse_tensor(data: FileBytes, span: slice, found: OnnxFile) -> list[str]:
    """Return the names of values and indices."""
    return [
        _tensor(data, value, found) for number, value in protobuf_messages(data, span) if number in (1, 2)
    ]


def _tensor(data: FileBytes, span: slice, found: OnnxFile) -> str:
    """Return the tensor's name, and note where its elements are if not here."""
    name, external = read_onnx_tensor(data, span)
    if external is not None:
        found.external.append(external)
    return name


def _declared(data: FileBytes, span: slice) -> Declared:
    name, elem_type = "", 0
    dims: tuple[int | str | None, ...] | None = None
    for number, value in protobuf_messages(data, span):
        if number == 1:
            name = protobuf_text(data, value)
        elif number == 2:  # type
            for kind, tensor_type in protobuf_messages(data, value):
                if kind != 1:  # a sequence, a map, an optional
                    continue
                for part, shape, _ in protobuf_fields(data, tensor_type.start, tensor_type.stop):
                    if part == 1 and isinstance(shape, int):
                        elem_type = shape
                    elif part == 2 and isinstance(shape, slice):
                        dims = tuple(
                            _dim(data, dim) for each, dim in protobuf_messages(data, shape) if each == 1
                        )
    return Declared(name, elem_type, dims)


def _dim(data: FileBytes, span: slice) -> int | str | None:
    for number, value, _ in protobuf_fields(data, span.start, span.stop):
        if number == 1 and isinstance(value, int):
            return value if value < 1 << 63 else None  # a negative size means none
        if number == 2 and isinstance(value, slice):
            name = protobuf_text(data, value)
            return None if name in _NO_NAMES else name
    return None
