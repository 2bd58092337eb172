"""The phases of a swap, what leads from one to the next, and what follows for members: tables, and no more.

:mod:`navi_core.workers.swap` decides by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

__all__ = ["TRANSITIONS", "Action", "Drop", "End", "Event", "Phase", "Say", "Word"]


class Phase(StrEnum):
    """Where a swap is."""

    PREPARING = "PREPARING"
    """Not every member has loaded."""
    WAITING = "WAITING"
    """All have; another swap's barrier is up, or some member has not answered the last one."""
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
    """No other barrier is up, and all have answered the last one."""
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


@dataclass(frozen=True, slots=True)
class Drop:
    """End a member: the others do not wait for it any longer."""

    member: int


Action: TypeAlias = Say | End | Drop
