"""How long runs hold up one turn of the event loop, whichever model's they are.

Rules of this file: no event loop, no clock; ``call_soon`` is handed in.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["TurnTime"]


class TurnTime:
    """The time that runs on the loop have taken of its present turn, and perhaps of turns before.

    To know each turn's own would take a callback for each. So the count goes on until somebody's limit is used
    up, and only then is the next turn asked for, which begins anew: in no turn do runs together take more than the
    limit and the one run that went beyond it, and a turn may be said to be over earlier than that.

    Parameters
    ----------
    call_soon
        Has a function called in the next turn of the loop.
    """

    __slots__ = ("_call_soon", "_is_ending", "_taken_s")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._is_ending = False
        self._taken_s = 0.0

    def took(self, seconds: float, limit_s: float) -> None:
        """Count a run of somebody with this limit."""
        self._taken_s += seconds
        if self._taken_s > limit_s:
            self.is_over(limit_s)  # a lone caller comes in the next turn, which is to begin anew

    def is_over(self, limit_s: float) -> bool:
        """Tell whether runs have taken more than the limit; then everything else has its turn first."""
        if self._taken_s <= limit_s:
            return False
        if not self._is_ending:
            self._is_ending = True
            self._call_soon(self._begin)
        return True

    def _begin(self) -> None:
        self._is_ending = False
        self._taken_s = 0.0
