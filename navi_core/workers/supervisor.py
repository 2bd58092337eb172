"""Supervisor: the parent of several workers. It decides what they serve, starts them, replaces them, and ends them.

It runs the sources and the manager, as a host of one process does, but no model and no listener: what it decides,
the :class:`~navi_core.workers.fleet.Fleet` has the workers do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
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
from navi_core.cores import CORES_VARIABLE, core_count, worker_count
from navi_core.errors import LifecycleError, NaviError
from navi_core.logs import LogFormat
from navi_core.metrics.metrics import Metrics
from navi_core.models.manager import ServableManager
from navi_core.models.watching import Watcher
from navi_core.needs import check_needs
from navi_core.plugins.observers import Observers
from navi_core.plugins.registry import Registry
from navi_core.workers.channel import Channel
from navi_core.workers.fleet import Fleet
from navi_core.workers.frames import parse_from_worker
from navi_core.workers.members import Member
from navi_core.workers.ports import reserve_ports
from navi_core.workers.protocol import PROTOCOL, FromWorker, Hello, StartFailed
from navi_core.workers.restarts import Restarts
from navi_core.workers.seat import SeatOrders

__all__ = ["Supervisor"]

log = structlog.get_logger(__name__)

WORKER_MODULE: Final = "navi_core.cli.run_worker"

_END_GRACE_S: Final = 20.0
"""Beyond the drain timeout, a worker gets so long to unload and end."""

_LOST_S: Final = 5.0
"""A worker that has left the table and has not ended by then is ended."""

_KILL_S: Final = 5.0

_SPARE: Final = 0
"""The number of the process that waits to replace one: it gets that one's."""

_SPARE_DELAY_S: Final = 2.0
"""What serves, or is being started to serve, comes first."""


