"""Fleet: all workers as the parent's manager sees them: one place that loads versions, switches to them and drops them.

It carries out what :class:`~navi_core.workers.swap.Swaps` decides, brings new workers to what the others serve before
they listen, and gathers what they counted. It knows sockets' ends, but no process.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from navi_core.batching.queue import BatchPolicy
from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.planes import Admin, VersionStatistics
from navi_core.contracts.transport import Address
from navi_core.errors import LifecycleError, ModelLoadError, NaviError
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.tallies import joined_statistics
from navi_core.models.manager import ServableManager
from navi_core.models.served import LoadedVersion
from navi_core.workers.gathering import Gathering
from navi_core.workers.members import Member, RemoteServable
from navi_core.workers.protocol import (
    AdminDone,
    AdminWanted,
    ArtifactRecord,
    Discard,
    Fault,
    FromParent,
    FromWorker,
    Gathered,
    Held,
    Hold,
    ModelPicture,
    Open,
    Opened,
    PageMade,
    PageWanted,
    Picture,
    Prepare,
    Prepared,
    PrepareFailed,
    Release,
    Remove,
    Removed,
    StatisticsMade,
    StatisticsWanted,
    Switch,
    Switched,
)
from navi_core.workers.swap import Action, End, Say, Swaps, Word

__all__ = ["Fleet", "Member"]

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Change:
    """One swap: a version that comes, or one that goes."""

    ticket: int
    config: ModelConfig
    artifact: Artifact
    is_coming: bool
    done: asyncio.Future[None]
    facts: Prepared | None = None
    fault: NaviError | None = None
    switch: Switch | None = None


class Fleet:
    """Loads versions in all workers, for a manager. Belongs to one event loop.

    Parameters
    ----------
    size
        How many workers there are to be.
    metrics
        The parent's own.
    now
        The monotonic clock, in seconds.
    load_threads
        Versions that are loaded at once.
    """

    def __init__(
        self, size: int, *, metrics: Metrics, now: Callable[[], float], load_threads: int = 2
    ) -> None:
        self._size = size
        self._metrics = metrics
        self._now = now
        self._turns = asyncio.Semaphore(load_threads)
        self._swaps = Swaps()
        self._members: dict[int, Member] = {}
        self._changes: dict[int, _Change] = {}
        self._numbers = itertools.count(1)
        self._serving: dict[tuple[str, int], _Change] = {}
        self._current: dict[str, int | None] = {}
        self._leaving: dict[int, tuple[set[int], asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._gathering = Gathering(self._members, metrics)
        self._painted: dict[str, ModelPicture] = {}
        self._paint_due = False
        self._memory: dict[str, bytes] = {}
        self._ever_open: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._manager: ServableManager | None = None
        self._admin: Admin | None = None
        self.addresses: Mapping[str, Sequence[Address]] = {}
        """Where the workers listen."""
        self.on_open: Callable[[int], None] = _ignore
        """Called when a worker listens."""
        self.on_unfit: Callable[[int, NaviError], None] = _ignore_fault
        """Called when a new worker cannot load what the others serve."""

    def serve(self, manager: ServableManager, admin: Admin) -> None:
        """Take whose word is carried out, and who does what workers' clients ask for."""
        self._manager, self._admin = manager, admin
        manager.on_change(self._paint_soon)

    @property
    def is_complete(self) -> bool:
        """Whether every worker has come up once."""
        return len(self._ever_open) >= self._size

    # --- for the manager ------------------------------------------------------------------------------

    async def load(self, model: ModelConfig, artifact: Artifact) -> LoadedVersion:
        """Have all workers load a version, and switch to it together; raises NaviError if one cannot."""
        async with self._turns:
            change = self._change(next(self._numbers), model, artifact, is_coming=True)
            self._do(self._swaps.begin(change.ticket, self._now(), needs_prepare=True))
            await self._settled(change.ticket, change)
        facts = change.facts
        return LoadedVersion(
            artifact=artifact,
            servable=RemoteServable(change.ticket),
            runtime=facts.runtime if facts else "",
            kind=facts.kind if facts else "",
            converter=facts.converter if facts else "",
            signatures={},
            policy=BatchPolicy(),
            notes=facts.notes if facts else (),
            gauges=facts.gauges if facts else {},
        )

    async def close(self, loaded: LoadedVersion) -> None:
        """Have all workers drop a version; returns when its last request was answered."""
        servable = loaded.servable
        if not isinstance(servable, RemoteServable):
            raise LifecycleError("a version that was not loaded by workers")
        ticket, artifact = servable.ticket, loaded.artifact
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waited = {index for index, member in self._members.items() if member.is_open}
        self._leaving[ticket] = (waited, gone)
        try:
            await self._drop(ticket, artifact)
            self._check_left(ticket)
            await gone
        finally:
            self._leaving.pop(ticket, None)

    async def _drop(self, ticket: int, artifact: Artifact) -> None:
        name, key = artifact.name, (artifact.name, artifact.version)
        served = self._serving.get(key)
        if served is None or served.ticket != ticket:  # another one of its number has taken its place
            self._to_members(Remove(ticket))
            return
        after = self._current_of(name, without=key)
        if after is None or after == self._current.get(name):
            del self._serving[key]
            self._current[name] = after
            self._to_members(Remove(ticket, {name: after}))
            self._admit()
            return
        # another version answers from then on: in all workers at once
        number = next(self._numbers)
        change = _Change(
            ticket, served.config, artifact, is_coming=False, done=asyncio.get_running_loop().create_future()
        )
        self._changes[number] = change
        self._do(self._swaps.begin(number, self._now(), needs_prepare=False))
        await self._settled(number, change)

    def _change(self, ticket: int, config: ModelConfig, artifact: Artifact, *, is_coming: bool) -> _Change:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        change = self._changes[ticket] = _Change(ticket, config, artifact, is_coming, done)
        return change

    async def _settled(self, number: int, change: _Change) -> None:
        try:
            await change.done
        except asyncio.CancelledError:
            self._do(self._swaps.abandon(number, self._now()))
            raise
        finally:
            self._changes.pop(number, None)

    def _current_of(self, name: str, without: tuple[str, int] | None = None) -> int | None:
        """Return the version of a model that answers: the newest that is wanted, else the newest."""
        aspired = frozenset[int]() if self._manager is None else self._manager.aspired_versions(name)
        return max(
            (version for model, version in self._serving if model == name and (model, version) != without),
            key=lambda version: (version in aspired, version),
            default=None,
        )

    # --- carrying out ---------------------------------------------------------------------------------

    def _do(self, actions: Iterable[Action]) -> None:
        self._paint()
        for action in actions:
            if isinstance(action, End):
                self._end(action)
            else:
                self._tell(action)
        self._set_timer()
        self._admit()

    def _tell(self, say: Say) -> None:
        member, change = self._members.get(say.member), self._changes.get(say.swap)
        if member is None or change is None:
            return
        match say.word:
            case Word.PREPARE:
                member.send(Prepare(change.ticket, change.config, ArtifactRecord.of(change.artifact)))
            case Word.DISCARD:
                member.send(Discard(change.ticket))
            case Word.HOLD:
                member.send(Hold(say.hold))
            case Word.RELEASE:
                member.send(Release(say.hold))
            case Word.SWITCH:
                member.send(self._switch(change, say.hold))

    def _switch(self, change: _Change, hold: int) -> Switch:
        """Make a change to what is served, once, and return how members are told."""
        if change.switch is None:
            name, version = change.artifact.name, change.artifact.version
            if change.is_coming:
                self._serving[name, version] = change
            else:
                self._serving.pop((name, version), None)
            self._current[name] = self._current_of(name)
            tickets = (change.ticket,)
            change.switch = Switch(
                hold,
                add=tickets if change.is_coming else (),
                remove=() if change.is_coming else tickets,
                current={name: self._current[name]},
            )
        return change.switch

    def _end(self, end: End) -> None:
        change = self._changes.get(end.swap)
        if change is None:
            return
        if end.is_made:
            self._switch(change, 0)  # with no member at all nobody was told
        if change.done.done():
            return
        if end.is_made:
            change.done.set_result(None)
        else:
            name, version = change.artifact.name, change.artifact.version
            text = f"version {version} of model '{name}' is not wanted any more"
            change.done.set_exception(change.fault or ModelLoadError(text, model=name, version=version))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._swaps.next_due
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(due - self._now(), 0.0), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._do(self._swaps.tick(self._now()))

    def _to_members(self, message: FromParent) -> None:
        for member in self._members.values():
            if member.is_open:
                member.send(message)

    # --- members --------------------------------------------------------------------------------------

    def hello(self, member: Member) -> None:
        """Take a new worker; it is brought to what the others serve, and then may listen."""
        self.gone(member.index)
        self._members[member.index] = member
        self._paint()
        whole = tuple(self._painted.values())
        member.send(Picture(tuple(self._painted), whole, self.is_complete, self._memory))
        self._admit()

    def gone(self, index: int) -> None:
        """Take that a worker's process, or its way to here, has ended."""
        member = self._members.pop(index, None)
        if member is None:
            return
        self._gathering.gone(member)
        self._metrics.set_workers(sum(each.is_open for each in self._members.values()))
        for ticket in list(self._leaving):
            self._left(ticket, index)
        self._do(self._swaps.leave(index, self._now()))

    def _admit(self) -> None:
        """Bring workers that are new nearer to what is served, and let those in that have it all."""
        for member in list(self._members.values()):
            if not member.is_open:
                self._bring(member)

    def _bring(self, member: Member) -> None:
        wanted = {change.ticket: change for change in self._serving.values()}
        for ticket in wanted.keys() - member.asked:
            change = wanted[ticket]
            member.asked.add(ticket)
            member.send(Prepare(ticket, change.config, ArtifactRecord.of(change.artifact)))
        for ticket in member.asked - wanted.keys():
            member.asked.discard(ticket)
            member.ready.discard(ticket)
            member.send(Discard(ticket))
        if not member.ready >= set(wanted) or self._swaps.is_barrier_up:
            return
        member.is_open = True
        current = {name: self._current.get(name) for name, _ in self._serving}
        member.send(Switch(0, add=tuple(wanted), current=current))
        member.send(Open())
        self._do(self._swaps.join(member.index, self._now()))

    # --- what workers say -----------------------------------------------------------------------------

    def received(self, member: Member, message: FromWorker) -> None:
        """Take a worker's message."""
        index, now = member.index, self._now()
        match message:
            case Prepared(ticket=ticket) if ticket in member.asked:
                member.ready.add(ticket)
                self._admit()
            case Prepared(ticket=ticket):
                change = self._changes.get(ticket)
                if change is not None:
                    change.facts = message
                self._do(self._swaps.prepared(index, ticket, now))
            case PrepareFailed(ticket=ticket, fault=fault) if ticket in member.asked:
                self.on_unfit(index, fault.error())
            case PrepareFailed(ticket=ticket, fault=fault):
                change = self._changes.get(ticket)
                if change is not None and change.fault is None:
                    change.fault = fault.error()
                    log.warning("worker_cannot_load", worker=index, model=change.artifact.name)
                self._do(self._swaps.failed(index, ticket, now))
            case Held(hold=hold):
                self._do(self._swaps.held(index, hold, now))
            case Switched(hold=hold) if hold:
                self._metrics.requests_held(message.held_s)
                self._do(self._swaps.switched(index, hold, now))
            case Removed(ticket=ticket):
                self._left(ticket, index)
            case Opened():
                self.addresses = message.addresses
                self._ever_open.add(index)
                self._metrics.set_workers(sum(each.is_open for each in self._members.values()))
                self.on_open(index)
                self._paint(whole=True)
            case Gathered(gather=gather):
                self._gathering.take(member, gather, message)
            case AdminWanted():
                self._spawn(self._administer(member, message))
            case PageWanted():
                self._spawn(self._show(member, message))
            case StatisticsWanted():
                self._spawn(self._show_statistics(member, message))

    def _left(self, ticket: int, index: int) -> None:
        found = self._leaving.get(ticket)
        if found is not None:
            found[0].discard(index)
            self._check_left(ticket)

    def _check_left(self, ticket: int) -> None:
        missing, gone = self._leaving[ticket]
        if not missing and not gone.done():
            gone.set_result(None)

    async def _administer(self, member: Member, wanted: AdminWanted) -> None:
        fault: Fault | None = None
        try:
            await self._operation(wanted)
        except NaviError as error:
            fault = Fault.of(error)
        self._paint()
        await self._gathering.gather()  # whichever worker is asked next knows what has come of it
        member.send(AdminDone(wanted.call, fault))

    async def _operation(self, wanted: AdminWanted) -> None:
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
                self._keep(key, wanted.value)
            case _:
                raise LifecycleError(f"no admin operation is called '{wanted.operation}'")

    def _keep(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._memory.pop(key, None)
        else:
            self._memory[key] = value
        self._paint(whole=True)

    # --- pictures -------------------------------------------------------------------------------------

    def _paint_soon(self) -> None:
        if not self._paint_due:
            self._paint_due = True
            asyncio.get_running_loop().call_soon(self._paint)

    def _paint(self, *, whole: bool = False) -> None:
        """Tell all workers what has changed since they were told last."""
        self._paint_due = False
        manager = self._manager
        if manager is None:
            return
        pictures = {
            name: ModelPicture(
                name, manager.config_of(name), manager.was_looked_at(name), tuple(manager.status(name))
            )
            for name in manager.names()
        }
        changed = tuple(
            picture for name, picture in pictures.items() if whole or self._painted.get(name) != picture
        )
        if not changed and pictures.keys() == self._painted.keys() and not whole:
            return
        self._painted = pictures
        message = Picture(tuple(pictures), changed, self.is_complete, self._memory)
        for member in self._members.values():
            member.send(message)

    # --- showing --------------------------------------------------------------------------------------

    def _versions(self) -> dict[str, list[int]]:
        manager = self._manager
        if manager is None:
            return {}
        return {name: [each.version for each in manager.status(name)] for name in manager.names()}

    async def _show(self, member: Member, wanted: PageWanted) -> None:
        content_type, body = self._metrics.render(wanted.accept, await self._gathering.page(self._versions()))
        member.send(PageMade(wanted.call, content_type, body))

    async def _show_statistics(self, member: Member, wanted: StatisticsWanted) -> None:
        answers = await self._gathering.gather(statistics_of=wanted.model)
        parts: list[Sequence[VersionStatistics]] = [each.statistics for each in answers.values()]
        member.send(StatisticsMade(wanted.call, joined_statistics(parts)))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("fleet_task_failed", exc_info=task.exception())


def _ignore(index: int) -> None:
    del index


def _ignore_fault(index: int, fault: NaviError) -> None:
    del index, fault
