"""Seat: a worker's place at its parent's table: the socket to it, what it says, and what it is asked.

A host with a seat serves what the parent says (:mod:`navi_core.workers.replica`), asks the parent for what concerns
all workers (admin operations, the metrics page), and stops when the parent is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import structlog

from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import VersionStatistics
from navi_core.errors import ErrorCode, NaviError
from navi_core.logs import LogFormat
from navi_core.metrics.pages import Page
from navi_core.tasks import Tasks
from navi_core.workers.channel import Channel
from navi_core.workers.frames import ProtocolError, parse_from_parent
from navi_core.workers.protocol import (
    PROTOCOL,
    AdminDone,
    AdminWanted,
    ArtifactRecord,
    Discard,
    Fault,
    FromParent,
    FromWorker,
    Gather,
    Gathered,
    Held,
    Hello,
    Hold,
    Open,
    Opened,
    PageMade,
    PageWanted,
    Picture,
    Ping,
    Pong,
    Prepare,
    Prepared,
    PrepareFailed,
    Release,
    Released,
    Remove,
    Removed,
    StartFailed,
    StatisticsMade,
    StatisticsWanted,
    Switch,
    Switched,
)

if TYPE_CHECKING:
    from navi_core.contracts.transport import Address
    from navi_core.workers.barrier import Barrier
    from navi_core.workers.replica import Replica

__all__ = ["SEAT_VARIABLE", "RemoteAdmin", "Seat", "SeatOrders", "seat_from_environment"]

log = structlog.get_logger(__name__)

SEAT_VARIABLE: Final = "NAVI_WORKER"

_CONNECT_S: Final = 10.0
_GATHER_S: Final = 2.0
"""A page or statistics without the other workers' part is better than none."""

_IDLE_S: Final = 0.015
"""Running requests get so long to end before a barrier counts as up, so that old answers do not come after new ones."""

_Answer: TypeAlias = AdminDone | PageMade | StatisticsMade


