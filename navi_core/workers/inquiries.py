"""Inquiries: what clients of any worker ask for that concerns all: admin operations, the metrics page, statistics."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from navi_core.contracts.planes import Admin
from navi_core.contracts.versions import VersionStatistics
from navi_core.errors import LifecycleError, NaviError
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.tallies import joined_statistics
from navi_core.models.manager import ServableManager
from navi_core.tasks import Tasks
from navi_core.workers.gathering import Gathering
from navi_core.workers.members import Member
from navi_core.workers.pictures import Painter
from navi_core.workers.protocol import (
    AdminDone,
    AdminWanted,
    ArtifactRecord,
    Fault,
    PageMade,
    PageWanted,
    StatisticsMade,
    StatisticsWanted,
)

__all__ = ["Inquiries"]

log = structlog.get_logger(__name__)


class Inquiries:
    """Answers the workers. On one event loop.

    Parameters
    ----------
    gathering
        Asks all of them for their parts.
    painter
        Tells all of them what has come of an operation.
    metrics
        The parent's own.
    """

    def __init__(self, gathering: Gathering, painter: Painter, metrics: Metrics) -> None:
        self._gathering = gathering
        self._painter = painter
        self._metrics = metrics
        self._manager: ServableManager | None = None
        self._admin: Admin | None = None
        self._tasks = Tasks(log, "inquiry_failed")

    def serve(self, manager: ServableManager, admin: Admin) -> None:
        """Take who knows the models, and who does what is asked for."""
        self._manager, self._admin = manager, admin

    def take(self, member: Member, asked: AdminWanted | PageWanted | StatisticsWanted) -> None:
        """Answer a worker, when it can be answered."""
        match asked:
            case AdminWanted():
                self._tasks.spawn(self._administer(member, asked))
            case PageWanted():
                self._tasks.spawn(self._show(member, asked))
            case StatisticsWanted():
                self._tasks.spawn(self._show_statistics(member, asked))

    async def _administer(self, member: Member, wanted: AdminWanted) -> None:
        fault: Fault | None = None
        try:
            await self._operate(wanted)
        except NaviError as error:
            fault = Fault.of(error)
        except Exception:  # whoever asked waits without a limit: answer in any case
            log.exception("admin_operation_failed", operation=wanted.operation)
            fault = Fault.of(NaviError("internal error"))
        self._painter.paint()
        await self._gathering.learned()  # whichever worker is asked next knows what has come of it
        member.send(AdminDone(wanted.call, fault))

    async def _operate(self, wanted: AdminWanted) -> None:
        admin = self._admin
        if admin is None:
            raise LifecycleError("nobody administers the workers yet")
        match wanted:
            case AdminWanted(operation="load", models=(model,)):
                await admin.load(model)
            case AdminWanted(operation="unload", model=str(name)):
                await admin.unload(name)
            case AdminWanted(operation="replace", artifact=ArtifactRecord() as artifact):
                await admin.replace(artifact.artifact())
            case AdminWanted(operation="apply_config", models=models):
                await admin.apply_config(models)
            case AdminWanted(operation="rescan", model=name):
                await admin.rescan(name)
            case AdminWanted(operation="keep", model=str(key)):
                self._painter.keep(key, wanted.value)
            case _:
                raise LifecycleError(f"no admin operation is called '{wanted.operation}'")

    async def _show(self, member: Member, wanted: PageWanted) -> None:
        page = await self._gathering.page(self._versions())
        member.send(PageMade(wanted.call, *self._metrics.render(wanted.accept, page)))

    def _versions(self) -> dict[str, list[int]]:
        manager = self._manager
        if manager is None:
            return {}
        return {name: [each.version for each in manager.status(name)] for name in manager.names()}

    async def _show_statistics(self, member: Member, wanted: StatisticsWanted) -> None:
        answers = await self._gathering.gather(statistics_of=wanted.model)
        parts: list[Sequence[VersionStatistics]] = [each.statistics for each in answers.values()]
        member.send(StatisticsMade(wanted.call, joined_statistics(parts)))
