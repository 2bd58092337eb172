"""A graph as its file says it, in records: what was read, before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from navi_core import Array
from navi_graphserver.flat.enums import DType, Generation, OutputMode, VariableKind

__all__ = ["Address", "FlatGraph", "FlatNode", "FlatVariable"]


class Address(NamedTuple):
    """Who makes a value: the id of a variable or node, and which of its outputs."""

    node: int
    output: int = 0

    def __str__(self) -> str:
        return f"{self.node}:{self.output}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlatVariable:
    """A value that is there before anything runs, or the name of one that a node makes.

    Parameters
    ----------
    address
        Whose value it is.
    name
        Empty where there is none.
    kind
        None in the first generation, which does not say.
    dtype
        None in the first generation, which does not say.
    shape
        Declared dimensions, None for those that are unknown; None: none are declared.
    array
        The value; None: it is fed, or made by a node.
    """

    address: Address
    name: str = ""
    kind: VariableKind | None = None
    dtype: DType | None = None
    shape: tuple[int | None, ...] | None = None
    array: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlatNode:
    """One operation.

    Parameters
    ----------
    id
        Its number, shared with no variable but its own outputs' entries.
    name
        The name of its first output.
    family
        The name of its ``opType``: ``CUSTOM``, ``LOGIC``, ``TRANSFORM_SAME``...
    op_number
        A hash for CUSTOM, an index into the family's list otherwise.
    op_name
        Java's name, in the second generation; it may differ from C++'s.
    inputs
        Whose values it takes.
    t_args, i_args, b_args, d_args, s_args
        Its numbers, integers, booleans, element types and texts.
    dimensions
        Axes.
    scalar
        The constant of SCALAR operations.
    output_names
        Names of its outputs.
    control_inputs
        Names of nodes and variables that must be there before it runs, though their values are not used.
    """

    id: int
    name: str = ""
    family: str
    op_number: int
    op_name: str = ""
    inputs: tuple[Address, ...] = ()
    t_args: tuple[float, ...] = ()
    i_args: tuple[int, ...] = ()
    b_args: tuple[bool, ...] = ()
    d_args: tuple[int, ...] = ()
    s_args: tuple[str, ...] = ()
    dimensions: tuple[int, ...] = ()
    scalar: Array | None = None
    output_names: tuple[str, ...] = ()
    control_inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlatGraph:
    """One graph.

    Parameters
    ----------
    generation
        Which wire it came in; numbers of operations depend on it.
    id
        Under which GraphServer's clients know it.
    variables, nodes
        In the file's order, which means nothing.
    outputs
        What is returned in the explicit output modes.
    output_mode
        What is returned; implicit where there is no configuration.
    placeholders
        Names of what is fed, in order; the second generation only.
    """

    generation: Generation
    id: int = 0
    variables: tuple[FlatVariable, ...] = ()
    nodes: tuple[FlatNode, ...] = ()
    outputs: tuple[Address, ...] = ()
    output_mode: OutputMode = OutputMode.IMPLICIT
    placeholders: tuple[str, ...] = ()
