"""FlatGraph -> GraphPlan: what is fed, what every node computes, what comes back; checked once, when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from navi_core import Array
from navi_graphserver.errors import GraphError
from navi_graphserver.flat.enums import NUMPY_DTYPES, Generation, OutputMode, VariableKind
from navi_graphserver.flat.records import Address, FlatGraph, FlatNode, FlatVariable
from navi_graphserver.operations.names import control_name, resolve
from navi_graphserver.operations.table import Arguments, Operation

__all__ = ["Feed", "GraphPlan", "Node", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feed:
    """A value that is there before anything runs: a placeholder, a constant, a trained variable.

    Parameters
    ----------
    address, name
        By what it is known; the name may be empty.
    dtype
        None: whatever is fed.
    shape
        None for dimensions that are unknown; None: any.
    array
        Its value where nothing is fed; None: it has to be fed.
    is_placeholder
        It is meant to be fed. The first generation does not say: there, what has no value is.
    is_constant
        It may be taken for granted when the graph is loaded.
    """

    address: Address
    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...] | None
    array: Array | None
    is_placeholder: bool
    is_constant: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operation, ready to be computed.

    Parameters
    ----------
    id, name
        By what it is known; the name may be empty.
    operation
        None: control flow.
    control
        ``switch``, ``merge``...; None: an operation.
    arguments
        What it says besides its inputs.
    inputs
        Whose values it takes.
    after
        Nodes that must have run, and be alive, though their values are not used.
    aligned_axes
        Along which axes of the first operand the second lies; empty: NumPy's broadcasting.
    output_names
        Names of its outputs as far as the graph says them; empty ones where it does not.
    """

    id: int
    name: str
    operation: Operation | None
    control: str | None
    arguments: Arguments
    inputs: tuple[Address, ...]
    after: tuple[int, ...] = ()
    aligned_axes: tuple[int, ...] = ()
    output_names: tuple[str, ...] = ("",)

    @property
    def label(self) -> str:
        """What errors call it."""
        return self.name or str(self.id)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphPlan:
    """One graph, checked: every input exists, every operation is served.

    Parameters
    ----------
    generation
        Which wire it came in.
    feeds
        By address, in the file's order.
    nodes
        By id, in the file's order.
    outputs
        Ids of the variables and nodes that the graph's output mode returns.
    leaves
        Ids of the nodes that nobody consumes, or those that the graph names as its outputs.
    output_dtypes
        Element types of nodes' outputs, as far as the graph says them.
    """

    generation: Generation
    feeds: Mapping[Address, Feed]
    nodes: Mapping[int, Node]
    outputs: tuple[int, ...]
    leaves: tuple[int, ...]
    output_dtypes: Mapping[Address, np.dtype[Any]]

    @property
    def has_control_flow(self) -> bool:
        """Whether some values may be absent, or computed several times."""
        return any(node.control is not None for node in self.nodes.values())


_LOOPS_OF_ONE_NODE = ("while", "scope", "conditional", "return", "expose")


def make_plan(graph: FlatGraph) -> GraphPlan:
    """Check a graph, and resolve what its nodes compute.

    Raises
    ------
    GraphError
        It cannot be served: names the node, the operation, the input.
    """
    ids = _unique_ids(graph)
    names = _output_names(graph)
    feeds = {
        variable.address: _feed(variable, graph)
        for variable in graph.variables
        if variable.address.node not in ids
    }
    by_name = {node.name: node.id for node in graph.nodes if node.name}
    by_name |= {name: node for node, all_of_them in names.items() for name in all_of_them if name}
    nodes = {node.id: _node(node, graph.generation, names[node.id], by_name) for node in graph.nodes}
    for node in nodes.values():
        for address in node.inputs:
            if address not in feeds and address.node not in nodes:
                msg = f"node '{node.label}': its input {address} does not exist"
                raise GraphError(msg)
    return GraphPlan(
        generation=graph.generation,
        feeds=feeds,
        nodes=nodes,
        outputs=_outputs(graph, feeds, nodes),
        leaves=_named_outputs(graph, feeds, nodes) if graph.outputs else _leaves(nodes),
        output_dtypes=_output_dtypes(graph, ids),
    )


def _unique_ids(graph: FlatGraph) -> set[int]:
    ids = [node.id for node in graph.nodes]
    if len(set(ids)) != len(ids):
        doubled = next(number for number in ids if ids.count(number) > 1)
        msg = f"two nodes have the id {doubled}"
        raise GraphError(msg)
    return set(ids)


def _output_names(graph: FlatGraph) -> dict[int, list[str]]:
    """Return every node's output names: its own, those that it lists, those of variables at its address."""
    most = 4096  # addresses come from the file: nobody has more outputs, and a list of them has to be made
    names = {node.id: [*(node.output_names or (node.name,))] for node in graph.nodes}
    for variable in graph.variables:
        own, index = names.get(variable.address.node), variable.address.output
        if own is not None and 0 <= index < most:
            own += [""] * (index + 1 - len(own))
            own[index] = own[index] or variable.name
    for node in graph.nodes:
        for address in node.inputs:
            own = names.get(address.node)
            if own is not None and 0 <= address.output < most:
                own += [""] * (address.output + 1 - len(own))
    return names


