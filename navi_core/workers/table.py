"""What all workers serve, and how one change alters it. Pure."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.errors import NaviError
from navi_core.workers.protocol import Prepared, Switch

__all__ = ["Change", "ServedTable"]


@dataclass(slots=True, eq=False)
class Change:
    """One swap: a version that comes, or one that goes.

    Parameters
    ----------
    ticket
        The version's number among all that were ever loaded.
    config, artifact
        What is loaded, and how.
    is_coming
        Whether it comes.
    done
        Who waits for the end.
    facts
        What the first worker that loaded it says of it.
    fault
        Why the first that could not, could not.
    switch
        What members are told; made once.
    took_s
        How long all workers together took to load it, in seconds.
    """

    ticket: int
    config: ModelConfig
    artifact: Artifact
    is_coming: bool
    done: asyncio.Future[None]
    facts: Prepared | None = None
    fault: NaviError | None = None
    switch: Switch | None = None
    took_s: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        """Model and version."""
        return self.artifact.name, self.artifact.version


class ServedTable:
    """The versions that every worker serves, and which of each model answers where none is asked for."""

    def __init__(self) -> None:
        self._serving: dict[tuple[str, int], Change] = {}
        self._current: dict[str, int | None] = {}

    def __bool__(self) -> bool:
        """Tell whether anything is served."""
        return bool(self._serving)

    def by_ticket(self) -> dict[int, Change]:
        """Return everything that is served."""
        return {change.ticket: change for change in self._serving.values()}

    def current(self) -> Mapping[str, int | None]:
        """Return the version that answers, of every model that has one."""
        return {name: self._current.get(name) for name, _ in self._serving}

    def served_as(self, ticket: int, key: tuple[str, int]) -> Change | None:
        """Return a version that is served; None: it is not, or another one of its number has taken its place."""
        served = self._serving.get(key)
        return served if served is not None and served.ticket == ticket else None

    def leaves_same(self, key: tuple[str, int], aspired: Collection[int]) -> bool:
        """Tell whether another version answers already, or none would, once this one is dropped."""
        after = self._newest(key[0], aspired, without=key)
        return after is None or after == self._current.get(key[0])

    def drop(self, key: tuple[str, int], aspired: Collection[int]) -> Mapping[str, int | None]:
        """Serve a version no more; returns which answers instead."""
        name = key[0]
        del self._serving[key]
        self._current[name] = self._newest(name, aspired)
        return {name: self._current[name]}

    def switch(self, change: Change, hold: int, aspired: Collection[int]) -> Switch:
        """Make a change, once, and return how members are told."""
        if change.switch is None:
            name = change.artifact.name
            if change.is_coming:
                self._serving[change.key] = change
            else:
                self._serving.pop(change.key, None)
            self._current[name] = self._newest(name, aspired)
            tickets = (change.ticket,)
            change.switch = Switch(
                hold,
                add=tickets if change.is_coming else (),
                remove=() if change.is_coming else tickets,
                current={name: self._current[name]},
            )
        return change.switch

    def _newest(
        self, name: str, aspired: Collection[int], without: tuple[str, int] | None = None
    ) -> int | None:
        """Return the version of a model that answers: the newest that is wanted, else the newest."""
        return max(
            (version for model, version in self._serving if model == name and (model, version) != without),
            key=lambda version: (version in aspired, version),
            default=None,
        )
