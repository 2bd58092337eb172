"""Which operation a node means: by hash or number first, by Java's name second."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from navi_graphserver.errors import GraphError
from navi_graphserver.flat.enums import Generation
from navi_graphserver.flat.records import FlatNode
from navi_graphserver.operations import (
    binary,
    choosing,
    images,
    linear,
    lists,
    making,
    normal,
    reduce,
    shapes,
    slicing,
    unary,
    windows,
)
from navi_graphserver.operations.hashes import name_hash
from navi_graphserver.operations.legacy import CONTROL, legacy_name
from navi_graphserver.operations.table import OPERATIONS, Operation

__all__ = ["control_name", "known_name", "num_operations", "resolve"]

MODULES: Final = (
    *(binary, choosing, images, linear, lists, making),
    *(normal, reduce, shapes, slicing, unary, windows),
)
"""The modules that fill the table when they are imported."""


@cache
def _by_hash() -> dict[int, Operation]:
    return {name_hash(name): made for name, made in OPERATIONS.items()}


@cache
def _known_names() -> dict[int, str]:
    text = files("navi_graphserver.operations").joinpath("known_names.txt").read_text()
    return {name_hash(name): name for name in text.split()}


def known_name(number: int) -> str | None:
    """Return the name that libnd4j knows a CUSTOM operation by, served here or not; None: nobody knows it."""
    return _known_names().get(number)


def control_name(node: FlatNode) -> str | None:
    """Return what a node of the LOGIC family does; None: it is no such node.

    Raises
    ------
    GraphError
        It is one, and unknown.
    """
    if node.family != "LOGIC":
        return None
    try:
        return CONTROL[node.op_number]
    except KeyError:
        msg = f"node '{node.name or node.id}': {node.op_number} is no operation of control flow"
        raise GraphError(msg) from None


def resolve(node: FlatNode, generation: Generation) -> Operation:
    """Return a node's operation.

    Raises
    ------
    GraphError
        It is not served; names it.
    """
    if node.family == "CUSTOM":
        found = _by_hash().get(node.op_number) or OPERATIONS.get(node.op_name)
        name = known_name(node.op_number) or node.op_name or f"hash {node.op_number}"
    else:
        legacy = legacy_name(generation, node.family, node.op_number)
        found = OPERATIONS.get(legacy or "") or OPERATIONS.get(node.op_name)
        name = legacy or node.op_name or f"number {node.op_number}"
    if found is None:
        msg = f"node '{node.name or node.id}': the operation '{name}' ({node.family}) is not served"
        raise GraphError(msg)
    return found


def num_operations() -> int:
    """Return how many operations are served, each counted once whatever it is called."""
    return len({id(made) for made in OPERATIONS.values()})
