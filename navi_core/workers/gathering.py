"""Gathering: every worker's part of the metrics page and of the statistics, asked for when somebody wants the whole."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from navi_core.metrics.families import UNKNOWN
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.pages import Page, counts_of, merge, without_unknown
from navi_core.workers.members import Member
from navi_core.workers.protocol import Gather, Gathered

__all__ = ["Gathering"]

log = structlog.get_logger(__name__)

_GATHER_S: Final = 1.0
"""A worker that does not send its part in this time is shown as it was last."""

_LEARN_S: Final = 30.0
"""How long who administers waits until every worker knows what has come of it: one that hangs is ended meanwhile."""


@dataclass(slots=True)
class _Round:
    """One question to all, and who has not answered it."""

    missing: set[int]
    answers: dict[int, Gathered] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def without(self, index: int) -> None:
        self.missing.discard(index)
        if not self.missing:
            self.complete.set()


class Gathering:
    """Asks all members. On one event loop.

    Parameters
    ----------
    members
        By their number, as they come and go.
    metrics
        The parent's own.
    """

    def __init__(self, members: Mapping[int, Member], metrics: Metrics) -> None:
        self._members = members
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._rounds: dict[int, _Round] = {}
        self._gone_pages = Page()

    async def learned(self) -> None:
        """Return once every worker has taken what it was told so far; not one that takes minutes."""
        await self.gather(timeout_s=_LEARN_S)

    async def gather(
        self, *, page: bool = False, statistics_of: str | None = None, timeout_s: float = _GATHER_S
    ) -> dict[int, Gathered]:
        """Have every worker answer, with what it counted if that is asked; those too slow are left out."""
        if not self._members:
            return {}
        number = next(self._numbers)
        asked = self._rounds[number] = _Round(set(self._members))
        for member in list(self._members.values()):
            member.send(Gather(number, page, statistics_of))
        try:
            async with asyncio.timeout(timeout_s):
                await asked.complete.wait()
        except TimeoutError:
            log.warning("workers_silent", workers=sorted(asked.missing), timeout_s=timeout_s)
        finally:
            del self._rounds[number]
        return asked.answers

    def take(self, member: Member, number: int, message: Gathered) -> None:
        """Take a worker's answer; of one that comes too late the page is kept all the same."""
        if message.page is not None:
            member.page = message.page
        asked = self._rounds.get(number)
        if asked is not None:
            asked.answers[member.index] = message
            asked.without(member.index)

    def gone(self, member: Member) -> None:
        """Take that a worker has gone: nobody waits for it, and what it counted stays."""
        self._gone_pages = merge([self._gone_pages, counts_of(member.page)])
        for asked in self._rounds.values():
            asked.without(member.index)

    async def page(self, versions: Mapping[str, Collection[int]]) -> Page:
        """Return what all workers counted, those that are gone and the parent itself included.

        Parameters
        ----------
        versions
            Model -> the versions that are known; what was counted of others is forgotten.
        """
        await self.gather(page=True)
        self._gone_pages = without_unknown(self._gone_pages, versions, keep=(UNKNOWN,))
        pages = [member.page for _, member in sorted(self._members.items())]
        return merge([*pages, self._gone_pages, self._metrics.page()])
