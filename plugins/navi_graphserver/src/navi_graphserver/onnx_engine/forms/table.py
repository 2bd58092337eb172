"""The table of ONNX forms, and what all of them use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from navi_graphserver.flat.records import Address
from navi_graphserver.onnx_engine.writing import NotConvertibleError, Writer
from navi_graphserver.plan import Node

__all__ = ["FORMS", "Form", "as_answer", "first_input", "form", "places", "refusal"]

Form = Callable[[Writer, Node], list[str]]
FORMS: Final[dict[str, Form]] = {}
"""Operation -> its form; filled by the modules beside this one."""


def form(*names: str) -> Callable[[Form], Form]:
    """Register a form for operations."""

    def register(write: Form) -> Form:
        for name in names:
            FORMS[name] = write
        return write

    return register


def first_input(writer: Writer, node: Node, index: int = 0) -> str:
    """Return what an input is called, the first one if nothing is said."""
    return writer.name(node.inputs[index])


def places(writer: Writer, address: Address) -> str:
    """Return indices as ONNX wants them. It counts negative ones from the end; here they are errors, as too large ones are."""
    indices = writer.as_int64(address)
    if writer.known(address) is not None:
        return indices
    is_negative = writer.add("Less", indices, writer.constant(0, np.int64))
    return writer.add("Where", is_negative, writer.constant(np.iinfo(np.int64).max, np.int64), indices)


def refusal(node: Node, why: str) -> NotConvertibleError:
    """Return the error of a node that ONNX cannot do."""
    name = node.operation.name if node.operation is not None else node.control
    return NotConvertibleError(f"node '{node.label}' ({name}): {why}")


def as_answer(writer: Writer, node: Node, name: str) -> str:
    """Return a value in the type that the graph has it in: floats for everything in the first generation."""
    wanted = writer.sample(Address(node.id)).dtype
    return name if not node.arguments.is_gen1 else writer.cast(name, wanted)
