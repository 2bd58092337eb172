"""Read from an ONNX file what a session does not tell.

A session answers an empty shape for a scalar and for a tensor of unknown rank alike, knows the class
labels of a ZipMap only as keys of its results, and opens external data files by itself. This module
walks the protobuf wire format of ``ModelProto`` for just that: it copies no weights, holds the GIL
for microseconds a node, and needs no generated code.

Field numbers: onnx/onnx.proto (ONNX 1.23, IR version 13). Unknown fields are skipped, so that later
versions can be read. Every length is checked against the bytes that enclose it.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["ClassLabels", "ExternalTensor", "ModelFacts", "ModelFormatError", "read_model_facts"]

Buffer = bytes | mmap.mmap
ClassLabels = tuple[int, ...] | tuple[bytes, ...]

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_MAX_DEPTH: Final = 100  # protobuf's own limit of nesting
_EXTERNAL: Final = 1  # TensorProto.DataLocation.EXTERNAL

# A tree ensemble holds millions of numbers as single fields of its attributes (floats 7, ints 8):
# whole runs are skipped at once, in portions, since matching holds the GIL.
_ATTRIBUTE_NUMBERS: Final = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,10000}+", re.DOTALL)


class ModelFormatError(ValueError):
    """The bytes are no ONNX model; the text says where."""


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


def read_model_facts(data: Buffer) -> ModelFacts:
    """Walk a serialized ``ModelProto``.

    Raises
    ------
    ModelFormatError
        The bytes are no protobuf message, or hold no graph.
    """
    facts = ModelFacts()
    for number, value in _fields(data, 0, len(data)):
        if not isinstance(value, slice):
            continue
        if number == 7:  # graph
            facts.has_graph = True
            _graph(data, value, facts, 0, main=True)
        elif number == 25:  # functions
            _function(data, value, facts)
        elif number == 20:  # training_info
            for part, graph in _messages(data, value):
                if part in (1, 2):  # initialization, algorithm
                    _graph(data, graph, facts, 1)
    if not facts.has_graph:
        msg = "it holds no graph"
        raise ModelFormatError(msg)
    return facts


# --- messages -------------------------------------------------------------------------------------


def _graph(data: Buffer, span: slice, facts: ModelFacts, depth: int, *, main: bool = False) -> None:
    for number, value in _messages(data, span):
        if number == 1:
            _node(data, value, facts, depth, main=main)
        elif number == 5:  # initializer
            _tensor(data, value, facts)
        elif number == 15:  # sparse_initializer
            _sparse_tensor(data, value, facts)
        elif number in (11, 12) and main:  # input, output
            _value_info(data, value, facts)


def _function(data: Buffer, span: slice, facts: ModelFacts) -> None:
    for number, value in _messages(data, span):
        if number == 7:  # node
            _node(data, value, facts, 1)
        elif number == 11:  # attribute_proto
            _attribute(data, value, facts, 1)


def _node(data: Buffer, span: slice, facts: ModelFacts, depth: int, *, main: bool = False) -> None:
    outputs: list[str] = []
    op_type = domain = b""
    attributes: list[slice] = []
    for number, value in _messages(data, span):
        if number == 2:
            outputs.append(_text(data[value]))
        elif number == 4:
            op_type = data[value]
        elif number == 7:
            domain = data[value]
        elif number == 5:
            attributes.append(value)
            _attribute(data, value, facts, depth)
    if main and op_type == b"ZipMap" and domain == b"ai.onnx.ml" and outputs:
        facts.class_labels[outputs[0]] = _class_labels(data, attributes)


def _class_labels(data: Buffer, attributes: list[slice]) -> ClassLabels:
    for attribute in attributes:
        name = b""
        ints: list[int] = []
        strings: list[bytes] = []
        for number, value in _fields(data, attribute.start, attribute.stop):
            if number == 8:  # ints: one by one, or packed
                ints.extend(_varints(data, value) if isinstance(value, slice) else (value,))
            elif isinstance(value, slice) and number == 1:
                name = data[value]
            elif isinstance(value, slice) and number == 9:
                strings.append(data[value])
        if name == b"classlabels_int64s" and ints:
            return tuple(item - (1 << 64) if item >= 1 << 63 else item for item in ints)
        if name == b"classlabels_strings" and strings:
            return tuple(strings)
    return ()


def _attribute(data: Buffer, span: slice, facts: ModelFacts, depth: int) -> None:
    if depth >= _MAX_DEPTH:
        msg = f"graphs are nested more than {_MAX_DEPTH} deep"
        raise ModelFormatError(msg)
    for number, value in _messages(data, span, _ATTRIBUTE_NUMBERS):
        if number in (5, 10):  # t, tensors
            _tensor(data, value, facts)
        elif number in (6, 11):  # g, graphs
            _graph(data, value, facts, depth + 1)
        elif number in (22, 23):  # sparse_tensor, sparse_tensors
            _sparse_tensor(data, value, facts)


def _sparse_tensor(data: Buffer, span: slice, facts: ModelFacts) -> None:
    for number, value in _messages(data, span):
        if number in (1, 2):  # values, indices
            _tensor(data, value, facts)


def _tensor(data: Buffer, span: slice, facts: ModelFacts) -> None:
    name = ""
    entries: dict[str, str] = {}
    is_external = False
    for number, value in _fields(data, span.start, span.stop):
        if isinstance(value, slice):
            if number == 8:
                name = _text(data[value])
            elif number == 13:  # external_data: key and value
                is_external = True
                pair = {part: _text(data[text]) for part, text in _messages(data, value)}
                entries[pair.get(1, "")] = pair.get(2, "")
        elif number == 14:  # data_location
            is_external = is_external or value == _EXTERNAL
    if is_external:
        facts.external.append(
            ExternalTensor(
                name, entries.get("location"), entries.get("offset", ""), entries.get("length", "")
            )
        )


def _value_info(data: Buffer, span: slice, facts: ModelFacts) -> None:
    name = ""
    has_shape = False
    for number, value in _messages(data, span):
        if number == 1:
            name = _text(data[value])
        elif number == 2:  # type
            for kind, tensor_type in _messages(data, value):
                if kind == 1:  # tensor_type: elem_type, shape
                    has_shape |= any(part == 2 for part, _ in _messages(data, tensor_type))
    if not has_shape:
        facts.unranked.add(name)


# --- wire format ----------------------------------------------------------------------------------


def _messages(
    data: Buffer, span: slice, skip: re.Pattern[bytes] | None = None
) -> Iterator[tuple[int, slice]]:
    """Yield the length-delimited fields of a message: number and the bytes' place."""
    for number, value in _fields(data, span.start, span.stop, skip):
        if isinstance(value, slice):
            yield number, value


