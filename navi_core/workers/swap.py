"""Two phases of a swap over several workers, as pure decisions: who is told what, and when.

A swap first has every member prepare (load and warm up, beside what serves). When all have, the barrier comes: every
member holds new requests back; when all hold, every one switches and lets requests flow. So no member answers with
the new version while another still admits to the old one. One member that cannot load ends the swap for all, and
nothing has changed.

One barrier is up at a time, and none for long: if a member does not hold in time, all are released, and the barrier is
tried again a little later, but not before every member has answered the last one: a member that says nothing costs the
others one try, until :mod:`navi_core.workers.pulse` has it replaced. One that answers, and never in time, is dropped
after a last, longer try in which others did hold. So one swap holds requests back for :data:`MAX_HOLD_S` altogether at
most, whatever members do.

Events go in with a ``now``; what comes out are actions, which :mod:`navi_core.workers.fleet` carries out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from navi_core.errors import LifecycleError
from navi_core.workers.phases import TRANSITIONS, Action, Drop, End, Event, Phase, Say, Word

__all__ = ["HOLD_TIMEOUT_S", "MAX_HOLD_S", "Swaps", "load_limit_s"]

HOLD_TIMEOUT_S: Final = 0.04
"""A member that does not hold within this time is busy: requests must not wait longer for it (50 ms altogether)."""

REST_S: Final = 0.2
"""Between two tries of the barrier."""

PATIENCE: Final = 10
"""After so many tries that took too long, a swap must happen all the same."""

LAST_TIMEOUT_S: Final = 1.0
"""How long requests may wait then: a process so busy answers nobody in time anyway."""

MAX_REST_S: Final = 60.0
"""Where not one member held even then, the rests grow up to this: nobody is to blame, and nothing is held for long."""

LOAD_FACTOR: Final = 10.0
MIN_LOAD_LIMIT_S: Final = 120.0
"""A member whose load takes so many times as long as another one's did, and at least so long, will never end it."""

MAX_HOLD_S: Final = PATIENCE * HOLD_TIMEOUT_S + LAST_TIMEOUT_S
"""How long all tries of one swap together may hold requests back."""

_BARRIER: Final = frozenset({Phase.HOLDING, Phase.SWITCHING})


def load_limit_s(longest_s: float) -> float:
    """Return how long a load may take where another worker's, or the longest of several, took ``longest_s``."""
    return max(MIN_LOAD_LIMIT_S, LOAD_FACTOR * longest_s)


@dataclass(slots=True)
class _Swap:
    number: int
    needs_prepare: bool
    phase: Phase
    at_once: int | None = None
    told: dict[int, float] = field(default_factory=dict)
    """Member -> when it was told to prepare."""
    prepared: set[int] = field(default_factory=set)
    longest_s: float | None = None
    """The longest of the loads that have ended."""
    hold: int = 0
    answered: set[int] = field(default_factory=set)
    tries: int = 0
    due: float | None = None


