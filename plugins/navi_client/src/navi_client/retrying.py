"""Which failures are worth asking again, how often and when: decisions, without a clock or a thread."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from navi_client.errors import Code

__all__ = ["RETRIED", "Attempts", "Retries"]

RETRIED: Final = frozenset({Code.RESOURCE_EXHAUSTED, Code.UNKNOWN})
"""What the production callers of the first Navi sent again: the server was too busy, or failed without a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """When a request is sent again.

    The pause before the n-th retry is a random time up to ``first_pause_s * 2**(n - 1)``, at most
    ``longest_pause_s``: callers that failed together do not come back together.

    Parameters
    ----------
    at_most
        How many times; 0: never.
    codes
        After which failures.
    first_pause_s, longest_pause_s
        Limits of the pauses, in seconds.

    Raises
    ------
    ValueError
        A number is negative.
    """

    at_most: int = 2
    codes: frozenset[Code] = RETRIED
    first_pause_s: float = 0.02
    longest_pause_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("at_most", "first_pause_s", "longest_pause_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"retries: {name}: expected >= 0, got {getattr(self, name)}")


class Attempts:
    """The attempts of one request: what is left of its time, and whether there is another one.

    Parameters
    ----------
    retries
        The rules.
    timeout_s
        How long all attempts and pauses may take together; None: for ever.
    now
        A monotonic clock, in seconds.
    chance
        Returns a number from 0 to 1.

    Attributes
    ----------
    retries_done
        How many times the request was sent again so far.
    """

    def __init__(
        self,
        retries: Retries,
        timeout_s: float | None,
        now: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._retries = retries
        self._now = now
        self._chance = chance
        self._deadline_s = None if timeout_s is None else now() + timeout_s
        self.retries_done = 0

    def remaining_s(self) -> float | None:
        """Return how long the next attempt may take; None: for ever."""
        return None if self._deadline_s is None else max(0.0, self._deadline_s - self._now())

    def pause_s(self, code: Code) -> float | None:
        """Return how long to wait before the next attempt after a failure; None: there is none.

        A pause that would outlast the request's time is not begun: the caller learns the reason instead.
        """
        rules = self._retries
        if code not in rules.codes or self.retries_done >= rules.at_most:
            return None
        # far beyond the longest pause, 2.0**n would overflow
        longest = min(rules.longest_pause_s, rules.first_pause_s * 2.0 ** min(self.retries_done, 60))
        pause_s = longest * self._chance()
        remaining_s = self.remaining_s()
        if remaining_s is not None and pause_s >= remaining_s:
            return None
        self.retries_done += 1
        return pause_s