def _fields(
    data: Buffer, start: int, end: int, skip: re.Pattern[bytes] | None = None
) -> Iterator[tuple[int, int | slice]]:
    """Yield field number, and an integer or the place of the bytes.

    Numbers of fixed size are left out, and so is whatever ``skip`` matches where a field begins.
    """
    position = start
    while position < end:
        if skip is not None and (skipped := skip.match(data, position, end)):
            position = skipped.end()
            continue
        tag, position = _varint(data, position, end)
        number, wire_type = tag >> 3, tag & 7
        if not number:
            msg = f"field number 0 at byte {position}"
            raise ModelFormatError(msg)
        if wire_type == _VARINT:
            value, position = _varint(data, position, end)
            yield number, value
        elif wire_type == _BYTES:
            length, position = _varint(data, position, end)
            if length > end - position:
                msg = f"a field of {length} bytes at byte {position}, where {end - position} are left"
                raise ModelFormatError(msg)
            yield number, slice(position, position + length)
            position += length
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
            if position > end:
                msg = f"a number is cut short at byte {end}"
                raise ModelFormatError(msg)
        else:
            msg = f"wire type {wire_type} at byte {position}"
            raise ModelFormatError(msg)


def _varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift >= 70:
            msg = f"a number of more than ten bytes at byte {position}"
            raise ModelFormatError(msg)
    msg = f"a number is cut short at byte {end}"
    raise ModelFormatError(msg)


def _varints(data: Buffer, span: slice) -> Iterator[int]:
    position: int = span.start
    while position < span.stop:
        value, position = _varint(data, position, span.stop)
        yield value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
