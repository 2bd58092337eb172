"""Read from an ONNX file what a session does not tell.

A session answers an empty shape for a scalar and for a tensor of unknown rank alike, knows the class
labels of a ZipMap only as keys of its results, and opens external data files by itself. This module
walks the protobuf wire format of ``ModelProto`` for just that: it copies no weights, holds the GIL
for microseconds a node, and needs no generated code.

Field numbers: onnx/onnx.proto (ONNX 1.23, IR version 13). Unknown fields are skipped, so that later
versions can be read. Every length is checked against the bytes that enclose it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from navi_core import (
    ExternalTensor,
    FileBytes,
    FileFormatError,
    protobuf_fields,
    protobuf_messages,
    protobuf_text,
    protobuf_varints,
    read_onnx_tensor,
)

__all__ = ["ClassLabels", "ModelFacts", "read_model_facts"]

ClassLabels = tuple[int, ...] | tuple[bytes, ...]

_MAX_DEPTH: Final = 100  # protobuf's own limit of nesting

# A tree ensemble holds millions of numbers as single fields of its attributes (floats 7, ints 8):
# whole runs are skipped at once, in portions, since matching holds the GIL.
_ATTRIBUTE_NUMBERS: Final = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,10000}+", re.DOTALL)


@dataclass(slots=True)
class ModelFacts:
    """What was found.

    Parameters
    ----------
    unranked
        Graph inputs and outputs whose rank is unknown.
    class_labels
        Output of a ZipMap in the main graph -> its labels, in column order.
    external
        Every tensor with external data: initialisers, sparse ones, attributes, subgraphs, functions.
    has_graph
        A graph was found at all.
    """

    unranked: set[str] = field(default_factory=set)
    class_labels: dict[str, ClassLabels] = field(default_factory=dict)
    external: list[ExternalTensor] = field(default_factory=list)
    has_graph: bool = False


def read_model_facts(data: FileBytes) -> ModelFacts:
    """Walk a serialized ``ModelProto``.

    Raises
    ------
    FileFormatError
        The bytes are no protobuf message, or hold no graph.
    """
    facts = ModelFacts()
    for number, value, _ in protobuf_fields(data, 0, len(data)):
        if not isinstance(value, slice):
            continue
        if number == 7:  # graph
            facts.has_graph = True
            _graph(data, value, facts, 0, main=True)
        elif number == 25:  # functions
            _function(data, value, facts)
        elif number == 20:  # training_info
            for part, graph in protobuf_messages(data, value):
                if part in (1, 2):  # initialization, algorithm
                    _graph(data, graph, facts, 1)
    if not facts.has_graph:
        msg = "it holds no graph"
        raise FileFormatError(msg)
    return facts


# --- messages -------------------------------------------------------------------------------------


def _graph(data: FileBytes, span: slice, facts: ModelFacts, depth: int, *, main: bool = False) -> None:
    for number, value in protobuf_messages(data, span):
        if number == 1:
            _node(data, value, facts, depth, main=main)
        elif number == 5:  # initializer
            _tensor(data, value, facts)
        elif number == 15:  # sparse_initializer
            _sparse_tensor(data, value, facts)
        elif number in (11, 12) and main:  # input, output
            _value_info(data, value, facts)


def _function(data: FileBytes, span: slice, facts: ModelFacts) -> None:
    for number, value in protobuf_messages(data, span):
        if number == 7:  # node
            _node(data, value, facts, 1)
        elif number == 11:  # attribute_proto
            _attribute(data, value, facts, 1)


def _node(data: FileBytes, span: slice, facts: ModelFacts, depth: int, *, main: bool = False) -> None:
    outputs: list[str] = []
    op_type = domain = b""
    attributes: list[slice] = []
    for number, value in protobuf_messages(data, span):
        if number == 2:
            outputs.append(protobuf_text(data, value))
        elif number == 4:
            op_type = data[value]
        elif number == 7:
            domain = data[value]
        elif number == 5:
            attributes.append(value)
            _attribute(data, value, facts, depth)
    if main and op_type == b"ZipMap" and domain == b"ai.onnx.ml" and outputs:
        facts.class_labels[outputs[0]] = _class_labels(data, attributes)


def _class_labels(data: FileBytes, attributes: list[slice]) -> ClassLabels:
    for attribute in attributes:
        name = b""
        ints: list[int] = []
        strings: list[bytes] = []
        for number, value, _ in protobuf_fields(data, attribute.start, attribute.stop):
            if number == 8:  # ints: one by one, or packed
                ints.extend(protobuf_varints(data, value) if isinstance(value, slice) else (value,))
            elif isinstance(value, slice) and number == 1:
                name = data[value]
            elif isinstance(value, slice) and number == 9:
                strings.append(data[value])
        if name == b"classlabels_int64s" and ints:
            return tuple(item - (1 << 64) if item >= 1 << 63 else item for item in ints)
        if name == b"classlabels_strings" and strings:
            return tuple(strings)
    return ()


def _attribute(data: FileBytes, span: slice, facts: ModelFacts, depth: int) -> None:
    if depth >= _MAX_DEPTH:
        msg = f"graphs are nested more than {_MAX_DEPTH} deep"
        raise FileFormatError(msg)
    for number, value, _ in protobuf_fields(data, span.start, span.stop, _ATTRIBUTE_NUMBERS):
        if not isinstance(value, slice):
            continue
        if number in (5, 10):  # t, tensors
            _tensor(data, value, facts)
        elif number in (6, 11):  # g, graphs
            _graph(data, value, facts, depth + 1)
        elif number in (22, 23):  # sparse_tensor, sparse_tensors
            _sparse_tensor(data, value, facts)


def _sparse_tensor(data: FileBytes, span: slice, facts: ModelFacts) -> None:
    for number, value in protobuf_messages(data, span):
        if number in (1, 2):  # values, indices
            _tensor(data, value, facts)


def _tensor(data: FileBytes, span: slice, facts: ModelFacts) -> None:
    _, external = read_onnx_tensor(data, span)
    if external is not None:
        facts.external.append(external)


def _value_info(data: FileBytes, span: slice, facts: ModelFacts) -> None:
    name = ""
    has_shape = False
    for number, value in protobuf_messages(data, span):
        if number == 1:
            name = protobuf_text(data, value)
        elif number == 2:  # type
            for kind, tensor_type in protobuf_messages(data, value):
                if kind == 1:  # tensor_type: elem_type, shape
                    has_shape |= any(part == 2 for part, _ in protobuf_messages(data, tensor_type))
    if not has_shape:
        facts.unranked.add(name)
