"""Pulse: which members still answer. Decisions only: who asks them, and who ends one that does not, is elsewhere.

A process that is stopped, or whose loop is blocked, keeps its connections: its clients wait, a swap waits for it, and
nothing ends it. So every member is asked something small at every beat, and one from which nothing came for many beats
is silent. Beats are counted, not seconds: where the parent itself, or the whole machine, stood still, one beat was
missed, not all those that would have been due.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

__all__ = ["BEAT_S", "BUSY_FACTOR", "Pulse"]

BEAT_S: Final = 0.5
"""Between two beats."""

BUSY_FACTOR: Final = 6
"""A member that starts, loads or closes versions may be silent for so many times as long: Python's lock may be held."""


class Pulse:
    """Counts the beats since each member was heard last.

    Parameters
    ----------
    silence_s
        A member that says nothing for so long is silent.
    """

    def __init__(self, silence_s: float) -> None:
        self._max_beats: Final = max(2, round(silence_s / BEAT_S))
        self._missed: dict[int, int] = {}

    def came(self, member: int) -> None:
        """Listen for a member from now on."""
        self._missed[member] = 0

    def gone(self, member: int) -> None:
        """Listen for a member no more."""
        self._missed.pop(member, None)

    def heard(self, member: int) -> None:
        """Take that a member said something, whatever it was."""
        if member in self._missed:
            self._missed[member] = 0

    def beat(self, busy: Collection[int] = ()) -> list[int]:
        """Count a beat, and return the members that are silent.

        Parameters
        ----------
        busy
            Those that start, load or close versions.
        """
        silent = []
        for member, missed in self._missed.items():
            self._missed[member] = missed + 1
            if missed >= self._max_beats * (BUSY_FACTOR if member in busy else 1):
                silent.append(member)
        return silent