class Supervisor:
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
        self._server: asyncio.Server | None = None
        self._threads = RunThreads(1, name="navi-parent")
        self._metrics = Metrics(compat=config.compat_metrics)
        self._metrics.set_workers(0)
        self._fleet = Fleet(
            self._size, metrics=self._metrics, now=time.monotonic, load_threads=config.load_threads
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
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._channels: dict[int, Channel] = {}
        self._opened_at: dict[int, float] = {}
        self._lost: dict[int, asyncio.Event] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._spare: asyncio.subprocess.Process | None = None
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
        self._server = await loop.create_unix_server(self._connected, str(folder / "workers.sock"))
        self._fleet.serve(self._manager, self.admin)
        self._fleet.on_open = self._opened
        self._fleet.on_unfit = self._unfit
        for index in range(1, self._size + 1):
            self._keepers.append(loop.create_task(self._keep(index)))
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
        self._keepers.append(loop.create_task(self._keep_spare()))

    async def wait_ready(self) -> None:
        """Return once every model has a version that can answer, in all workers; raises ModelLoadError."""
        await asyncio.gather(*(self._manager.wait_available(name) for name in self._manager.names()))

    async def stop(self, drain_timeout_s: float | None = None) -> None:
        """Have the workers drain, and end. Idempotent."""
        if self._is_stopping:
            return
        self._is_stopping = True
        timeout_s = self.config.drain_timeout_s if drain_timeout_s is None else drain_timeout_s
        await self._watcher.stop()
        grace_s = timeout_s + _END_GRACE_S if self._is_started else _KILL_S
        await asyncio.gather(*(_end(process, grace_s) for process in self._all_processes()))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for index in list(self._channels):
            self._fleet.gone(index)
        await self._manager.close(1.0)
        if self._server is not None:
            self._server.close()
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
            with suppress(ProcessLookupError):
                process.kill()

    def _all_processes(self) -> Sequence[asyncio.subprocess.Process]:
        spare = () if self._spare is None else (self._spare,)
        return (*self._processes.values(), *spare)

    # --- processes ----------------------------------------------------------------------------------------

    async def _keep(self, index: int) -> None:
        """Have one worker's process run, and another one whenever it has ended."""
        restarts = Restarts()
        while not self._is_stopping:
            self._lost[index] = asyncio.Event()
            self._opened_at.pop(index, None)
            process = self._processes[index] = await self._spawn(index)
            status = await self._ended(index, process)
            if not self._is_started and not self._is_stopping:
                # what it says itself comes first, if it says anything
                await asyncio.sleep(0.2)
                self._fail_start(LifecycleError(f"worker {index} ended {_words(status)} while it started"))
                return
            if await self._is_over():
                return
            opened = self._opened_at.get(index)
            delay_s = restarts.ended(0.0 if opened is None else time.monotonic() - opened)
            self._metrics.worker_replaced()
            log.error("worker_ended", worker=index, pid=process.pid, how=_words(status), restart_in_s=delay_s)
            if restarts.is_loop:
                log.error("worker_crash_loop", worker=index, in_a_row=restarts.in_a_row)
            await asyncio.sleep(delay_s)

    async def _is_over(self) -> bool:
        """Tell whether the stop has begun; a signal may have come to all processes at once, and be dealt with first."""
        await asyncio.sleep(0)
        return self._is_stopping

    async def _keep_spare(self) -> None:
        """Have a process ready to replace one: an interpreter that has imported everything, and nothing else.

        Most of a start is imports, which would take longer than the second within which a worker is to be replaced.
        """
        while not self._is_stopping:
            await asyncio.sleep(_SPARE_DELAY_S)
            if self._spare is None or self._spare.returncode is not None:
                self._spare = await self._start_process(_SPARE)
                await asyncio.sleep(_SPARE_DELAY_S)

    async def _spawn(self, index: int) -> asyncio.subprocess.Process:
        """Return the process that is to be worker ``index``: the spare one, or a new one."""
        spare, self._spare = self._spare, None
        if spare is not None and spare.returncode is None and spare.stdin is not None:
            with suppress(OSError):
                spare.stdin.write(f"{index}\n".encode())
                await spare.stdin.drain()
                spare.stdin.close()
                return spare
        return await self._start_process(index)

    async def _start_process(self, index: int) -> asyncio.subprocess.Process:
        assert self._folder is not None  # noqa: S101 - start made it
        folder = Path(self._folder.name)
        orders = SeatOrders(
            socket=str(folder / "workers.sock"),
            index=index,
            config=str(folder / "host.json"),
            log_level=self._log_level,
            log_format=self._log_format,
        )
        share = max(1, core_count() // self._size)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            WORKER_MODULE,
            env={**os.environ, CORES_VARIABLE: str(share), **orders.variables()},
            stdin=asyncio.subprocess.PIPE if index == _SPARE else asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is the parent's to pass on
        )

    async def _ended(self, index: int, process: asyncio.subprocess.Process) -> int:
        """Wait for a process's end; one that has left the table is not waited for long."""
        exited = asyncio.ensure_future(process.wait())
        lost = asyncio.ensure_future(self._lost[index].wait())
        try:
            await asyncio.wait({exited, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                await asyncio.wait({exited}, timeout=_LOST_S if not self._is_stopping else None)
            if not exited.done():
                with suppress(ProcessLookupError):
                    process.kill()
            return await exited
        finally:
            lost.cancel()
            exited.cancel()

    def _fail_start(self, error: NaviError) -> None:
        if not self._first_fault.done():
            self._first_fault.set_exception(error)

    def _opened(self, index: int) -> None:
        self._opened_at[index] = time.monotonic()
        log.info("worker_open", worker=index, pid=self._processes[index].pid)
        if self._fleet.is_complete:
            self._all_open.set()

    def _unfit(self, index: int, error: NaviError) -> None:
        """End a new worker that cannot load what the others serve; another one tries it again, a little later."""
        log.error("worker_cannot_come_up", worker=index, error=error.message)
        process = self._processes.get(index)
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()

    # --- their messages -----------------------------------------------------------------------------------

    def _connected(self) -> Channel:
        guest = _Guest(self)
        guest.channel = Channel(guest.received, guest.ended)
        return guest.channel

    def take(self, channel: Channel, hello: Hello) -> Member | None:
        """Take a worker that has connected; None: it is not let in."""
        if hello.protocol != PROTOCOL or hello.index not in self._processes or self._is_stopping:
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
            self._fail_start(message.fault.error())
            if self._is_started:
                log.error("worker_start_failed", worker=member.index, error=message.fault.message)
            return
        self._fleet.received(member, message)

    def left(self, member: Member, channel: Channel) -> None:
        """Take that a worker's connection has ended."""
        if self._channels.get(member.index) is not channel:
            return
        del self._channels[member.index]
        self._fleet.gone(member.index)
        self._lost[member.index].set()


class _Guest:
    """One connection: a worker, once it has said hello."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._member: Member | None = None
        self.channel: Channel | None = None

    def received(self, body: bytes) -> None:
        channel, message = self.channel, parse_from_worker(body)
        if channel is None:
            return
        if self._member is not None:
            self._supervisor.said(self._member, message)
        elif isinstance(message, Hello) and (member := self._supervisor.take(channel, message)) is not None:
            self._member = member
            self._supervisor.came(member)
        else:
            channel.close()

    def ended(self) -> None:
        if self._member is not None and self.channel is not None:
            self._supervisor.left(self._member, self.channel)


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """Ask a process to end, and make it after a while."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        log.warning("worker_killed", pid=process.pid, timeout_s=grace_s)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _words(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _no_observers(registry: Registry) -> Observers:
    """Return observers that tell nobody: the workers tell their own plugins."""
    observers = Observers(registry.plugins)
    observers.any_state_changed = observers.any_request_finished = False
    return observers
