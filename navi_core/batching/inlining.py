"""When a run happens on the event loop instead of on a worker thread: the policy, pure.

Rules of this file: no clock (``now`` is handed in), no threads, no event loop.

Theory. To hand a batch to a thread and its answers back costs tens of microseconds, more than a small model's
run. Who runs a model on the loop saves them, and stalls everybody else for as long as the run takes. So a run
may only happen there while all that is known says that it takes at most ``limit_s``:

* A gate starts closed. Runs on threads are measured; once several were seen, and the shortest of the last few
  kept the limit, runs go to the loop. (The shortest: a thread's figure holds what it waited for the interpreter,
  which says nothing about the model.)
* A gate that was just opened is *in doubt*: the processor time of its runs is measured too, which costs some
  microseconds. The third run that computes for longer than the limit closes it, and one that computes ten times as
  long does so at once. A run that took long and did not compute waited for the processor on a busy machine, which
  would have happened to the loop in any case: one in twenty is let pass.
* After ``STREAK`` runs that kept the limit it is trusted, and only the clock is read. A long run then puts it in
  doubt again.
* A closed gate opens again after a pause. The pause doubles, up to a minute, each time that the gate closes within
  ``STREAK`` runs of its opening, and halves each time that it closes later.

So of many runs on the loop at most six in ``STREAK``, one in a hundred, compute for longer than the limit, however the
model behaves; and one that turns slow for good costs three such runs at first and, in the end, three a minute.

The time of a run depends on what goes in: a gate belongs to one signature and one size of batch, in bytes and by
powers of two.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = [
    "MAX_LONG",
    "MAX_PAUSE_S",
    "MAX_WAITED",
    "MIN_PAUSE_S",
    "NUM_SAMPLES",
    "SEVERE",
    "STREAK",
    "InlineGate",
    "InlineGates",
]

NUM_SAMPLES: Final = 8
"""Runs on threads that are looked at before one is tried on the loop."""

STREAK: Final = 600
"""Runs on the loop that must keep the limit for the one that does not to be an exception."""

MAX_WAITED: Final = 30
"""Long runs that did not compute, of a gate in doubt, until it is closed for them."""

MIN_PAUSE_S: Final = 0.001
MAX_PAUSE_S: Final = 60.0

MAX_LONG: Final = 3
"""Runs that computed for longer than the limit, of a gate in doubt, until it is closed for them."""

SEVERE: Final = 10
"""How many times the limit a run takes that counts for all of them."""

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
    is_in_doubt
        Whether the next run's processor time is to be measured.
    typical_s
        How long runs on the loop take of late, in seconds; means something while the gate is open.
    """

    __slots__ = (
        "_elsewhere",
        "_limit_s",
        "_num_good",
        "_num_inline",
        "_num_long",
        "_num_waited",
        "_pause_s",
        "_paused_until",
        "is_in_doubt",
        "is_open",
        "typical_s",
    )

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._elsewhere: deque[float] = deque(maxlen=NUM_SAMPLES)
        self._paused_until = 0.0
        self._pause_s = MIN_PAUSE_S
        self._num_inline = 0
        self._num_good = 0
        self._num_long = 0
        self._num_waited = 0
        self.is_open = False
        self.is_in_doubt = True
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
            self._begin_doubt()

    def ran_inline(self, seconds: float, now: float, processor_s: float | None = None) -> None:
        """Take how long a run on the loop took; may close the gate.

        Parameters
        ----------
        seconds
            By the clock.
        now
            The current time, in seconds.
        processor_s
            For how long it computed, in seconds; None: it was not measured, since the gate was not in doubt.
        """
        self._num_inline += 1
        if seconds <= self._limit_s:
            self.typical_s += (seconds - self.typical_s) * _WEIGHT
            if self.is_in_doubt:
                self._num_good += 1
                self.is_in_doubt = self._num_good < STREAK
            return
        if not self.is_in_doubt:
            self._begin_doubt()
        elif processor_s is not None and processor_s <= self._limit_s:
            self._num_waited += 1
            if self._num_waited >= MAX_WAITED:
                self._close(now)
            return
        self._num_long += 1
        if self._num_long >= MAX_LONG or (processor_s or 0.0) > SEVERE * self._limit_s:
            self._close(now)

    def _begin_doubt(self) -> None:
        self.is_in_doubt = True
        self._num_good = self._num_long = self._num_waited = 0

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
