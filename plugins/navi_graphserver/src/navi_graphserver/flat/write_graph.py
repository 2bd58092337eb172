"""Records -> FlatGraph, in either generation: for clients, exporters and tests.

The slots are those of the newest schema of a generation; what is not given is left out, as FlatBuffers' own writers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import flatbuffers
import numpy as np

from navi_graphserver.flat.arrays import write_array
from navi_graphserver.flat.enums import FAMILIES, Generation
from navi_graphserver.flat.records import FlatGraph, FlatNode
from navi_graphserver.flat.variables import write_address, write_variable

__all__ = ["write_graph"]

_NUMBERS: Final = {
    generation: {name: number for number, name in families.items()}
    for generation, families in FAMILIES.items()
}


def write_graph(graph: FlatGraph, *, big_endian: bool = False) -> bytes:
    """Write a graph.

    Parameters
    ----------
    graph
        What to write; control inputs in the second generation only.
    big_endian
        Write arrays as Java does instead of as C++ does.

    Returns
    -------
    data
        A finished FlatBuffer.

    Raises
    ------
    ValueError
        An array has a dtype, or a node a family, that the generation does not have.
    """
    builder = flatbuffers.Builder(4096)
    variables = [
        write_variable(builder, variable, graph.generation, big_endian=big_endian)
        for variable in graph.variables
    ]
    nodes = [_write_node(builder, node, graph.generation, big_endian=big_endian) for node in graph.nodes]
    outputs = [write_address(builder, address) for address in graph.outputs]
    variables_at, nodes_at = _write_offsets(builder, variables), _write_offsets(builder, nodes)
    outputs_at = _write_offsets(builder, outputs)
    gen2 = graph.generation is Generation.GEN2
    placeholders_at = _write_texts(builder, graph.placeholders) if gen2 else None
    configuration_at = _write_configuration(builder, graph)
    builder.StartObject(6 if gen2 else 5)
    builder.PrependInt64Slot(0, graph.id, 0)
    builder.PrependUOffsetTRelativeSlot(1, variables_at, 0)
    builder.PrependUOffsetTRelativeSlot(2, nodes_at, 0)
    builder.PrependUOffsetTRelativeSlot(3, outputs_at, 0)
    builder.PrependUOffsetTRelativeSlot(4, configuration_at, 0)
    if placeholders_at is not None:
        builder.PrependUOffsetTRelativeSlot(5, placeholders_at, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _write_configuration(builder: flatbuffers.Builder, graph: FlatGraph) -> int:
    builder.StartObject(8)
    builder.PrependInt64Slot(0, -1, 0)
    builder.PrependInt8Slot(3, int(graph.output_mode), 0)
    place: int = builder.EndObject()
    return place


def _write_node(
    builder: flatbuffers.Builder, node: FlatNode, generation: Generation, *, big_endian: bool
) -> int:
    inputs = [write_address(builder, address) for address in node.inputs]
    fields: dict[int, int] = {}
    gen2 = generation is Generation.GEN2
    extra_params = 8 if gen2 else 9
    _put_text(builder, fields, 1, node.name)
    if inputs:
        fields[6] = _write_offsets(builder, inputs)
    _put_numbers(builder, fields, extra_params, node.t_args, np.float64)
    _put_numbers(builder, fields, extra_params + 1, node.i_args, np.int64)
    _put_numbers(builder, fields, 11, node.dimensions, np.int32)
    if gen2:
        _put_gen2(builder, fields, node, big_endian=big_endian)
    elif node.output_names:
        fields[16] = _write_texts(builder, node.output_names)
    builder.StartObject(24 if gen2 else 17)
    builder.PrependInt32Slot(0, node.id, 0)
    builder.PrependInt8Slot(2, _NUMBERS[generation][node.family], 0)
    builder.PrependInt64Slot(3, node.op_number, 0)
    for slot, place in fields.items():
        builder.PrependUOffsetTRelativeSlot(slot, place, 0)
    if not gen2 and node.scalar is not None:
        builder.PrependFloat32Slot(13, float(node.scalar), 0.0)
    at: int = builder.EndObject()
    return at


def _put_gen2(
    builder: flatbuffers.Builder, fields: dict[int, int], node: FlatNode, *, big_endian: bool
) -> None:
    _put_numbers(builder, fields, 10, node.b_args, np.bool_)
    _put_numbers(builder, fields, 22, node.d_args, np.int8)
    _put_text(builder, fields, 16, node.op_name)
    for slot, texts in ((15, node.output_names), (19, node.control_inputs), (23, node.s_args)):
        if texts:
            fields[slot] = _write_texts(builder, texts)
    if node.scalar is not None:
        fields[18] = write_array(builder, node.scalar, big_endian=big_endian)


def _put_text(builder: flatbuffers.Builder, fields: dict[int, int], slot: int, text: str) -> None:
    if text:
        fields[slot] = builder.CreateString(text)


def _put_numbers(
    builder: flatbuffers.Builder, fields: dict[int, int], slot: int, numbers: Sequence[float], dtype: Any
) -> None:
    if numbers:
        fields[slot] = builder.CreateNumpyVector(np.array(numbers, dtype))


def _write_texts(builder: flatbuffers.Builder, texts: Sequence[str]) -> int:
    return _write_offsets(builder, [builder.CreateString(text) for text in texts])


def _write_offsets(builder: flatbuffers.Builder, places: Sequence[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    at: int = builder.EndVector()
    return at
