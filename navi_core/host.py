"""Host: builds everything from one configuration; starts, drains and stops it in order.

Start: plugins -> manager and data plane -> services and router -> listeners -> sources. Ports are open at
once; the host is ready when every model has a version. Stop: not ready -> new work refused -> what was taken
finishes -> listeners close -> versions unload.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog

from navi_core.access_log import LOGGER as ACCESS_LOGGER
from navi_core.access_log import AccessLog
from navi_core.answering_ahead import AnswerAhead
from navi_core.authorization import Authorization
from navi_core.batching.threads import RunThreads
from navi_core.budget import MemoryBudget
from navi_core.certificates import certificate_ends
from navi_core.config.checks import check_config, check_records
from navi_core.config.records import HostConfig
from navi_core.config.single_files import name_single_files
from navi_core.confined_admin import ConfinedAdmin
from navi_core.contracts.planes import Admin
from navi_core.contracts.service import Service
from navi_core.contracts.service_context import ServiceContext, ServiceOptions
from navi_core.contracts.transport import Address, Transport
from navi_core.cores import core_count
from navi_core.data_plane import HostDataPlane, own_outputs
from navi_core.errors import LifecycleError, NaviError
from navi_core.host_thread import BlockingHost
from navi_core.in_process import as_arrays
from navi_core.keeping import Keeping, Means, OwnKeeping, SeatedKeeping
from navi_core.listeners import Listeners
from navi_core.logs import event_writer, use_stdlib_logging
from navi_core.messages import InferenceRequest, ModelRef
from navi_core.metrics.metrics import Metrics, QueueGauges
from navi_core.metrics.process import ProcessFamilies
from navi_core.needs import check_needs
from navi_core.openapi import compose
from navi_core.plugins.discovery import discover
from navi_core.plugins.observers import Observers
from navi_core.plugins.registry import Registry
from navi_core.routing import HostRouter
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.types import Array
from navi_core.workers.seat import Seat

__all__ = ["Host"]

log = structlog.get_logger(__name__)

IN_PROCESS = "in_process"
"""Service and transport of a request that came from this process, in metrics and events."""

UNLOAD_TIMEOUT_S = 2.0
"""How long versions may take to unload once everything that could be drained was drained."""

OPERATIONS_SERVICE = "operations"
"""The built-in service with the metrics page and the probes: all that the metrics port offers."""

HEALTH_SERVICE = "health"
"""The built-in service with gRPC's probes."""


