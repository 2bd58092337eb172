"""What is wrong with a FlatBuffer, and where."""

from __future__ import annotations

__all__ = ["FlatBufferError"]


class FlatBufferError(ValueError):
    """Bytes are not the FlatBuffer that they should be.

    Parameters
    ----------
    problem
        What is wrong, as a clause.
    place
        The field, from the root: ``graph.nodes[3].inputPaired``.
    """

    def __init__(self, problem: str, place: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.problem = problem
        self.place = place
