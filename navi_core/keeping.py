"""Who decides what a host serves: the host itself, or the parent of several workers of which it is one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from navi_core.admin import HostAdmin
from navi_core.batching.buffers import BufferPool
from navi_core.batching.threads import RunThreads
from navi_core.config.records import HostConfig
from navi_core.contracts.planes import Admin
from navi_core.contracts.service_context import OwnMemory, ServiceMemory
from navi_core.contracts.transport import Address
from navi_core.data_plane import AllWorkers, HostDataPlane
from navi_core.metrics.metrics import Metrics
from navi_core.models.keeper import VersionKeeper
from navi_core.models.manager import ServableManager
from navi_core.models.opening import Opener
from navi_core.models.version_loader import VersionLoader
from navi_core.models.watching import Watcher
from navi_core.plugins.observers import Observers
from navi_core.plugins.registry import Registry
from navi_core.routing import Admission
from navi_core.workers.barrier import Barrier
from navi_core.workers.replica import Replica
from navi_core.workers.seat import RemoteAdmin, Seat

__all__ = ["Keeping", "Means", "OwnKeeping", "SeatedKeeping"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What versions are kept with."""

    registry: Registry
    config: HostConfig
    threads: RunThreads
    metrics: Metrics
    observers: Observers
    max_concurrent_batches: int
    now: Callable[[], float]


class Keeping(ABC):
    """Keeps what a host serves.

    Attributes
    ----------
    versions
        What the data plane serves from.
    admin
        Admin operations.
    workers
        The other workers; None: there are none.
    admission
        Asked before requests come in; None: they all do at once.
    memory
        What services keep.
    """

    versions: VersionKeeper
    admin: Admin
    workers: AllWorkers | None = None
    admission: Admission | None = None
    memory: ServiceMemory

    @abstractmethod
    async def prepare(self, plane: HostDataPlane) -> None:
        """Do what must be done before the ports are open; raises NaviError."""

    @abstractmethod
    def begin(self, addresses: Mapping[str, Sequence[Address]]) -> None:
        """Go on, now that the ports are open."""

    @abstractmethod
    async def stop(self) -> None:
        """Look for nothing new any more."""


class OwnKeeping(Keeping):
    """The process decides by itself: it has the sources and the manager."""

    def __init__(self, means: Means) -> None:
        self._config = means.config
        manager = ServableManager(
            means.registry,
            means.config,
            pool=BufferPool(),
            threads=means.threads,
            metrics=means.metrics,
            observers=means.observers,
            max_concurrent_batches=means.max_concurrent_batches,
        )
        self.versions = self._manager = manager
        self._watcher = Watcher(means.registry, manager, means.config, now=means.now)
        self.admin = HostAdmin(manager, self._watcher)
        self.memory = OwnMemory()

    async def prepare(self, plane: HostDataPlane) -> None:
        """Know the configured models."""
        del plane  # it asks the manager by itself
        for model in self._config.models:
            self._manager.add_model(model)
            self._watcher.watch(model)

    def begin(self, addresses: Mapping[str, Sequence[Address]]) -> None:
        """Look for versions."""
        del addresses
        self._watcher.start()

    async def stop(self) -> None:
        """Look no more."""
        await self._watcher.stop()


class SeatedKeeping(Keeping):
    """The parent decides; this process loads and switches as it is told.

    Parameters
    ----------
    means
        See its record.
    seat
        The way to the parent.
    """

    def __init__(self, means: Means, seat: Seat) -> None:
        self._seat = seat
        self._metrics = means.metrics
        self._metrics.set_workers(0)  # the parent counts them
        self.admission = self._barrier = Barrier(means.now)
        self.versions = self._replica = Replica(
            VersionLoader(
                means.registry,
                means.config,
                means.metrics,
                max_concurrent_batches=means.max_concurrent_batches,
            ),
            Opener(pool=BufferPool(), threads=means.threads, metrics=means.metrics),
            metrics=means.metrics,
            observers=means.observers,
        )
        self.workers = self.memory = seat
        self.admin = RemoteAdmin(seat, self._replica.config_of)

    async def prepare(self, plane: HostDataPlane) -> None:
        """Load what the other workers serve."""
        await self._seat.join(
            self._replica, self._barrier, page=self._metrics.page, statistics=plane.own_statistics
        )

    def begin(self, addresses: Mapping[str, Sequence[Address]]) -> None:
        """Say that this worker listens."""
        self._seat.opened(addresses)

    async def stop(self) -> None:
        """Leave."""
        self._seat.leave()
