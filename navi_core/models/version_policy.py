"""Which versions are wanted, and what to do next to get there.

Pure functions over numbers and snapshots: no clock, no threads, no memory between calls. The manager
calls :func:`next_action` after every change and does what it says, until it says nothing; asking twice
without a change gives the same answer.

What counts as newer is the larger **number**: ``10`` beats ``9``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from navi_core.contracts.source import VersionChoice
from navi_core.contracts.versions import ServableState

__all__ = [
    "MAX_VERSION",
    "Load",
    "Transition",
    "Unload",
    "VersionSnapshot",
    "choose",
    "next_action",
    "parse_version",
]

MAX_VERSION: Final = 2**63 - 1
"""Versions are int64 on the wire (TensorFlow Serving's ``ModelSpec.version``)."""

Transition: TypeAlias = Literal["availability", "resource"]

_INTEGER: Final = re.compile(r"[0-9]+")
_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAP_SECOND: Final = 60


def parse_version(text: str) -> int | None:
    """Read the name of a version directory.

    Parameters
    ----------
    text
        The whole name. Decimal digits (leading zeros allowed, as in TensorFlow Serving), or an
        RFC 3339 timestamp with its offset, as Navi has it:
        ``2022-12-20T10:18:53.000Z`` is 1671531533000.

    Returns
    -------
    int | None
        The number; for a timestamp, milliseconds since the epoch, truncated. None: not a version, or
        negative, or beyond int64.
    """
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("0") or "0"
        if len(digits) > len(str(MAX_VERSION)):
            return None
        number = int(digits)
        return number if number <= MAX_VERSION else None
    match = _TIMESTAMP.fullmatch(text)
    return None if match is None else _epoch_ms(match)


def _epoch_ms(match: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    leap = second == _LEAP_SECOND  # RFC 3339 has leap seconds, datetime does not
    try:
        local = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError:
        return None
    offset = timedelta()
    if match[8] is not None:
        if int(match[9]) > 23 or int(match[10]) > 59:
            return None
        offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
        offset = -offset if match[8] == "-" else offset
    since_epoch = local - _EPOCH - offset + timedelta(seconds=1 if leap else 0)
    milliseconds = since_epoch // timedelta(milliseconds=1) + int((match[7] or "0").ljust(3, "0")[:3])
    return milliseconds if milliseconds >= 0 else None


def choose(versions: Iterable[int], choice: VersionChoice) -> tuple[int, ...]:
    """Return the wanted ones of the versions that exist, oldest first, each once.

    Parameters
    ----------
    versions
        What exists, in any order.
    choice
        ``latest``: the largest numbers, at least one; ``all``; ``specific``: those listed that exist.
    """
    existing = sorted(set(versions))
    if choice.kind == "all":
        return tuple(existing)
    if choice.kind == "specific":
        listed = frozenset(choice.versions)
        return tuple(version for version in existing if version in listed)
    return tuple(existing[-max(choice.num_latest, 1) :])


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    """One version of a model, as the policy sees it.

    Parameters
    ----------
    version
        The number; unique among the snapshots of a model.
    state
        Where it is in its life. A failed load that is due again is a new life: START.
    aspired
        It is wanted.
    may_load
        False while it must not be loaded: its back-off has not passed, or it was refused for good.
    """

    version: int
    state: ServableState
    aspired: bool
    may_load: bool = True


@dataclass(frozen=True, slots=True)
class Load:
    """Start to load this version."""

    version: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Start to unload this version."""

    version: int


def next_action(snapshots: Sequence[VersionSnapshot], transition: Transition) -> Load | Unload | None:
    """Return the one next step towards the aspired set, or None when there is nothing to start now.

    Parameters
    ----------
    snapshots
        All versions of one model.
    transition
        ``availability``: the newest aspired version is loaded before anything is unloaded, and an
        un-aspired one is unloaded only once an aspired one is available, or when nothing is aspired
        at all; so when every aspired version fails to load, the old one serves on.
        ``resource``: what is not aspired is unloaded, and gone, before anything is loaded.

    Notes
    -----
    A model loads one version at a time, the newest first; unloading begins with the smallest number.
    A version that is no longer aspired while it is at START needs no step: its life ends by
    :attr:`~navi_core.models.lifecycle.Event.DROPPED`.
    """
    load = _next_load(snapshots)
    unload = min(
        (one.version for one in snapshots if not one.aspired and one.state is ServableState.AVAILABLE),
        default=None,
    )
    if transition == "resource":
        if unload is not None:
            return Unload(unload)
        going = any(one.state is ServableState.UNLOADING for one in snapshots)
        return None if load is None or going else Load(load)
    if load is not None:
        return Load(load)
    aspired = [one for one in snapshots if one.aspired]
    replaced = not aspired or any(one.state is ServableState.AVAILABLE for one in aspired)
    return Unload(unload) if unload is not None and replaced else None


def _next_load(snapshots: Sequence[VersionSnapshot]) -> int | None:
    if any(one.state is ServableState.LOADING for one in snapshots):
        return None
    return max(
        (
            one.version
            for one in snapshots
            if one.aspired and one.may_load and one.state is ServableState.START
        ),
        default=None,
    )
