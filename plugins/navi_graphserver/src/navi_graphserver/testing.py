"""Small graphs for tests, as records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from navi_graphserver.flat.enums import DType, Generation, OutputMode, VariableKind
from navi_graphserver.flat.records import Address, FlatGraph, FlatNode, FlatVariable
from navi_graphserver.operations.hashes import name_hash

__all__ = ["affine_graph", "constant", "counting_graph", "custom", "graph_of", "logic", "placeholder"]


def constant(number: int, name: str, value: ArrayLike) -> FlatVariable:
    """Return a constant of float32, int32, int64 or bool."""
    array = np.asarray(value)
    kinds = {"f": DType.FLOAT, "i": DType.INT64, "b": DType.BOOL}
    dtype = kinds[array.dtype.kind] if array.dtype.itemsize in (1, 4, 8) else None
    dtype = DType.INT32 if array.dtype == np.int32 else dtype
    return FlatVariable(
        address=Address(number),
        name=name,
        kind=VariableKind.CONSTANT,
        dtype=dtype,
        shape=array.shape,
        array=array,
    )


def placeholder(
    number: int, name: str, shape: tuple[int | None, ...] | None, dtype: DType = DType.FLOAT
) -> FlatVariable:
    """Return a variable that is fed."""
    return FlatVariable(
        address=Address(number), name=name, kind=VariableKind.PLACEHOLDER, dtype=dtype, shape=shape
    )


def custom(
    number: int, operation: str, inputs: Sequence[int | Address], name: str = "", **arguments: Any
) -> FlatNode:
    """Return a node of the CUSTOM family."""
    return FlatNode(
        id=number,
        name=name or f"{operation}_{number}",
        family="CUSTOM",
        op_number=name_hash(operation),
        op_name=operation,
        inputs=_addresses(inputs),
        **arguments,
    )


def logic(
    number: int, op_number: int, inputs: Sequence[int | Address], name: str = "", **arguments: Any
) -> FlatNode:
    """Return a node of the LOGIC family."""
    return FlatNode(
        id=number,
        name=name or f"logic_{number}",
        family="LOGIC",
        op_number=op_number,
        inputs=_addresses(inputs),
        **arguments,
    )


def _addresses(inputs: Sequence[int | Address]) -> tuple[Address, ...]:
    return tuple(each if isinstance(each, Address) else Address(each) for each in inputs)


def graph_of(variables: Sequence[FlatVariable], nodes: Sequence[FlatNode], **options: Any) -> FlatGraph:
    """Return a graph of the second generation; what nobody consumes is returned."""
    options.setdefault("output_mode", OutputMode.IMPLICIT)
    names = tuple(each.name for each in variables if each.kind is VariableKind.PLACEHOLDER)
    return FlatGraph(
        generation=Generation.GEN2,
        variables=tuple(variables),
        nodes=tuple(nodes),
        placeholders=names,
        **options,
    )


def affine_graph(factor: float = 2.0, offset: float = 1.0, graph_id: int = 7) -> FlatGraph:
    """Return y = x * factor + offset, for rows of three numbers."""
    return graph_of(
        [
            placeholder(1, "x", (None, 3)),
            constant(2, "factor", np.array(factor, np.float32)),
            constant(3, "offset", np.array(offset, np.float32)),
        ],
        [custom(4, "multiply", [1, 2]), custom(5, "add", [4, 3], name="y")],
        id=graph_id,
    )


def counting_graph(graph_id: int = 3) -> FlatGraph:
    """Return a loop: count from x up to limit by 1."""
    return graph_of(
        [
            placeholder(1, "x", ()),
            placeholder(2, "limit", ()),
            constant(3, "one", np.array(1, np.float32)),
        ],
        [
            logic(10, 100, [1], i_args=(1,)),
            logic(11, 100, [2], i_args=(1,)),
            logic(12, 60, [10, 18]),
            custom(13, "less", [12, 11]),
            logic(14, 70, [13]),
            logic(15, 30, [12, 14]),
            logic(16, 90, [Address(15, 0)], name="count"),
            custom(17, "add", [Address(15, 1), 3]),
            logic(18, 80, [17]),
        ],
        id=graph_id,
        outputs=(Address(16),),
        output_mode=OutputMode.EXPLICIT,
    )
