"""What clients and server send one another besides graphs: a request, a result, a graph to forget, a status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers

from navi_graphserver.flat.enums import Generation
from navi_graphserver.flat.records import FlatVariable
from navi_graphserver.flat.variables import read_variable, write_variable
from navi_graphserver.flat.verified import root_table

__all__ = [
    "InferenceRequest",
    "read_drop_request",
    "read_request",
    "read_request_id",
    "read_response",
    "read_result",
    "write_drop_request",
    "write_request",
    "write_response",
]


@dataclass(frozen=True, slots=True, eq=False)
class InferenceRequest:
    """What a graph is asked.

    Parameters
    ----------
    id
        The graph's.
    variables
        What is fed, by name or by address.
    """

    id: int
    variables: tuple[FlatVariable, ...]


def read_request_id(data: bytes | memoryview) -> int:
    """Return the id of the graph that a FlatInferenceRequest asks: it decides how the rest is read.

    Raises
    ------
    FlatBufferError
        It is malformed.
    """
    number: int = root_table(data, "request").scalar(0, "q", "id")
    return number


def read_request(data: bytes | memoryview, generation: Generation) -> InferenceRequest:
    """Read a FlatInferenceRequest; ``generation`` is the graph's, since a request's own cannot be told.

    Raises
    ------
    FlatBufferError
        It is malformed.
    """
    root = root_table(data, "request")
    variables = tuple(read_variable(table, generation) for table in root.tables(1, "variables"))
    return InferenceRequest(root.scalar(0, "q", "id"), variables)


def write_request(
    graph_id: int, variables: Sequence[FlatVariable], generation: Generation, *, big_endian: bool = False
) -> bytes:
    """Write a FlatInferenceRequest."""
    size = sum(variable.array.nbytes for variable in variables if variable.array is not None)
    builder = flatbuffers.Builder(size + 256 * (len(variables) + 1))
    places = [write_variable(builder, variable, generation, big_endian=big_endian) for variable in variables]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    variables_at = builder.EndVector()
    builder.StartObject(3)
    builder.PrependInt64Slot(0, graph_id, 0)
    builder.PrependUOffsetTRelativeSlot(1, variables_at, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def read_result(data: bytes | memoryview, generation: Generation) -> tuple[FlatVariable, ...]:
    """Read a FlatResult's variables.

    Raises
    ------
    FlatBufferError
        It is malformed.
    """
    root = root_table(data, "result")
    return tuple(read_variable(table, generation) for table in root.tables(1, "variables"))


def read_drop_request(data: bytes | memoryview) -> int:
    """Return the id of the graph that a FlatDropRequest wants forgotten.

    Raises
    ------
    FlatBufferError
        It is malformed.
    """
    number: int = root_table(data, "request").scalar(0, "q", "id")
    return number


def write_drop_request(graph_id: int) -> bytes:
    """Write a FlatDropRequest."""
    builder = flatbuffers.Builder(32)
    builder.StartObject(1)
    builder.PrependInt64Slot(0, graph_id, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def read_response(data: bytes | memoryview) -> int:
    """Return the status of a FlatResponse, 0 where it says nothing.

    Raises
    ------
    FlatBufferError
        It is malformed.
    """
    status: int = root_table(data, "response").scalar(0, "i", "status")
    return status


def write_response(status: int = 0) -> bytes:
    """Write a FlatResponse."""
    builder = flatbuffers.Builder(32)
    builder.StartObject(1)
    builder.PrependInt32Slot(0, status, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())
