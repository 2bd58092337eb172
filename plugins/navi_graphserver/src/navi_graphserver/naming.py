"""How a graph's values are called outside of it.

The default signature, for every protocol of the host, calls a value by its name, or by its address where it has none:
``3:0``. The signature ``graphserver``, for GraphServer's own clients, says both - ``3:0 input`` - so that a service
which knows nothing of a graph but its signature finds either.
"""

from __future__ import annotations

import re
from typing import Final

from navi_core import InvalidRequestError
from navi_graphserver.flat.enums import Generation
from navi_graphserver.flat.records import Address

__all__ = [
    "DEAD_OUTPUT",
    "GRAPH_SIGNATURE",
    "NAME_METADATA",
    "check_name",
    "generation_of",
    "graph_id_of",
    "graph_method",
    "is_model_name",
    "model_name",
    "read_wire_name",
    "serving_name",
    "wire_name",
]

GRAPH_SIGNATURE: Final = "graphserver"
DEAD_OUTPUT: Final = "dead"
"""An output of that signature: one bool for each of the others, true where a run did not make it."""

NAME_METADATA: Final = "graph-name"
"""The metadata of a call that puts a graph, by which it says the graph's name: its message has no place for one."""

_METHOD: Final = "graphserver/"
_MODEL: Final = re.compile(r"graph-(0|-?[1-9]\d{0,18})")
_NAME: Final = re.compile(r"(?!graph-[+-]?\d+$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


def model_name(graph_id: int) -> str:
    """Return the name of the model that a graph is."""
    return f"graph-{graph_id}"


def check_name(name: str) -> None:
    """Check the name of a graph, under which it is a model beside ``graph-<id>``.

    Raises
    ------
    InvalidRequestError
        It is none.
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"expected a name of letters, digits, '_', '.' and '-', other than 'graph-<id>', got {name!r:.80}"
        )
        raise InvalidRequestError(msg)


def is_model_name(name: str) -> bool:
    """Tell whether a name is one that :func:`model_name` makes."""
    return _MODEL.fullmatch(name) is not None


def graph_id_of(model: str) -> int:
    """Undo :func:`model_name`."""
    return int(model.removeprefix("graph-"))


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
