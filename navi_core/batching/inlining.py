"""When a run happens on the event loop instead of on a worker thread: the policy, pure.

Rules of this file: no clock (``now`` is handed in), no threads, no event loop.

Theory. To hand a batch to a thread and its answers back costs tens of microseconds, more than a small model's
run. Who runs a model on the loop saves them, and stalls everybody else for as long as the run takes. So a run
may only happen there while all that is known says that it takes at most ``limit_s``:

* A gate starts closed. Runs on threads are measured; once several were seen, and the shortest of the last few
  kept the limit, runs go to the loop. (The shortest: a thread's figure holds what it waited for the interpreter,
  which says nothing about the model.)
* Single long runs are no reason to stop: on a busy machine one in twenty runs of ten microseconds takes a
  millisecond, since the processor was taken away, and would have been taken from the loop in any case. What counts
  is how much of the loop's time they take. The time beyond the limit goes into a bucket, which loses a tenth of
  the time that passes; when there are ``BURST`` limits in it, the gate closes. One run of ``SEVERE_S`` closes it,
  too, whatever the limit: it waited for something, or the machine stood still.
* A closed gate opens again after a pause. The pause doubles, up to a minute, each time that the gate closes within
  ``STREAK`` runs of its opening, and halves each time that it closes later.

So runs on the loop take no more than a tenth of its time beyond the limit, and for each opening of the gate ``BURST``
limits and one run, however the model behaves; one that turns slow for good costs that once a minute in the end.

The time of a run depends on what goes in: a gate belongs to one signature and one size of batch, in bytes and by
powers of two.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = [
    "BURST",
    "MAX_PAUSE_S",
    "MIN_PAUSE_S",
    "NUM_SAMPLES",
    "SEVERE_S",
    "SHARE",
    "STREAK",
    "InlineGate",
    "InlineGates",
]

NUM_SAMPLES: Final = 8
"""Runs on threads that are looked at before one is tried on the loop."""

SHARE: Final = 0.1
"""Of the loop's time that runs may take beyond the limit, in the long run."""

BURST: Final = 25
"""How many limits they may take beyond it at once."""

SEVERE_S: Final = 0.02
"""A run that takes so long by the clock, and longer than the limit, closes the gate by itself."""

STREAK: Final = 600
"""Runs on the loop after which a gate that closes is not one that should not have opened."""

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
        "_counted_at",
        "_elsewhere",
        "_excess_s",
        "_limit_s",
        "_num_inline",
        "_pause_s",
        "_paused_until",
        "is_open",
        "typical_s",
    )

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._elsewhere: deque[float] = deque(maxlen=NUM_SAMPLES)
        self._paused_until = 0.0
        self._pause_s = MIN_PAUSE_S
        self._num_inline = 0
        self._excess_s = 0.0
        self._counted_at = 0.0
        self.is_open = False
        self.typical_s = 0.0

    def ran_elsewhere(self, seconds: float, now: float) -> None:
        """Take how long a run on a thread took; may open the gate."""
        samples = self._elsewhere
        samples.append(seconds)
        if self.is_open or now < self._paused_until or len(samples) < NUM_SAMPLES:
            return
        shortest = min(samples)
        if shortest <= self._limit_s:
            self.is_open = True
            self.typical_s = shortest
            self._num_inline = 0
            self._excess_s = 0.0

    def ran_inline(self, seconds: float, now: float) -> None:
        """Take how long a run on the loop took; may close the gate."""
        self._num_inline += 1
        excess_s = seconds - self._limit_s
        if excess_s <= 0:
            self.typical_s += (seconds - self.typical_s) * _WEIGHT
            return
        drained_s = SHARE * (now - self._counted_at)
        self._excess_s = max(0.0, self._excess_s - drained_s) + excess_s
        self._counted_at = now
        if self._excess_s > BURST * self._limit_s or seconds >= SEVERE_S:
            self._close(now)

    def _close(self, now: float) -> None:
        if self._num_inline <= STREAK:
            self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
        else:
            self._pause_s = max(self._pause_s / 2, MIN_PAUSE_S)
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