class SeatOrders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the parent hands to a worker in one environment variable.

    Attributes
    ----------
    socket
        Path of the parent's socket.
    index
        The worker's number, from 1; a process that replaces another has the same.
    config
        Path of the host's configuration, as JSON.
    log_level, log_format
        As of the parent.
    """

    socket: str
    index: int
    config: str
    log_level: str = "info"
    log_format: LogFormat = "auto"

    def variables(self) -> Mapping[str, str]:
        """Return the environment that hands these orders over."""
        return {SEAT_VARIABLE: msgspec.json.encode(self).decode()}


def seat_from_environment() -> Seat | None:
    """Return the seat of this process; None: it is no worker."""
    said = os.environ.get(SEAT_VARIABLE)
    return None if said is None else Seat(msgspec.json.decode(said, type=SeatOrders))


class Seat:
    """One worker's end. On one event loop.

    Parameters
    ----------
    orders
        What the parent said when it started this process.
    """

    def __init__(self, orders: SeatOrders) -> None:
        self.orders: Final = orders
        self._channel: Channel | None = None
        self._replica: Replica | None = None
        self._barrier: Barrier | None = None
        self._page: Callable[[], Page] = Page
        self._statistics: Callable[[str], Sequence[VersionStatistics]] = lambda _: ()
        self._open: asyncio.Event = asyncio.Event()
        self._gone: asyncio.Event = asyncio.Event()
        self._calls = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[_Answer]] = {}
        self._tasks = Tasks(log, "worker_task_failed")
        self._memory: dict[str, bytes] = {}
        self.is_complete = False
        """Every worker has come up once."""

    @property
    def index(self) -> int:
        """The worker's number."""
        return self.orders.index

    # --- life -----------------------------------------------------------------------------------------

    async def join(
        self,
        replica: Replica,
        barrier: Barrier,
        *,
        page: Callable[[], Page],
        statistics: Callable[[str], Sequence[VersionStatistics]],
    ) -> None:
        """Come to the table; returns once this worker has what all have and may listen.

        Parameters
        ----------
        replica, barrier
            Obey the parent's word.
        page, statistics
            Give what this worker counted.

        Raises
        ------
        NaviError
            The parent cannot be reached, or is gone.
        """
        self._replica, self._barrier, self._page, self._statistics = replica, barrier, page, statistics
        replica.on_removed = lambda ticket: self._say(Removed(ticket))
        await self._connect()
        opened = asyncio.ensure_future(self._open.wait())
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
            gone.cancel()
        if not self._open.is_set():
            raise _alone()

    def opened(self, addresses: Mapping[str, Sequence[Address]]) -> None:
        """Say that this worker listens."""
        self._say(Opened({name: tuple(listened) for name, listened in addresses.items()}))

    async def failed(self, error: NaviError) -> None:
        """Say that this worker cannot serve at all."""
        if self._channel is None:
            await self._connect()
        self._say(StartFailed(Fault.of(error)))

    async def parent_gone(self) -> None:
        """Wait until there is no parent any more."""
        await self._gone.wait()

    def leave(self) -> None:
        """Close the socket."""
        if self._channel is not None:
            self._channel.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, self._channel = await loop.create_unix_connection(
                    lambda: Channel(self._received, self._ended), self.orders.socket
                )
        except (OSError, TimeoutError) as error:
            raise NaviError(f"worker {self.index} cannot reach its parent: {error}") from error
        self._say(Hello(PROTOCOL, self.index, os.getpid()))

    def _ended(self) -> None:
        self._gone.set()
        if self._barrier is not None:
            self._barrier.lower()
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.done():
                each.set_exception(_alone())

    # --- asking ---------------------------------------------------------------------------------------

    async def admin(self, operation: str, **arguments: Any) -> None:
        """Have an admin operation done in all workers; raises what it raises in the parent."""
        call = next(self._calls)
        answer = await self._ask(call, AdminWanted(call, operation, **arguments))
        if isinstance(answer, AdminDone) and answer.fault is not None:
            raise answer.fault.error()

    async def whole_page(self, accept: str) -> tuple[str, bytes] | None:
        """Return the metrics page of all workers; None: the parent does not answer in time."""
        call = next(self._calls)
        try:
            async with asyncio.timeout(_GATHER_S):
                answer = await self._ask(call, PageWanted(call, accept))
        except (TimeoutError, NaviError):
            return None
        return (answer.content_type, answer.body) if isinstance(answer, PageMade) else None

    async def whole_statistics(self, model: str) -> Sequence[VersionStatistics] | None:
        """Return a model's statistics of all workers; None: the parent does not answer in time."""
        call = next(self._calls)
        try:
            async with asyncio.timeout(_GATHER_S):
                answer = await self._ask(call, StatisticsWanted(call, model))
        except (TimeoutError, NaviError):
            return None
        return answer.statistics if isinstance(answer, StatisticsMade) else None

    async def _ask(self, call: int, question: FromWorker) -> _Answer:
        if self._channel is None or self._gone.is_set():
            raise _alone()
        waiter = self._waiting[call] = asyncio.get_running_loop().create_future()
        try:
            self._say(question)
            answer: _Answer = await waiter
            return answer
        finally:
            self._waiting.pop(call, None)

    def recall(self) -> Mapping[str, bytes]:
        """Return what services of any worker keep."""
        return self._memory

    async def keep(self, key: str, value: bytes | None) -> None:
        """Keep a service's value in all workers; None: forget it."""
        if self._memory.get(key) != value:
            await self.admin("keep", model=key, value=value)

    # --- obeying --------------------------------------------------------------------------------------

    def _received(self, body: bytes) -> None:
        message = parse_from_parent(body)
        try:
            self._obey(message)
        except NaviError:  # the parent and this worker disagree: a fresh one will not
            log.exception("worker_confused", message=type(message).__name__)
            self.leave()

    def _obey(self, message: FromParent) -> None:
        replica, barrier = self._replica, self._barrier
        if replica is None or barrier is None:
            raise ProtocolError(f"a worker that cannot start takes no {type(message).__name__}")
        match message:
            case Prepare():
                self._tasks.spawn(self._prepare(replica, message))
            case Discard(ticket=ticket):
                replica.discard(ticket)
            case Hold(hold=hold):
                barrier.raise_()
                self._tasks.spawn(self._hold(replica, hold))
            case Switch(hold=hold):
                replica.switch(message.add, message.remove, message.current)
                self._say(Switched(hold, barrier.lower()))
            case Release():
                self._say(Released(barrier.lower()))
            case Remove():
                replica.switch(remove=(message.ticket,), current=message.current)
            case Picture():
                self.is_complete = message.is_complete
                self._memory = message.memory
                replica.paint(message.names, message.changed)
            case Open():
                self._open.set()
            case Gather():
                self._gather(message)
            case Ping():
                self._say(Pong())
            case _:
                waiter = self._waiting.get(message.call)
                if waiter is not None and not waiter.done():
                    waiter.set_result(message)

    async def _prepare(self, replica: Replica, message: Prepare) -> None:
        try:
            loaded = await replica.prepare(message.ticket, message.config, message.artifact.artifact())
        except NaviError as error:
            self._say(PrepareFailed(message.ticket, Fault.of(error)))
            return
        except Exception:  # a swap waits for every worker: answer in any case
            log.exception("prepare_failed", ticket=message.ticket)
            self._say(PrepareFailed(message.ticket, Fault.of(NaviError("internal error"))))
            return
        if loaded is not None:
            self._say(
                Prepared(
                    ticket=message.ticket,
                    runtime=loaded.runtime,
                    kind=loaded.kind,
                    converter=loaded.converter,
                    notes=loaded.notes,
                    gauges=dict(loaded.gauges),
                )
            )

    async def _hold(self, replica: Replica, hold: int) -> None:
        await replica.idle(_IDLE_S)
        self._say(Held(hold))

    def _gather(self, message: Gather) -> None:
        found: tuple[VersionStatistics, ...] = ()
        if message.statistics_of is not None:
            with suppress(NaviError):  # the model has just gone
                found = tuple(self._statistics(message.statistics_of))
        self._say(Gathered(message.gather, self._page() if message.page else None, found))

    def _say(self, message: FromWorker) -> None:
        if self._channel is not None:
            self._channel.send(message)


