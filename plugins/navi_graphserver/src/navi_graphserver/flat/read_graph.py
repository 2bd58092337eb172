"""FlatGraph -> records, in either generation.

The first generation's schema ended at five fields of a graph; the second always writes a sixth, the placeholders.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from navi_core import Array
from navi_graphserver.flat.arrays import read_array
from navi_graphserver.flat.enums import FAMILIES, Generation, OutputMode
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.records import Address, FlatGraph, FlatNode
from navi_graphserver.flat.variables import read_address, read_variable
from navi_graphserver.flat.verified import Table, root_table

__all__ = ["looks_like_graph", "read_graph"]

_GEN1_SLOTS: Final = 5
_CONTROL_SLOTS: Final = (19, 20)  # controlDeps, varControlDeps; 21 says the same from the other end


def looks_like_graph(data: bytes | memoryview) -> bool:
    """Tell whether bytes, or the beginning of them, could be a graph: there is nothing that says so for sure."""
    try:
        root = root_table(data, "graph")
    except FlatBufferError:
        return False
    return root.num_slots >= 3 and (root.has(1) or root.has(2))


def read_graph(data: bytes | memoryview) -> FlatGraph:
    """Read a graph.

    Parameters
    ----------
    data
        A finished FlatBuffer.

    Raises
    ------
    FlatBufferError
        It is malformed, or an older layout than the first generation's.
    """
    root = root_table(data, "graph")
    generation = Generation.GEN2 if root.num_slots > _GEN1_SLOTS else Generation.GEN1
    configuration = root.table(4, "configuration")
    return FlatGraph(
        generation=generation,
        id=root.scalar(0, "q", "id"),
        variables=tuple(read_variable(table, generation) for table in root.tables(1, "variables")),
        nodes=tuple(_node(table, generation) for table in root.tables(2, "nodes")),
        outputs=tuple(map(read_address, root.tables(3, "outputs"))),
        output_mode=OutputMode.IMPLICIT if configuration is None else _output_mode(configuration),
        placeholders=root.texts(5, "placeholders") if generation is Generation.GEN2 else (),
    )


def _output_mode(configuration: Table) -> OutputMode:
    number = configuration.scalar(3, "b", "outputMode")
    try:
        return OutputMode(number)
    except ValueError:
        raise FlatBufferError(f"{number} is no output mode", f"{configuration.place}.outputMode") from None


def _node(table: Table, generation: Generation) -> FlatNode:
    common: dict[str, Any] = {
        "id": table.scalar(0, "i", "id"),
        "name": table.text(1, "name"),
        "family": _family(table, generation),
        "op_number": table.scalar(3, "q", "opNum"),
        "inputs": _inputs(table),
        "dimensions": table.numbers(11, "<i4", "dimensions"),
    }
    if generation is Generation.GEN1:
        return FlatNode(
            **common,
            t_args=table.numbers(9, "<f8", "extraParams"),
            i_args=table.numbers(10, "<i8", "extraInteger"),
            scalar=_gen1_scalar(table),
            output_names=table.texts(16, "outputNames"),
        )
    scalar = table.table(18, "scalar")
    return FlatNode(
        **common,
        t_args=table.numbers(8, "<f8", "extraParams"),
        i_args=table.numbers(9, "<i8", "extraInteger"),
        b_args=tuple(bool(number) for number in table.numbers(10, "u1", "extraBools")),
        d_args=table.numbers(22, "i1", "extraTypes"),
        s_args=table.texts(23, "extraStrings"),
        op_name=table.text(16, "opName"),
        output_names=table.texts(15, "outputNames"),
        scalar=None if scalar is None else read_array(scalar),
        control_inputs=tuple(name for slot in _CONTROL_SLOTS for name in table.texts(slot, "controlDeps")),
    )


def _family(table: Table, generation: Generation) -> str:
    number = table.scalar(2, "b", "opType")
    try:
        return FAMILIES[generation][number]
    except KeyError:
        raise FlatBufferError(f"{number} is no family of operations", f"{table.place}.opType") from None


def _inputs(table: Table) -> tuple[Address, ...]:
    """Read pairs; where there are none, ids whose first output is meant."""
    pairs = table.tables(6, "inputPaired")
    if pairs:
        return tuple(map(read_address, pairs))
    return tuple(Address(node) for node in table.numbers(5, "<i4", "input"))


def _gen1_scalar(table: Table) -> Array | None:
    return np.asarray(table.scalar(13, "f", "scalar"), np.float32) if table.has(13) else None