def _output_dtypes(graph: FlatGraph, ids: set[int]) -> dict[Address, np.dtype[Any]]:
    return {
        variable.address: NUMPY_DTYPES[variable.dtype]
        for variable in graph.variables
        if variable.address.node in ids and variable.dtype in NUMPY_DTYPES and variable.dtype is not None
    }


def _feed(variable: FlatVariable, graph: FlatGraph) -> Feed:
    array, kind = variable.array, variable.kind
    dtype = None if variable.dtype is None else NUMPY_DTYPES.get(variable.dtype)
    shape = variable.shape
    if array is not None:
        dtype = dtype or array.dtype
        if shape is None or kind is not VariableKind.PLACEHOLDER:
            shape = array.shape
    if kind is VariableKind.CONSTANT and array is None:
        msg = f"the constant '{variable.name or variable.address}' has no value"
        raise GraphError(msg)
    is_gen1 = graph.generation is Generation.GEN1
    if is_gen1 and dtype is None:
        dtype = _gen1_dtype(graph)
    return Feed(
        address=variable.address,
        name=variable.name,
        dtype=dtype,
        shape=shape,
        array=array,
        is_placeholder=array is None if is_gen1 else kind is VariableKind.PLACEHOLDER,
        is_constant=array is not None and kind is not VariableKind.PLACEHOLDER,
    )


def _gen1_dtype(graph: FlatGraph) -> np.dtype[Any]:
    """Return the one element type of a graph of the first generation: its arrays', float32 where it has none."""
    arrays = (variable.array for variable in graph.variables)
    return next((array.dtype for array in arrays if array is not None), np.dtype(np.float32))


def _node(
    node: FlatNode, generation: Generation, output_names: list[str], by_name: Mapping[str, int]
) -> Node:
    control = control_name(node)
    if control in _LOOPS_OF_ONE_NODE:
        msg = f"node '{node.name or node.id}': control flow by scopes ('{control}') is not served"
        raise GraphError(msg)
    operation = None if control else resolve(node, generation)
    least, most = _input_counts(operation, control)
    if len(node.inputs) < least or (most is not None and len(node.inputs) > most):
        expected = (
            f"{least} or more" if most is None else f"{least}" if least == most else f"{least} to {most}"
        )
        name = control or (operation.name if operation else "")
        msg = f"node '{node.name or node.id}' ({name}): {len(node.inputs)} inputs; expected {expected}"
        raise GraphError(msg)
    return Node(
        id=node.id,
        name=node.name,
        operation=operation,
        control=control,
        arguments=Arguments(
            t=node.t_args,
            i=node.i_args,
            b=node.b_args,
            d=node.d_args,
            s=node.s_args,
            dimensions=node.dimensions,
            scalar=node.scalar,
            is_gen1=generation is Generation.GEN1,
            num_outputs=len(output_names),
        ),
        inputs=node.inputs,
        after=tuple(by_name[name] for name in node.control_inputs if name in by_name),
        aligned_axes=node.dimensions if node.family.startswith("BROADCAST") else (),
        output_names=tuple(output_names),
    )


def _input_counts(operation: Operation | None, control: str | None) -> tuple[int, int | None]:
    if operation is not None:
        return operation.min_inputs, operation.max_inputs
    return {"switch": (2, 2), "merge": (1, None)}.get(control or "", (1, 1))


def _leaves(nodes: Mapping[int, Node]) -> tuple[int, ...]:
    used = {address.node for node in nodes.values() for address in node.inputs}
    return tuple(number for number in nodes if number not in used)


def _named_outputs(
    graph: FlatGraph, feeds: Mapping[Address, Feed], nodes: Mapping[int, Node]
) -> tuple[int, ...]:
    known = {address.node for address in feeds} | set(nodes)
    for address in graph.outputs:
        if address.node not in known:
            msg = f"the output {address} does not exist"
            raise GraphError(msg)
    return tuple(dict.fromkeys(address.node for address in graph.outputs))


def _outputs(graph: FlatGraph, feeds: Mapping[Address, Feed], nodes: Mapping[int, Node]) -> tuple[int, ...]:
    match graph.output_mode:
        case OutputMode.IMPLICIT:
            return _leaves(nodes)
        case OutputMode.EXPLICIT | OutputMode.EXPLICIT_AND_IMPLICIT:
            return _named_outputs(graph, feeds, nodes)
        case OutputMode.VARIABLE_SPACE:
            return tuple(dict.fromkeys([*(address.node for address in feeds), *nodes]))
        case OutputMode.OPTIMIZED:
            return ()