class RemoteAdmin:
    """A :class:`~navi_core.contracts.planes.Admin` whose operations the parent does, in all workers.

    Parameters
    ----------
    seat
        The way to the parent.
    config_of
        Returns a model's configuration, as the parent has it.
    """

    def __init__(self, seat: Seat, config_of: Callable[[str], ModelConfig]) -> None:
        self._seat = seat
        self._config_of = config_of

    async def load(self, config: ModelConfig) -> None:
        """Start to serve a model; returns once all workers can answer."""
        await self._seat.admin("load", models=(config,))

    async def unload(self, model: str) -> None:
        """Stop to serve a model; returns once no worker has a version of it."""
        await self._seat.admin("unload", model=model)

    async def replace(self, artifact: Artifact) -> None:
        """Serve an artifact as its model's only version."""
        await self._seat.admin("replace", artifact=ArtifactRecord.of(artifact))

    def config_of(self, model: str) -> ModelConfig:
        """Return a model's configuration; raises ModelNotFoundError."""
        return self._config_of(model)

    async def apply_config(self, models: Sequence[ModelConfig]) -> None:
        """Serve exactly these models, in all workers, or change nothing."""
        await self._seat.admin("apply_config", models=tuple(models))

    async def rescan(self, model: str | None = None) -> None:
        """Have the sources look again now."""
        await self._seat.admin("rescan", model=model)


def _alone() -> NaviError:
    return NaviError("the process that starts the workers is gone", code=ErrorCode.UNAVAILABLE)
