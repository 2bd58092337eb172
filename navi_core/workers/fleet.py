"""Fleet: all workers as the parent's manager sees them: one place that loads versions, switches to them and drops them.

It carries out what :class:`~navi_core.workers.swap.Swaps` decides, brings new workers to what the others serve before
they listen, and drops those that do not answer any more. It knows sockets' ends, but no process.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import structlog

from navi_core.batching.queue import BatchPolicy
from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.planes import Admin
from navi_core.contracts.transport import Address
from navi_core.errors import LifecycleError, ModelLoadError, NaviError
from navi_core.metrics.metrics import Metrics
from navi_core.models.manager import ServableManager
from navi_core.models.served import LoadedVersion
from navi_core.workers.gathering import Gathering
from navi_core.workers.inquiries import Inquiries
from navi_core.workers.members import Member, RemoteServable
from navi_core.workers.phases import Action, Drop, End, Say, Word
from navi_core.workers.pictures import Painter
from navi_core.workers.protocol import (
    AdminWanted,
    ArtifactRecord,
    Discard,
    FromParent,
    FromWorker,
    Gathered,
    Held,
    Hold,
    Open,
    Opened,
    PageWanted,
    Ping,
    Prepare,
    Prepared,
    PrepareFailed,
    Release,
    Released,
    Remove,
    Removed,
    StatisticsWanted,
    Switch,
    Switched,
)
from navi_core.workers.pulse import Pulse
from navi_core.workers.swap import Swaps, load_limit_s
from navi_core.workers.table import Change, ServedTable

__all__ = ["Fleet", "Member"]

log = structlog.get_logger(__name__)


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
    silence_s
        A worker that answers nothing for so long is dropped.
    max_loading
        Workers that load a version at a time, where something is served already; None: all.
    """

    def __init__(
        self,
        size: int,
        *,
        metrics: Metrics,
        now: Callable[[], float],
        load_threads: int = 2,
        silence_s: float = 10.0,
        max_loading: int | None = None,
    ) -> None:
        self._size = size
        self._metrics = metrics
        self._now = now
        self._turns = asyncio.Semaphore(load_threads)
        self._max_loading = max_loading
        self._swaps = Swaps()
        self._pulse = Pulse(silence_s)
        self._members: dict[int, Member] = {}
        self._changes: dict[int, Change] = {}
        self._numbers = itertools.count(1)
        self._table = ServedTable()
        self._leaving: dict[int, tuple[set[int], asyncio.Future[None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._gathering = Gathering(self._members, metrics)
        self._painter = Painter(self._members)
        self._inquiries = Inquiries(self._gathering, self._painter, metrics)
        self._ever_open: set[int] = set()
        self._manager: ServableManager | None = None
        self.addresses: Mapping[str, Sequence[Address]] = {}
        """Where the workers listen."""
        self.on_open: Callable[[int], None] = _ignore
        """Called when a worker listens."""
        self.on_unfit: Callable[[int, NaviError], None] = _ignore_fault
        """Called when a new worker cannot load what the others serve."""
        self.on_dropped: Callable[[int], None] = _ignore
        """Called when a worker is not counted on any more, though it has not ended: it is to be ended."""

    def serve(self, manager: ServableManager, admin: Admin) -> None:
        """Take whose word is carried out, and who does what workers' clients ask for."""
        self._manager = manager
        self._painter.watch(manager)
        self._inquiries.serve(manager, admin)

    @property
    def is_complete(self) -> bool:
        """Whether every worker has come up once."""
        return self._painter.is_complete

    # --- for the manager ------------------------------------------------------------------------------

    async def load(self, model: ModelConfig, artifact: Artifact) -> LoadedVersion:
        """Have all workers load a version, and switch to it together; raises NaviError if one cannot."""
        async with self._turns:
            change = self._change(next(self._numbers), model, artifact, is_coming=True)
            began = self._now()
            # nobody is served worse by loads that are the first
            at_once = self._max_loading if self._table else None
            self._do(self._swaps.begin(change.ticket, began, needs_prepare=True, at_once=at_once))
            await self._settled(change.ticket, change)
        change.took_s = self._now() - began
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
            await self._drop_version(ticket, artifact)
            self._check_left(ticket)
            await gone
        finally:
            self._leaving.pop(ticket, None)

    async def _drop_version(self, ticket: int, artifact: Artifact) -> None:
        key, aspired = (artifact.name, artifact.version), self._aspired(artifact.name)
        served = self._table.served_as(ticket, key)
        if served is None:
            self._to_members(Remove(ticket))
            return
        if self._table.leaves_same(key, aspired):
            self._to_members(Remove(ticket, dict(self._table.drop(key, aspired))))
            self._admit()
            return
        # another version answers from then on: in all workers at once
        number = next(self._numbers)
        change = self._change(number, served.config, artifact, is_coming=False, ticket=ticket)
        self._do(self._swaps.begin(number, self._now(), needs_prepare=False))
        await self._settled(number, change)

    def _change(
        self,
        number: int,
        config: ModelConfig,
        artifact: Artifact,
        *,
        is_coming: bool,
        ticket: int | None = None,
    ) -> Change:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        change = Change(number if ticket is None else ticket, config, artifact, is_coming, done)
        self._changes[number] = change
        return change

    async def _settled(self, number: int, change: Change) -> None:
        try:
            await change.done
        except asyncio.CancelledError:
            self._do(self._swaps.abandon(number, self._now()))
            raise
        finally:
            self._changes.pop(number, None)

    def _aspired(self, name: str) -> Collection[int]:
        return () if self._manager is None else self._manager.aspired_versions(name)

    # --- carrying out ---------------------------------------------------------------------------------

    def _do(self, actions: Iterable[Action]) -> None:
        self._painter.paint()
        dropped = []
        for action in actions:
            match action:
                case Say():
                    self._tell(action)
                case End():
                    self._end(action)
                case Drop():
                    dropped.append(action.member)
        for index in dropped:
            log.error("worker_too_slow", worker=index)
            self._drop(index)
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

    def _switch(self, change: Change, hold: int) -> Switch:
        return self._table.switch(change, hold, self._aspired(change.artifact.name))

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
            name, version = change.key
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
        self._pulse.came(member.index)
        member.moved_on_at = self._now()
        member.send(self._painter.whole())
        self._admit()

    def gone(self, index: int) -> None:
        """Take that a worker's process, or its way to here, has ended."""
        member = self._members.pop(index, None)
        if member is None:
            return
        self._pulse.gone(index)
        self._gathering.gone(member)
        self._metrics.set_workers(sum(each.is_open for each in self._members.values()))
        for ticket in list(self._leaving):
            self._left(ticket, index)
        self._do(self._swaps.leave(index, self._now()))

    def beat(self) -> None:
        """Ask every worker whether it lives, and drop those that have not said so for long; at every beat."""
        now = self._now()
        for index in self._pulse.beat(self._busy()):
            log.error("worker_silent", worker=index)
            self._drop(index)
        for index in [index for index, member in self._members.items() if self._never_comes(member, now)]:
            log.error("worker_load_hung", worker=index)
            self._drop(index)
        for member in self._members.values():
            member.send(Ping())

    def _drop(self, index: int) -> None:
        """Count on a worker no more: what it holds is lost, and the others go on at once."""
        self.on_dropped(index)
        self.gone(index)

    def _busy(self) -> set[int]:
        """Return who starts, loads or closes versions: imports and frameworks may hold Python's lock for long."""
        coming = {index for index, member in self._members.items() if not member.listens}
        closing: set[int] = set().union(*(waited for waited, _ in self._leaving.values()))
        return coming | closing | self._swaps.loading()

    def _never_comes(self, member: Member, now: float) -> bool:
        """Tell whether a new worker's loads take far longer than they took the others."""
        if member.is_open or member.ready >= member.asked:
            return False
        longest_s = max((change.took_s for change in self._table.by_ticket().values()), default=0.0)
        return now - member.moved_on_at > load_limit_s(longest_s)

    def _admit(self) -> None:
        """Bring workers that are new nearer to what is served, and let those in that have it all."""
        for member in list(self._members.values()):
            if not member.is_open:
                self._bring(member)

    def _bring(self, member: Member) -> None:
        wanted = self._table.by_ticket()
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
        member.send(Switch(0, add=tuple(wanted), current=dict(self._table.current())))
        member.send(Open())
        self._do(self._swaps.join(member.index, self._now()))

    # --- what workers say -----------------------------------------------------------------------------

    def received(self, member: Member, message: FromWorker) -> None:
        """Take a worker's message."""
        index, now = member.index, self._now()
        if self._members.get(index) is not member:  # it was dropped, and does not know yet
            return
        self._pulse.heard(index)
        match message:
            case Prepared(ticket=ticket) if ticket in member.asked:
                member.ready.add(ticket)
                member.moved_on_at = now
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
            case Released(held_s=held_s):
                self._metrics.requests_held(held_s)
            case Removed(ticket=ticket):
                self._left(ticket, index)
            case Opened():
                member.listens = True
                self._has_opened(index, message)
            case Gathered(gather=gather):
                self._gathering.take(member, gather, message)
            case AdminWanted() | PageWanted() | StatisticsWanted():
                self._inquiries.take(member, message)

    def _has_opened(self, index: int, message: Opened) -> None:
        self.addresses = message.addresses
        self._ever_open.add(index)
        self._painter.is_complete = len(self._ever_open) >= self._size
        self._metrics.set_workers(sum(each.is_open for each in self._members.values()))
        self.on_open(index)
        self._painter.paint(whole=True)

    def _left(self, ticket: int, index: int) -> None:
        found = self._leaving.get(ticket)
        if found is not None:
            found[0].discard(index)
            self._check_left(ticket)

    def _check_left(self, ticket: int) -> None:
        missing, gone = self._leaving[ticket]
        if not missing and not gone.done():
            gone.set_result(None)


def _ignore(index: int) -> None:
    del index


def _ignore_fault(index: int, fault: NaviError) -> None:
    del index, fault
