"""A graph in the making: placeholders, constants, nodes, and the outputs that it ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.flat.arrays import flat_dtype
from navi_graphserver.flat.enums import DType, Generation, OutputMode, VariableKind
from navi_graphserver.flat.records import Address, FlatGraph, FlatNode, FlatVariable
from navi_graphserver.operations.hashes import name_hash
from navi_graphserver.operations.legacy import LEGACY_NAMES
from navi_graphserver.operations.names import known_name

__all__ = ["ExportError", "GraphWriter"]


class ExportError(ValueError):
    """A network has a layer that is not known, or a setting that GraphServer has no form for."""


@cache
def _kind(operation: str) -> tuple[str, int]:
    """Return the family and the number that stand for an operation in the second generation."""
    number = name_hash(operation)
    if known_name(number) is not None:
        return "CUSTOM", number
    for family, numbers in LEGACY_NAMES[Generation.GEN2].items():
        for legacy, name in numbers.items():
            if name == operation:
                return family, legacy
    msg = f"'{operation}' has neither a hash nor a number"
    raise LookupError(msg)


class GraphWriter:
    """A graph of the second generation in the making. Every value is known by its address."""

    def __init__(self) -> None:
        self._variables: list[FlatVariable] = []
        self._nodes: list[FlatNode] = []
        self._next = 1

    def placeholder(
        self, name: str, shape: Sequence[int | None] | None, dtype: DType = DType.FLOAT
    ) -> Address:
        """Add an input; None for dimensions that are open."""
        address = self._take()
        self._variables.append(
            FlatVariable(
                address=address,
                name=name,
                kind=VariableKind.PLACEHOLDER,
                dtype=dtype,
                shape=None if shape is None else tuple(shape),
            )
        )
        return address

    def constant(self, value: Any, name: str = "constant") -> Address:
        """Add a constant: numbers, or an array.

        Raises
        ------
        ExportError
            GraphServer has no such element type.
        """
        array: Array = np.asarray(value)
        address = self._take()
        try:
            dtype = flat_dtype(array)
        except ValueError as error:
            msg = f"the constant '{name}': {error}"
            raise ExportError(msg) from None
        self._variables.append(
            FlatVariable(
                address=address,
                name=f"{name}_{address.node}",
                kind=VariableKind.CONSTANT,
                dtype=dtype,
                shape=array.shape,
                array=array,
            )
        )
        return address

    def add(self, operation: str, *inputs: Address, **arguments: Any) -> Address:
        """Add a node; ``arguments`` are a node's fields. Returns where its first output is."""
        address = self._take()
        family, number = _kind(operation)
        self._nodes.append(
            FlatNode(
                id=address.node,
                name=f"{operation}_{address.node}",
                family=family,
                op_number=number,
                op_name=operation,
                inputs=inputs,
                **arguments,
            )
        )
        return address

    def _take(self) -> Address:
        self._next += 1
        return Address(self._next - 1)

    def finished(self, graph_id: int, outputs: Mapping[str, Address]) -> FlatGraph:
        """Return the graph; every output is called by its name, whatever made it."""
        family, number = _kind("identity")
        last = []
        for name, address in outputs.items():
            own = self._take()
            last.append(own)
            self._nodes.append(
                FlatNode(
                    id=own.node,
                    name=name,
                    family=family,
                    op_number=number,
                    op_name="identity",
                    inputs=(address,),
                )
            )
        return FlatGraph(
            generation=Generation.GEN2,
            id=graph_id,
            variables=tuple(self._variables),
            nodes=tuple(self._nodes),
            outputs=tuple(last),
            output_mode=OutputMode.EXPLICIT,
            placeholders=tuple(
                each.name for each in self._variables if each.kind is VariableKind.PLACEHOLDER
            ),
        )
