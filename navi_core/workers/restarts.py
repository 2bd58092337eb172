"""When a worker that ended is started anew: at once, unless that does not help. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LOOP_AFTER", "Restarts"]

HEALTHY_S: Final = 10.0
"""A worker that served so long was well: whatever ended it is no loop."""

FIRST_BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 30.0

LOOP_AFTER: Final = 3
"""So many ends in a row, each soon after its start, are a loop, and reported as one."""


@dataclass(slots=True)
class Restarts:
    """The ends of one worker's processes.

    Attributes
    ----------
    in_a_row
        How many ended before they had served for long.
    """

    in_a_row: int = 0

    @property
    def is_loop(self) -> bool:
        """Whether starting it again has not helped so far."""
        return self.in_a_row >= LOOP_AFTER

    def ended(self, served_s: float) -> float:
        """Take that a process ended, and return how long to wait before the next one, in seconds.

        Parameters
        ----------
        served_s
            How long it had served; 0: it never got so far.
        """
        if served_s >= HEALTHY_S:
            self.in_a_row = 0
            return 0.0
        self.in_a_row += 1
        if self.in_a_row == 1:
            return 0.0
        return float(min(FIRST_BACKOFF_S * 2.0 ** min(self.in_a_row - 2, 16), MAX_BACKOFF_S))
