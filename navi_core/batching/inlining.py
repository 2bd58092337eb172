"""When a run happens on the event loop instead of on a worker thread: the policy, pure.

Rules of this file: no clock (``now`` is handed in), no threads, no event loop.

Theory. To hand a batch to a thread and its answers back costs tens of microseconds, more than a small model's
run. Who runs a model on the loop saves them, and stalls everybody else for as long as the run takes. So a run
may only happen there while all that is known says that it takes at most ``limit_s``:

* A gate starts closed. Runs on threads are measured; once several were seen, and the shortest of the last few
  kept the limit, one run is tried on the loop. (The shortest: a thread's figure holds what it waited
  for the interpreter, which says nothing about the model.)
* What runs on the loop is measured there. One run over the limit closes the gate at once.
* It opens again after a pause. The pause doubles, up to a minute, each time that the gate closes within ``STREAK``
  runs of its opening, and halves each time that it closes later: so of many runs on the loop at most two in
  ``STREAK``, one in a hundred, are over the limit, however the model behaves, and one that is slow for good
  costs a slow run a minute.

The time of a run depends on what goes in: a gate belongs to one signature and one size of batch, in bytes and by
powers of two.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = [
    "MAX_PAUSE_S",
    "MIN_PAUSE_S",
    "NUM_SAMPLES",
    "NUM_SAMPLES_AFTER_ONE",
    "STREAK",
    "InlineGate",
    "InlineGates",
]

NUM_SAMPLES: Final = 8
"""Runs on threads that are looked at before one is tried on the loop."""

NUM_SAMPLES_AFTER_ONE: Final = 2
"""The same after a single long run among many short ones: on a busy machine the system makes some of any model's."""

STREAK: Final = 200
"""Runs on the loop that must keep the limit for the one that does not to be an exception."""

MIN_PAUSE_S: Final = 0.001
MAX_PAUSE_S: Final = 60.0

_WEIGHT: Final = 1 / 16
"""Of the newest run in the typical time."""


class InlineGate:
    """Decides for one signature and size of batch. Not thread-safe: belongs to the loop.

    Parameters
    ----------
    limit_s
        The longest run that may happen on the loop, in seconds.

    Attributes
    ----------
    is_open
        Whether the next run may happen on the loop.
    typical_s
        How long runs on the loop take of late, in seconds; means something while the gate is open.
    """

    __slots__ = (
        "_elsewhere",
        "_limit_s",
        "_num_inline",
        "_num_wanted",
        "_pause_s",
        "_paused_until",
        "is_open",
        "typical_s",
    )

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._elsewhere: deque[float] = deque(maxlen=NUM_SAMPLES)
        self._num_wanted = NUM_SAMPLES
        self._paused_until = 0.0
        self._pause_s = MIN_PAUSE_S
        self._num_inline = 0
        self.is_open = False
        self.typical_s = 0.0

    def ran_elsewhere(self, seconds: float, now: float) -> None:
        """Take how long a run on a thread took; may open the gate."""
        samples = self._elsewhere
        samples.append(seconds)
        if self.is_open or now < self._paused_until or len(samples) < self._num_wanted:
            return
        shortest = min(samples)
        if shortest <= self._limit_s:
            self.is_open = True
            self.typical_s = shortest
            self._num_inline = 0

    def ran_inline(self, seconds: float, now: float) -> None:
        """Take how long a run on the loop took; closes the gate when that was too long."""
        self._num_inline += 1
        if seconds <= self._limit_s:
            self.typical_s += (seconds - self.typical_s) * _WEIGHT
            return
        if self._num_inline <= STREAK:
            self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
            self._num_wanted = NUM_SAMPLES
        else:
            self._pause_s = max(self._pause_s / 2, MIN_PAUSE_S)
            self._num_wanted = NUM_SAMPLES_AFTER_ONE
        self._paused_until = now + self._pause_s
        self._elsewhere.clear()
        self.is_open = False


class InlineGates:
    """The gates of one signature, by the size of the batch.

    Parameters
    ----------
    limit_s
        See :class:`InlineGate`; 0: nothing ever runs on the loop.
    """

    __slots__ = ("_gates", "_limit_s")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._gates: dict[int, InlineGate] = {}

    def of(self, size_bytes: int) -> InlineGate:
        """Return the gate of batches of this size."""
        size_class = size_bytes.bit_length()
        gate = self._gates.get(size_class)
        if gate is None:
            gate = self._gates[size_class] = InlineGate(self._limit_s)
        return gate
