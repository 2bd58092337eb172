"""Supervisor: the parent of several workers. It decides what they serve, starts them, replaces them, and ends them.

It runs the sources and the manager, as a host of one process does, but no model and no listener: what it decides,
the :class:`~navi_core.workers.fleet.Fleet` has the workers do.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from navi_core.admin import HostAdmin
from navi_core.batching.buffers import BufferPool
from navi_core.batching.threads import RunThreads
from navi_core.config.records import HostConfig
from navi_core.contracts.transport import Address
from navi_core.cores import worker_count
from navi_core.errors import LifecycleError, NaviError
from navi_core.logs import LogFormat
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.process import ProcessFamilies
from navi_core.models.manager import ServableManager
from navi_core.models.watching import Watcher
from navi_core.needs import check_needs
from navi_core.plugins.observers import Observers
from navi_core.plugins.registry import Registry
from navi_core.workers.channel import Channel
from navi_core.workers.fleet import Fleet
from navi_core.workers.members import Member
from navi_core.workers.ports import reserve_ports
from navi_core.workers.processes import Process, Processes, end, kill, words_of
from navi_core.workers.protocol import PROTOCOL, FromWorker, Hello, StartFailed
from navi_core.workers.pulse import BEAT_S
from navi_core.workers.reception import Reception, Receptionist
from navi_core.workers.restarts import Restarts

__all__ = ["Supervisor"]

log = structlog.get_logger(__name__)

_END_GRACE_S: Final = 20.0
"""Beyond the drain timeout, a worker gets so long to unload and end."""

_LOST_S: Final = 5.0
"""A worker that has left the table and has not ended by then is ended."""

_COMING_S: Final = 120.0
"""A process that has not come to the table by then never will."""

_KILL_S: Final = 5.0

_SPARE_DELAY_S: Final = 2.0
"""What is being started to serve comes before the process that waits to replace one, but not for longer than this."""


class Supervisor(Receptionist):
    """Several workers that serve as one host. Belongs to one event loop.

    Parameters
    ----------
    config
        What to serve and how; ``workers`` says how many.
    registry
        Installed plugins.
    log_level, log_format
        As this process logs; the workers log alike.
    """

    def __init__(
        self,
        config: HostConfig,
        registry: Registry,
        *,
        log_level: str = "info",
        log_format: LogFormat = "auto",
    ) -> None:
        self.config = config
        self._registry = registry
        self._log_level = log_level
        self._log_format: LogFormat = log_format
        self._size = worker_count(config.workers)
        self._ports: Sequence[socket.socket] = ()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._reception = Reception(self)
        self._threads = RunThreads(1, name="navi-parent")
        self._metrics = Metrics(compat=config.compat_metrics)
        self._metrics.set_workers(0)
        self._metrics.set_process_source(ProcessFamilies())
        self._fleet = Fleet(
            self._size,
            metrics=self._metrics,
            now=time.monotonic,
            load_threads=config.load_threads,
            silence_s=config.worker_timeout_s,
            max_loading=config.max_workers_loading,
        )
        self._manager = ServableManager(
            registry,
            config,
            pool=BufferPool(),
            threads=self._threads,
            metrics=self._metrics,
            observers=_no_observers(registry),
            max_concurrent_batches=1,
            loader=self._fleet,
        )
        self._watcher = Watcher(registry, self._manager, config, now=time.monotonic)
        self.admin = HostAdmin(self._manager, self._watcher)
        self._processes: Processes | None = None
        self._workers: dict[int, Process] = {}
        self._channels: dict[int, Channel] = {}
        self._opened_at: dict[int, float] = {}
        self._lost: dict[int, asyncio.Event] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._spare_keeper: asyncio.Task[None] | None = None
        self._first_fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all_open = asyncio.Event()
        self._is_started = False
        self._is_stopping = False

    @property
    def addresses(self) -> Mapping[str, Sequence[Address]]:
        """Transport name -> where all workers listen."""
        return {
            name: listened or self._foreign_addresses(name)
            for name, listened in self._fleet.addresses.items()
        }

    def _foreign_addresses(self, name: str) -> Sequence[Address]:
        """Return where the servers listen that host the workers: those know it, and the workers do not."""
        settings, kind = self.config.transports[name], self._registry.transport(name)
        secure = "" if settings.tls is None else "s"
        schemes = [scheme for what, scheme in (("rpc", "grpc"), ("http", "http")) if what in kind.carries]
        host = settings.host or self.config.host
        return [Address(f"{scheme}{secure}", host, settings.port or kind.default_port) for scheme in schemes]

    @property
    def size(self) -> int:
        """How many workers there are to be."""
        return self._size

    def models(self) -> Sequence[str]:
        """Return the names of all models."""
        return self._manager.names()

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the workers; returns when all of them listen, and goes on to look for models.

        Raises
        ------
        ConfigError, PluginError, NaviError
            The configuration cannot be used, or a worker cannot start; nothing stays open.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop(0.0)
            raise

    async def _start(self) -> None:
        check_needs(self.config, self._registry)
        settled, self._ports = reserve_ports(self.config, self._registry)
        self.config = settled
        for model in settled.models:
            self._manager.add_model(model)
            self._watcher.watch(model)
        # only the owner gets into the directory: whoever could connect there would be obeyed
        self._folder = tempfile.TemporaryDirectory(prefix="navi-")
        folder = Path(self._folder.name)
        (folder / "host.json").write_bytes(msgspec.json.encode(settled))
        loop = asyncio.get_running_loop()
        await self._reception.open(folder / "workers.sock")
        self._fleet.serve(self._manager, self.admin)
        self._fleet.on_open = self._opened
        self._fleet.on_unfit = self._unfit
        self._fleet.on_dropped = self._dropped
        self._processes = processes = Processes(
            folder, self._size, log_level=self._log_level, log_format=self._log_format
        )
        for index in range(1, self._size + 1):
            self._keepers.append(loop.create_task(self._keep(processes, index)))
        self._keepers.append(loop.create_task(self._beat()))
        for keeper in self._keepers:
            keeper.add_done_callback(self._keeper_ended)
        waiting: asyncio.Future[Any] = loop.create_task(self._all_open.wait())
        fault: asyncio.Future[Any] = self._first_fault
        try:
            await asyncio.wait({waiting, fault}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._first_fault.done():
            self._first_fault.result()
        self._is_started = True
        self._watcher.start()
        self._spare_keeper = loop.create_task(self._keep_spare(processes))

    async def wait_ready(self) -> None:
        """Return once every model has a version that can answer, in all workers; raises ModelLoadError."""
        await asyncio.gather(*(self._manager.wait_available(name) for name in self._manager.names()))

    async def stop(self, drain_timeout_s: float | None = None) -> None:
        """Have the workers drain, and end. Idempotent."""
        if self._is_stopping:
            return
        self._is_stopping = True
        timeout_s = self.config.drain_timeout_s if drain_timeout_s is None else drain_timeout_s
        if self._spare_keeper is not None:
            self._spare_keeper.cancel()
            await asyncio.gather(self._spare_keeper, return_exceptions=True)
        await self._watcher.stop()
        grace_s = timeout_s + _END_GRACE_S if self._is_started else _KILL_S
        await asyncio.gather(*(end(process, grace_s) for process in self._all_processes()))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for index in list(self._channels):
            self._fleet.gone(index)
        await self._manager.close(1.0)
        self._reception.close()
        for sock in self._ports:
            sock.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._threads.shutdown()
        if not self._first_fault.done():
            self._first_fault.cancel()

    def kill(self) -> None:
        """End every worker at once."""
        for process in self._all_processes():
            kill(process)

    def _all_processes(self) -> Sequence[Process]:
        spare = () if self._processes is None else self._processes.spare
        return (*self._workers.values(), *spare)

    # --- processes ----------------------------------------------------------------------------------------

    async def _keep(self, processes: Processes, index: int) -> None:
        """Have one worker's process run, and another one whenever it has ended."""
        restarts = Restarts()
        while not self._is_stopping:
            pid, how = await self._run_one(processes, index)
            if not self._is_started and not self._is_stopping:
                # what it says itself comes first, if it says anything
                await asyncio.sleep(0.2)
                self._fail_start(LifecycleError(f"worker {index} {how} while it started"))
                return
            if await self._is_over():
                return
            opened = self._opened_at.get(index)
            delay_s = restarts.ended(0.0 if opened is None else time.monotonic() - opened)
            self._metrics.worker_replaced()
            log.error("worker_ended", worker=index, pid=pid, how=how, restart_in_s=delay_s)
            if restarts.is_loop:
                log.error("worker_crash_loop", worker=index, in_a_row=restarts.in_a_row)
            await asyncio.sleep(delay_s)

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        """Tell at once of a fault of ours that leaves a worker with nobody to replace it."""
        error = None if keeper.cancelled() else keeper.exception()
        if error is None:
            return
        log.error("worker_keeper_failed", exc_info=error)
        if not self._is_started:
            self._fail_start(LifecycleError("the workers cannot be kept: internal error"))

    async def _run_one(self, processes: Processes, index: int) -> tuple[int | None, str]:
        """Start a worker's process and wait for its end; returns which it was, and how it ended."""
        self._forget(index)
        self._lost[index] = asyncio.Event()
        self._opened_at.pop(index, None)
        try:
            process = await processes.spawn(index)
        except OSError as error:  # no memory, no process left: another try may do better
            return None, f"could not be started: {error}"
        self._workers[index] = process
        if self._is_stopping:  # whoever ends all has not seen it
            kill(process)
        coming = asyncio.get_running_loop().call_later(_COMING_S, self._never_came, index, process)
        try:
            return process.pid, await self._ended(index, process)
        finally:
            coming.cancel()

    def _forget(self, index: int) -> None:
        """Close the way to the process before: its end may not have been seen, and is none of the next one's."""
        channel = self._channels.pop(index, None)
        if channel is not None:
            channel.close()
            self._fleet.gone(index)

    def _never_came(self, index: int, process: Process) -> None:
        if index not in self._channels:
            log.error("worker_never_came", worker=index, pid=process.pid, timeout_s=_COMING_S)
            kill(process)

    async def _is_over(self) -> bool:
        """Tell whether the stop has begun; a signal may have come to all processes at once, and be dealt with first."""
        await asyncio.sleep(0)
        return self._is_stopping

    async def _keep_spare(self, processes: Processes) -> None:
        """Have a process ready to replace one, once what is to be served is."""
        with suppress(TimeoutError, NaviError):
            async with asyncio.timeout(_SPARE_DELAY_S):
                await self.wait_ready()
        await processes.keep_spare()

    async def _beat(self) -> None:
        """Have the fleet look again and again who still answers."""
        while not self._is_stopping:
            self._fleet.beat()
            await asyncio.sleep(BEAT_S)

    async def _ended(self, index: int, process: Process) -> str:
        """Wait for a process's end, and return how it ended; one that has left the table is not waited for long."""
        exited = asyncio.ensure_future(process.wait())
        lost = asyncio.ensure_future(self._lost[index].wait())
        try:
            await asyncio.wait({exited, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                await asyncio.wait({exited}, timeout=_LOST_S if not self._is_stopping else None)
            if not exited.done():
                kill(process)
                await asyncio.wait({exited}, timeout=_LOST_S)
            # one that waits for a disk or a device that never answers does not even end when it is killed
            return f"ended {words_of(exited.result())}" if exited.done() else "does not end, though killed"
        finally:
            lost.cancel()
            exited.cancel()

    def _fail_start(self, error: NaviError) -> None:
        if not self._first_fault.done():
            self._first_fault.set_exception(error)

    def _opened(self, index: int) -> None:
        self._opened_at[index] = time.monotonic()
        log.info("worker_open", worker=index, pid=self._workers[index].pid)
        if self._fleet.is_complete:
            self._all_open.set()

    def _unfit(self, index: int, error: NaviError) -> None:
        """End a new worker that cannot load what the others serve; another one tries it again, a little later."""
        log.error("worker_cannot_come_up", worker=index, error=error.message)
        self._kill(index)

    def _dropped(self, index: int) -> None:
        """End a worker that nobody waits for any longer; another one takes its place."""
        self._kill(index)
        self._lost[index].set()

    def _kill(self, index: int) -> None:
        process = self._workers.get(index)
        if process is not None:
            kill(process)

    # --- their messages -----------------------------------------------------------------------------------

    def take(self, channel: Channel, hello: Hello) -> Member | None:
        """Take a worker that has connected; None: it is not let in."""
        if hello.protocol != PROTOCOL or hello.index not in self._workers or self._is_stopping:
            log.error("worker_refused", worker=hello.index, protocol=hello.protocol, expected=PROTOCOL)
            return None
        member = Member(hello.index, channel.send)
        self._channels[hello.index] = channel
        return member

    def came(self, member: Member) -> None:
        """Begin to tell a worker what to serve."""
        self._fleet.hello(member)

    def said(self, member: Member, message: FromWorker) -> None:
        """Take a worker's message."""
        if isinstance(message, StartFailed):
            if self._is_started:
                log.error("worker_start_failed", worker=member.index, error=message.fault.message)
            else:
                self._fail_start(message.fault.error())
            return
        self._fleet.received(member, message)

    def left(self, member: Member, channel: Channel) -> None:
        """Take that a worker's connection has ended."""
        if self._channels.get(member.index) is not channel:
            return
        del self._channels[member.index]
        self._fleet.gone(member.index)
        self._lost[member.index].set()


def _no_observers(registry: Registry) -> Observers:
    """Return observers that tell nobody: the workers tell their own plugins."""
    observers = Observers(registry.plugins)
    observers.any_state_changed = observers.any_request_finished = False
    return observers
