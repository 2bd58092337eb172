"""Which signatures may keep what they are fed, and which change the model.

TensorFlow reads an aligned array in place, and an operator that stores a tensor (``AssignVariableOp``, a queue)
stores a reference: the variable then *is* the caller's array, and changes when that is used for the next
request. Such a signature is fed copies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["StoredInputs"]

_STORES: Final = re.compile(
    r"Assign|Enqueue|Stage|Push|Insert|Import|Put|Write|Scatter|ApplyGradient|MakeIterator|ReduceDataset|PyFunc"
)
"""Operators whose names say that they store, or may. One too many costs a copy."""

_KEEPS_NOTHING: Final = frozenset(
    {"ScatterNd", "TensorScatterUpdate", "TensorArrayWriteV3", "TensorArrayScatterV3", "TensorListScatter"}
)


_CHANGES: Final = re.compile(
    r"^Assign|Assign$|^Scatter(Add|Sub|Mul|Div|Min|Max|Update|NdAdd|NdSub|NdUpdate)$|^(Resource|Sparse)?Apply|"
    r"^ResourceS(catter|trided|parse)|Enqueue|^StackPush|^LookupTable(Insert|Import|Remove)|^MutableHashTable.*Insert"
)
"""Operators that change a variable, a queue or a table of the model."""


class StoredInputs:
    """Looks through a graph, and through the functions that it calls.

    Parameters
    ----------
    graph_def
        ``tensorflow.GraphDef``; read now, not kept.
    """

    def __init__(self, graph_def: Any) -> None:
        self._nodes: Mapping[str, tuple[str, tuple[str, ...]]] = {
            node.name: (node.op, tuple(node.input)) for node in graph_def.node
        }
        self._called: Mapping[str, frozenset[str]] = {
            node.name: called for node in graph_def.node if (called := frozenset(_functions(node)))
        }
        self._functions: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
            function.signature.name: (
                frozenset(node.op for node in function.node_def),
                frozenset(name for node in function.node_def for name in _functions(node)),
            )
            for function in graph_def.library.function
        }

    def may_store(self, fetches: Sequence[str]) -> bool:
        """Tell whether computing these tensors (``name:0``) may store an input."""
        return any(_STORES.search(op) for op in self._operators(fetches) - _KEEPS_NOTHING)

    def changes_model(self, fetches: Sequence[str]) -> bool:
        """Tell whether computing these tensors changes what later runs answer."""
        return any(_CHANGES.search(op) for op in self._operators(fetches))

    def _operators(self, fetches: Sequence[str]) -> set[str]:
        """Return every operator that these tensors need, those of functions included."""
        ops: set[str] = set()
        functions: set[str] = set()
        waiting, seen = [_node_name(name) for name in fetches], set()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._nodes:
                continue
            seen.add(name)
            op, inputs = self._nodes[name]
            ops.add(op)
            functions.add(op)  # a function may be called by its own name
            functions |= self._called.get(name, frozenset())
            waiting += map(_node_name, inputs)
        pending, entered = list(functions), set()
        while pending:
            function = pending.pop()
            if function in entered or function not in self._functions:
                continue
            entered.add(function)
            own, called = self._functions[function]
            ops |= own
            pending += (*own, *called)
        return ops


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _functions(node: Any) -> Iterable[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        elif value.HasField("list"):
            yield from (each.name for each in value.list.func)