class _LoopSignal:
    """A :class:`~navi_core.contracts.service_context.Signal` on this loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()


class Host:
    """One serving host, in this process.

    ``async with Host(config) as host`` starts it on the running loop and waits for its models; ``with
    Host(config) as host`` starts it on a loop thread of its own and gives a
    :class:`~navi_core.host_thread.BlockingHost`, whose methods any thread may call. Several hosts may live
    in one process. Without transports in the configuration nothing listens.

    Parameters
    ----------
    config
        What to serve and how.
    registry
        Plugins to use; None: those that are installed.
    hosted_by
        The transport of the foreign server that this host runs inside of; None: it owns its process.
    seat
        Its place among several workers, whose parent says what they serve; None: this process is the host.

    Examples
    --------
    >>> from navi_core import Host, HostConfig, ModelConfig
    >>> config = HostConfig(models=(ModelConfig(path="models/web_click"),))
    >>> async def main():
    ...     async with Host(config) as host:
    ...         return await host.predict("web_click", {"x": [[1.0, 2.0]]})
    """

    def __init__(
        self,
        config: HostConfig | None = None,
        *,
        registry: Registry | None = None,
        hosted_by: Transport | None = None,
        seat: Seat | None = None,
    ) -> None:
        use_stdlib_logging()  # a library writes nothing by itself; the command line has configured logs before
        config = config or HostConfig()
        check_records(config.models)
        self.config = name_single_files(config)
        check_config(self.config)
        self._registry = registry
        self._hosted_by = hosted_by
        self._seat = seat
        self._thread: BlockingHost | None = None
        self._parts: _Parts | None = None

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the ports and begin to load; :meth:`wait_ready` waits for the models.

        Raises
        ------
        ConfigError, PluginError
            The configuration cannot be used; nothing stays open.
        """
        if self._parts is not None:
            msg = "the host is running already"
            raise LifecycleError(msg)
        registry = self._registry or Registry(discover())
        parts = _Parts(self.config, registry, self._hosted_by, self._seat)
        try:
            await parts.open()
        except BaseException:
            await parts.close()
            raise
        self._parts = parts

    async def wait_ready(self) -> None:
        """Return once every configured model has its versions, or those of them that can be loaded.

        A version that could not be loaded is tried again later; nobody waits for that.

        Raises
        ------
        ModelLoadError
            A model has none, and none is coming.
        """
        versions = self._running.keeping.versions
        await asyncio.gather(*(versions.wait_available(name) for name in versions.names()))

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuse new work and finish what was taken, within the time (the configured one by default)."""
        parts = self._parts
        if parts is None:
            return
        parts.plane.begin_drain()
        parts.router.begin_drain()
        await parts.listeners.drain(self.config.drain_timeout_s if timeout_s is None else timeout_s)

    async def stop(self, drain_timeout_s: float | None = None) -> None:
        """Drain, close and unload. Idempotent."""
        if self._parts is None:
            return
        await self.drain(drain_timeout_s)
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.close()

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self.wait_ready()
        except BaseException:
            await self.stop(0.0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __enter__(self) -> BlockingHost:
        self._thread = BlockingHost(self)
        return self._thread.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.__exit__(kind, error, trace)

    # --- use ------------------------------------------------------------------------------------

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str = "",
        outputs: Sequence[str] = (),
        parameters: Mapping[str, bool | int | float | str] | None = None,
        timeout_s: float | None = None,
        priority: int = 0,
    ) -> dict[str, Array]:
        """Run one request, in process, batched with everybody else's.

        Parameters
        ----------
        model
            The model's name.
        inputs
            Name -> array, or anything that becomes one of the signature's dtype. Strings may be ``str`` or
            ``bytes``. Arrays must not change until the answer has come.
        version, label
            Which version; neither: the newest.
        signature
            Empty: the default one.
        outputs
            Names to compute; empty: all.
        parameters
            Reach the runtime.
        timeout_s
            None: as long as it takes.
        priority
            The level to queue at, where the model has levels: 1 is served first; 0: the model's default.

        Returns
        -------
        outputs
            Name -> array, the caller's own.

        Raises
        ------
        NaviError
            Typed; see :mod:`navi_core.errors`.
        """
        plane = self._running.plane
        ref = ModelRef(model, version, label)
        with ExitStack() as stack:
            try:
                handle = stack.enter_context(plane.acquire(ref))
                client = handle.signatures.get(signature or DEFAULT_SIGNATURE)
                own = None if client is None else handle.model_signature(signature)
                arrays = as_arrays(inputs, client, own)
            except NaviError as error:  # from here on the data plane counts by itself
                plane.refused(
                    ref,
                    error,
                    service=IN_PROCESS,
                    transport=IN_PROCESS,
                    method="infer",
                    signature=signature,
                )
                raise
            request = InferenceRequest(
                inputs=arrays,
                signature=signature,
                outputs=tuple(outputs),
                parameters=parameters or {},
                deadline=None if timeout_s is None else time.monotonic() + timeout_s,
                priority=priority,
                service=IN_PROCESS,
                transport=IN_PROCESS,
            )
            return own_outputs(await handle.infer(request))

    @property
    def addresses(self) -> Mapping[str, Sequence[Address]]:
        """Transport name -> where it listens."""
        return self._running.listeners.addresses

    def models(self) -> Sequence[str]:
        """Return the names of all models."""
        return self._running.plane.models()

    @property
    def plane(self) -> HostDataPlane:
        """The data plane."""
        return self._running.plane

    @property
    def admin(self) -> Admin:
        """Admin operations."""
        return self._running.keeping.admin

    @property
    def router(self) -> HostRouter:
        """The handlers of every service: what a foreign server that hosts navi routes to."""
        return self._running.router

    @property
    def is_running(self) -> bool:
        """Whether :meth:`start` succeeded and :meth:`stop` was not called."""
        return self._parts is not None

    @property
    def _running(self) -> _Parts:
        if self._parts is None:
            msg = "the host is not running: use it inside 'with' or 'async with', or call start()"
            raise LifecycleError(msg)
        return self._parts


class _Parts:
    """Everything that one running host is made of."""

    def __init__(
        self,
        config: HostConfig,
        registry: Registry,
        hosted_by: Transport | None = None,
        seat: Seat | None = None,
    ) -> None:
        now = time.monotonic
        cores = core_count()
        self.config = config
        self.registry = registry
        self.threads = RunThreads(config.run_threads or max(4, 2 * cores))
        self.metrics = Metrics(compat=config.compat_metrics)
        self.budget = MemoryBudget(config.memory_budget_bytes)
        access_log = (
            AccessLog(event_writer(ACCESS_LOGGER), quiet=(OPERATIONS_SERVICE, HEALTH_SERVICE))
            if config.access_log
            else None
        )
        observers = Observers(registry.plugins, own=access_log.request_finished if access_log else None)
        means = Means(
            registry=registry,
            config=config,
            threads=self.threads,
            metrics=self.metrics,
            observers=observers,
            max_concurrent_batches=max(2, cores),
            now=now,
        )
        self.keeping: Keeping = OwnKeeping(means) if seat is None else SeatedKeeping(means, seat)
        self.plane = HostDataPlane(
            self.keeping.versions,
            metrics=self.metrics,
            observers=observers,
            now=now,
            workers=self.keeping.workers,
        )
        self.listeners = Listeners(
            registry,
            config,
            budget=self.budget,
            now=now,
            hosted_by=hosted_by,
            reuse_port=seat is not None,
        )
        self.metrics.set_gauge_source(self._gauges)
        self.metrics.set_budget_source(lambda: self.budget.in_use_bytes)
        self.metrics.set_certificate_source(partial(certificate_ends, config.transports))
        self.metrics.set_process_source(ProcessFamilies())
        services = self._services()
        self.authorization = Authorization(allow_admin=config.admin, settings=config.auth)
        self.router = HostRouter(
            services,
            authorization=self.authorization,
            admission=self.keeping.admission,
            access_log=access_log,
        )
        self.metrics_router = HostRouter(
            [service for service in services if service.name == OPERATIONS_SERVICE]
        )

    def _services(self) -> list[Service]:
        config, registry = self.config, self.registry
        services: list[Service] = []
        context = ServiceContext(
            plane=self.plane,
            admin=ConfinedAdmin(self.keeping.admin, config.model_roots),
            now=time.monotonic,
            new_signal=_LoopSignal,
            run_off_loop=asyncio.to_thread,
            answer_ahead=AnswerAhead(self.budget),
            memory=self.keeping.memory,
            options=ServiceOptions(
                default_deadline_ms=config.default_deadline_ms,
                max_tensor_bytes=config.max_message_bytes,
                metrics_paths=config.metrics_paths,
                tables=config.service_options,
            ),
            rpc_services=lambda: self.router.rpc_services(),  # noqa: PLW0108 - the router is made from the services
            descriptor_sets=lambda: {
                service.name: service.descriptor_set for service in services if service.descriptor_set
            },
            openapi=lambda: compose(services, self.authorization),
        )
        names = registry.services().keys() if config.services is None else config.services
        services += [registry.service(name).create(context) for name in names]
        return services

    def _gauges(self) -> Iterable[QueueGauges]:
        for model, version, batcher in self.keeping.versions.batchers():
            queue = batcher.queue
            yield model, version, batcher.in_flight, queue.num_requests, queue.num_rows, queue.size_bytes

    async def open(self) -> None:
        """Check the rest of the configuration, open the ports, begin to look for models."""
        check_needs(self.config, self.registry)
        await self.keeping.prepare(self.plane)
        await self.listeners.start(self.router)
        if self.config.prometheus_port is not None:
            await self.listeners.start_metrics(self.metrics_router, self.config.prometheus_port)
        self.keeping.begin(self.listeners.addresses)

    async def close(self) -> None:
        """Close whatever is open."""
        await self.listeners.stop()
        await self.keeping.stop()
        try:
            await self.keeping.versions.close(UNLOAD_TIMEOUT_S)
        except NaviError:
            log.exception("manager_close_failed")
        self.threads.shutdown()
