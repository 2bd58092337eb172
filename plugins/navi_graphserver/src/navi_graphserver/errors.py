"""What can be wrong with a graph, apart from its bytes."""

from __future__ import annotations

__all__ = ["GraphError", "OperationError"]


class GraphError(ValueError):
    """A graph cannot be served: an operation is not known, an input is dangling, an order does not exist."""


class OperationError(Exception):
    """An operation could not be computed from the values that it got.

    Parameters
    ----------
    operation
        The operation's name.
    node
        The node's name, or its id where it has none.
    problem
        What was wrong, as a clause; never the values themselves.
    """

    def __init__(self, operation: str, node: str, problem: str) -> None:
        super().__init__(f"node '{node}' ({operation}): {problem}")
        self.operation = operation
        self.node = node
        self.problem = problem
