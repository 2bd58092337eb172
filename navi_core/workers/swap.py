"""Two phases of a swap over several workers, as tables and pure decisions: who is told what, and when.

A swap first has every member prepare (load and warm up, beside what serves). When all have, the barrier comes: every
member holds new requests back; when all hold, every one switches and lets requests flow. So no member answers with
the new version while another still admits to the old one. One member that cannot load ends the swap for all, and
nothing has changed. One barrier is up at a time, and none for long: if a member does not hold in time, all are
released, and the barrier is tried again a little later.

Events go in with a ``now``; what comes out are actions, which :mod:`navi_core.workers.fleet` carries out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from navi_core.errors import LifecycleError

__all__ = ["HOLD_TIMEOUT_S", "TRANSITIONS", "Action", "End", "Event", "Phase", "Say", "Swaps", "Word"]

HOLD_TIMEOUT_S: Final = 0.04
"""A member that does not hold within this time is busy: requests must not wait longer for it (50 ms altogether)."""

REST_S: Final = 0.2
"""Between two tries of the barrier."""

PATIENCE: Final = 10
"""After so many tries that took too long, a swap must happen all the same."""

LAST_TIMEOUT_S: Final = 1.0
"""How long requests may wait then: a process so busy answers nobody in time anyway."""


class Phase(StrEnum):
    """Where a swap is."""

    PREPARING = "PREPARING"
    """Not every member has loaded."""
    WAITING = "WAITING"
    """All have; another swap's barrier is up, or this one's was just tried."""
    HOLDING = "HOLDING"
    """Members have been told to hold requests back."""
    RESTING = "RESTING"
    """One did not in time; requests flow, and the barrier will be tried again."""
    SWITCHING = "SWITCHING"
    """Members have been told to switch."""
    DONE = "DONE"
    FAILED = "FAILED"


class Event(StrEnum):
    """What can happen to a swap."""

    ALL_PREPARED = "ALL_PREPARED"
    LOAD_FAILED = "LOAD_FAILED"
    MEMBER_JOINED = "MEMBER_JOINED"
    """A new member has to prepare, too."""
    TURN = "TURN"
    """No other barrier is up."""
    ALL_HELD = "ALL_HELD"
    OVERDUE = "OVERDUE"
    """Some member does not hold, and the others have held long enough."""
    RESTED = "RESTED"
    ALL_SWITCHED = "ALL_SWITCHED"
    ABANDONED = "ABANDONED"
    """It is not wanted any more."""


TRANSITIONS: Final[Mapping[tuple[Phase, Event], Phase]] = MappingProxyType(
    {
        (Phase.PREPARING, Event.ALL_PREPARED): Phase.WAITING,
        (Phase.PREPARING, Event.LOAD_FAILED): Phase.FAILED,
        (Phase.PREPARING, Event.ABANDONED): Phase.FAILED,
        (Phase.WAITING, Event.MEMBER_JOINED): Phase.PREPARING,
        (Phase.WAITING, Event.TURN): Phase.HOLDING,
        (Phase.WAITING, Event.ABANDONED): Phase.FAILED,
        (Phase.HOLDING, Event.ALL_HELD): Phase.SWITCHING,
        (Phase.HOLDING, Event.OVERDUE): Phase.RESTING,
        (Phase.HOLDING, Event.ABANDONED): Phase.FAILED,
        (Phase.RESTING, Event.RESTED): Phase.WAITING,
        (Phase.RESTING, Event.MEMBER_JOINED): Phase.PREPARING,
        (Phase.RESTING, Event.ABANDONED): Phase.FAILED,
        (Phase.SWITCHING, Event.ALL_SWITCHED): Phase.DONE,
    }
)
"""(phase, event) -> next phase. A pair that is not here cannot happen."""

_BARRIER: Final = frozenset({Phase.HOLDING, Phase.SWITCHING})


class Word(StrEnum):
    """What a member is told."""

    PREPARE = "PREPARE"
    DISCARD = "DISCARD"
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    SWITCH = "SWITCH"


@dataclass(frozen=True, slots=True)
class Say:
    """Tell a member something.

    Parameters
    ----------
    word
        What.
    member
        Whom.
    swap
        About which swap.
    hold
        Which try of the barrier, where it is about one: an answer to an earlier one says nothing of this one.
    """

    word: Word
    member: int
    swap: int
    hold: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """A swap has ended: made, or without any change."""

    swap: int
    is_made: bool


Action: TypeAlias = Say | End


@dataclass(slots=True)
class _Swap:
    number: int
    needs_prepare: bool
    phase: Phase
    prepared: set[int] = field(default_factory=set)
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

    # --- what happens ---------------------------------------------------------------------------------

    def begin(self, swap: int, now: float, *, needs_prepare: bool) -> list[Action]:
        """Begin a swap; without anything to prepare it only needs the barrier."""
        if swap in self._swaps:
            raise LifecycleError(f"swap {swap} has begun already")
        phase = Phase.PREPARING if needs_prepare else Phase.WAITING
        self._swaps[swap] = _Swap(swap, needs_prepare, phase)
        told: list[Action] = []
        if needs_prepare:
            told += [Say(Word.PREPARE, member, swap) for member in sorted(self.members)]
        return told + self._settle(now)

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
        told: list[Action] = []
        for swap in self._swaps.values():
            if not swap.needs_prepare:
                continue
            if swap.phase is not Phase.PREPARING:
                self._move(swap, Event.MEMBER_JOINED)
                swap.due = None
            told.append(Say(Word.PREPARE, member, swap.number))
        return told + self._settle(now)

    def leave(self, member: int, now: float) -> list[Action]:
        """Count on a member no more: it is gone."""
        self.members.discard(member)
        for swap in self._swaps.values():
            swap.prepared.discard(member)
            swap.answered.discard(member)
        return self._settle(now)

    def prepared(self, member: int, swap: int, now: float) -> list[Action]:
        """Take that a member has loaded."""
        found = self._swaps.get(swap)
        if found is None or member not in self.members or found.phase is not Phase.PREPARING:
            return []
        found.prepared.add(member)
        return self._settle(now)

    def failed(self, member: int, swap: int, now: float) -> list[Action]:
        """Take that a member cannot load."""
        found = self._swaps.get(swap)
        if found is None or member not in self.members or found.phase is not Phase.PREPARING:
            return []
        return self._fail(found, Event.LOAD_FAILED) + self._settle(now)

    def held(self, member: int, hold: int, now: float) -> list[Action]:
        """Take that a member holds requests back."""
        return self._answered(member, hold, Phase.HOLDING, now)

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
        if swap.needs_prepare:
            told += self._to_all(Word.DISCARD, swap)
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
        """Move one swap by one phase; None: there is none to move."""
        for swap in list(self._swaps.values()):
            match swap.phase:
                case Phase.PREPARING if self.members and swap.prepared >= self.members:
                    self._move(swap, Event.ALL_PREPARED)
                    return []
                case Phase.WAITING if not self.is_barrier_up:
                    return self._hold(swap, now)
                case Phase.HOLDING if swap.answered >= self.members:
                    self._move(swap, Event.ALL_HELD)
                    swap.due, swap.answered = None, set()
                    return self._to_all(Word.SWITCH, swap)
                case Phase.HOLDING if swap.due is not None and now >= swap.due:
                    self._move(swap, Event.OVERDUE)
                    swap.due = now + self._rest_s
                    return self._to_all(Word.RELEASE, swap)
                case Phase.RESTING if swap.due is not None and now >= swap.due:
                    self._move(swap, Event.RESTED)
                    swap.due = None
                    return []
                case Phase.SWITCHING if swap.answered >= self.members:
                    self._move(swap, Event.ALL_SWITCHED)
                    del self._swaps[swap.number]
                    return [End(swap.number, is_made=True)]
        return None

    def _hold(self, swap: _Swap, now: float) -> list[Action]:
        self._move(swap, Event.TURN)
        self._holds += 1
        swap.tries += 1
        swap.hold, swap.answered = self._holds, set()
        swap.due = now + (self._hold_timeout_s if swap.tries <= PATIENCE else LAST_TIMEOUT_S)
        return self._to_all(Word.HOLD, swap)

    def _to_all(self, word: Word, swap: _Swap) -> list[Action]:
        hold = 0 if word is Word.DISCARD else swap.hold
        return [Say(word, member, swap.number, hold) for member in sorted(self.members)]

    @staticmethod
    def _move(swap: _Swap, event: Event) -> None:
        try:
            swap.phase = TRANSITIONS[swap.phase, event]
        except KeyError:
            raise LifecycleError(f"a swap in phase {swap.phase} takes no {event}") from None
