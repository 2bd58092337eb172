"""How a graph's values are called outside of it.

The default signature, for every protocol of the host, calls a value by its name, or by its address where it has none:
``3:0``. The signature ``graphserver``, for GraphServer's own clients, says both - ``3:0 input`` - so that a service
which knows nothing of a graph but its signature finds either.
"""

from __future__ import annotations

from typing import Final

from navi_graphserver.flat.enums import Generation
from navi_graphserver.flat.records import Address

__all__ = [
    "DEAD_OUTPUT",
    "GRAPH_SIGNATURE",
    "generation_of",
    "graph_method",
    "model_name",
    "read_wire_name",
    "serving_name",
    "wire_name",
]

GRAPH_SIGNATURE: Final = "graphserver"
DEAD_OUTPUT: Final = "dead"
"""An output of that signature: one bool for each of the others, true where a run did not make it."""

_METHOD: Final = "graphserver/"


def model_name(graph_id: int) -> str:
    """Return the name of the model that a graph is."""
    return f"graph-{graph_id}"


def serving_name(address: Address, name: str) -> str:
    """Return what the default signature calls a value."""
    return name or str(address)


def wire_name(address: Address, name: str) -> str:
    """Return what the signature ``graphserver`` calls a value."""
    return f"{address} {name}"


def read_wire_name(text: str) -> tuple[Address, str]:
    """Undo :func:`wire_name`."""
    place, _, name = text.partition(" ")
    node, _, index = place.partition(":")
    return Address(int(node), int(index)), name


def graph_method(generation: Generation) -> str:
    """Return the method name by which the signature says its graph's generation."""
    return f"{_METHOD}{generation.value}"


def generation_of(method: str) -> Generation:
    """Undo :func:`graph_method`."""
    return Generation(int(method.removeprefix(_METHOD)))