class Swaps:
    """Every swap of one group of members. Methods take the time and return what to do, in order.

    Parameters
    ----------
    hold_timeout_s, rest_s
        See the constants.
    """

    def __init__(self, *, hold_timeout_s: float = HOLD_TIMEOUT_S, rest_s: float = REST_S) -> None:
        self._hold_timeout_s = hold_timeout_s
        self._rest_s = rest_s
        self._swaps: dict[int, _Swap] = {}
        self._holds = 0
        self._owed: dict[int, int] = {}  # member -> the last barrier, which it has not answered
        self.members: set[int] = set()

    @property
    def is_barrier_up(self) -> bool:
        """Whether members hold requests back, or are switching: nobody may join meanwhile."""
        return any(swap.phase in _BARRIER for swap in self._swaps.values())

    @property
    def next_due(self) -> float | None:
        """When :meth:`tick` has something to do; None: not by time alone."""
        return min((swap.due for swap in self._swaps.values() if swap.due is not None), default=None)

    def phase(self, swap: int) -> Phase | None:
        """Return a running swap's phase; None: it has ended, or never was."""
        found = self._swaps.get(swap)
        return None if found is None else found.phase

    def loading(self) -> set[int]:
        """Return the members that were told to prepare something and have not answered."""
        return {member for swap in self._swaps.values() for member in swap.told.keys() - swap.prepared}

    # --- what happens ---------------------------------------------------------------------------------

    def begin(
        self, swap: int, now: float, *, needs_prepare: bool, at_once: int | None = None
    ) -> list[Action]:
        """Begin a swap.

        Parameters
        ----------
        swap
            Its number.
        now
            The time.
        needs_prepare
            Whether members load something; else it only needs the barrier.
        at_once
            So many members prepare at a time; None: all do.

        Raises
        ------
        LifecycleError
            There is one of this number.
        """
        if swap in self._swaps:
            raise LifecycleError(f"swap {swap} has begun already")
        phase = Phase.PREPARING if needs_prepare else Phase.WAITING
        self._swaps[swap] = _Swap(swap, needs_prepare, phase, at_once)
        return self._settle(now)

    def abandon(self, swap: int, now: float) -> list[Action]:
        """End a swap that is not wanted any more; one that is switching is made all the same."""
        found = self._swaps.get(swap)
        if found is None or found.phase is Phase.SWITCHING:
            return []
        return self._fail(found, Event.ABANDONED) + self._settle(now)

    def join(self, member: int, now: float) -> list[Action]:
        """Count on a member from now on; it serves what the others serve.

        Raises
        ------
        LifecycleError
            The barrier is up.
        """
        if self.is_barrier_up:
            raise LifecycleError(f"worker {member} cannot join while the others switch")
        self.members.add(member)
        for swap in self._swaps.values():
            if swap.needs_prepare and swap.phase is not Phase.PREPARING:
                self._move(swap, Event.MEMBER_JOINED)
                swap.due = None
        return self._settle(now)

    def leave(self, member: int, now: float) -> list[Action]:
        """Count on a member no more: it is gone."""
        self._forget(member)
        return self._settle(now)

    def _forget(self, member: int) -> None:
        self.members.discard(member)
        self._owed.pop(member, None)
        for swap in self._swaps.values():
            swap.told.pop(member, None)
            swap.prepared.discard(member)
            swap.answered.discard(member)

    def prepared(self, member: int, swap: int, now: float) -> list[Action]:
        """Take that a member has loaded."""
        found = self._swaps.get(swap)
        if found is None or member not in found.told or found.phase is not Phase.PREPARING:
            return []
        found.prepared.add(member)
        found.longest_s = max(found.longest_s or 0.0, now - found.told[member])
        return self._settle(now)

    def failed(self, member: int, swap: int, now: float) -> list[Action]:
        """Take that a member cannot load."""
        found = self._swaps.get(swap)
        if found is None or member not in found.told or found.phase is not Phase.PREPARING:
            return []
        return self._fail(found, Event.LOAD_FAILED) + self._settle(now)

    def held(self, member: int, hold: int, now: float) -> list[Action]:
        """Take that a member holds requests back; one that says so too late lives, at least."""
        if self._owed.get(member) == hold:
            del self._owed[member]
        return self._answered(member, hold, Phase.HOLDING, now) or self._settle(now)

    def switched(self, member: int, hold: int, now: float) -> list[Action]:
        """Take that a member has switched."""
        return self._answered(member, hold, Phase.SWITCHING, now)

    def tick(self, now: float) -> list[Action]:
        """Do what is due by time."""
        return self._settle(now)

    # --- what follows -----------------------------------------------------------------------------------

    def _answered(self, member: int, hold: int, phase: Phase, now: float) -> list[Action]:
        for swap in self._swaps.values():
            if swap.hold == hold and swap.phase is phase and member in self.members:
                swap.answered.add(member)
                return self._settle(now)
        return []

    def _fail(self, swap: _Swap, event: Event) -> list[Action]:
        told: list[Action] = []
        if swap.phase is Phase.HOLDING:
            told += self._to_all(Word.RELEASE, swap)
        told += [Say(Word.DISCARD, member, swap.number) for member in sorted(swap.told)]
        self._move(swap, event)
        del self._swaps[swap.number]
        return [*told, End(swap.number, is_made=False)]

    def _settle(self, now: float) -> list[Action]:
        """Move every swap as far as it goes."""
        told: list[Action] = []
        while True:
            step = self._step(now)
            if step is None:
                return told
            told += step

    def _step(self, now: float) -> list[Action] | None:
        """Move one swap on; None: there is none to move."""
        for swap in list(self._swaps.values()):
            is_due = swap.due is not None and now >= swap.due
            match swap.phase:
                case Phase.PREPARING if (step := self._prepare(swap, now)) is not None:
                    return step
                case Phase.WAITING if not self.is_barrier_up and not self._owed:
                    return self._hold(swap, now)
                case Phase.HOLDING if swap.answered >= self.members:
                    self._move(swap, Event.ALL_HELD)
                    swap.due, swap.answered = None, set()
                    return self._to_all(Word.SWITCH, swap)
                case Phase.HOLDING if is_due and swap.tries > PATIENCE and swap.answered:
                    return self._drop(self.members - swap.answered)
                case Phase.HOLDING if is_due:
                    self._move(swap, Event.OVERDUE)
                    swap.due = now + self._rest(swap)
                    return self._to_all(Word.RELEASE, swap)
                case Phase.RESTING if is_due:
                    self._move(swap, Event.RESTED)
                    swap.due = None
                    return []
                case Phase.SWITCHING if swap.answered >= self.members:
                    self._move(swap, Event.ALL_SWITCHED)
                    del self._swaps[swap.number]
                    return [End(swap.number, is_made=True)]
        return None

    def _prepare(self, swap: _Swap, now: float) -> list[Action] | None:
        """Have the next members prepare; None: there is nothing to do but to wait."""
        swap.due = None
        if self.members and swap.prepared >= self.members:
            self._move(swap, Event.ALL_PREPARED)
            return []
        loading = {member: since for member, since in swap.told.items() if member not in swap.prepared}
        if swap.longest_s is not None and loading:
            limit_s = load_limit_s(swap.longest_s)
            hung = {member for member, since in loading.items() if now >= since + limit_s}
            if hung:
                return self._drop(hung)
            swap.due = min(loading.values()) + limit_s
        free = len(self.members) if swap.at_once is None else swap.at_once - len(loading)
        chosen = sorted(self.members - swap.told.keys())[: max(free, 0)]
        swap.told.update(dict.fromkeys(chosen, now))
        return [Say(Word.PREPARE, member, swap.number) for member in chosen] or None

    def _hold(self, swap: _Swap, now: float) -> list[Action]:
        self._move(swap, Event.TURN)
        self._holds += 1
        swap.tries += 1
        swap.hold, swap.answered = self._holds, set()
        swap.due = now + (self._hold_timeout_s if swap.tries <= PATIENCE else LAST_TIMEOUT_S)
        self._owed = dict.fromkeys(self.members, swap.hold)
        return self._to_all(Word.HOLD, swap)

    def _rest(self, swap: _Swap) -> float:
        vain = max(0, swap.tries - PATIENCE)
        return float(min(self._rest_s * 2.0 ** min(vain, 16), MAX_REST_S))

    def _drop(self, members: set[int]) -> list[Action]:
        for member in members:
            self._forget(member)
        return [Drop(member) for member in sorted(members)]

    def _to_all(self, word: Word, swap: _Swap) -> list[Action]:
        return [Say(word, member, swap.number, swap.hold) for member in sorted(self.members)]

    @staticmethod
    def _move(swap: _Swap, event: Event) -> None:
        try:
            swap.phase = TRANSITIONS[swap.phase, event]
        except KeyError:
            raise LifecycleError(f"a swap in phase {swap.phase} takes no {event}") from None
