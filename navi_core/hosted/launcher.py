"""Launcher: the parent of a foreign server. It starts it, talks to the application inside, and ends both in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from navi_core.config.records import ModelConfig
from navi_core.contracts.foreign import ForeignServer, LaunchPlan
from navi_core.contracts.transport import Address, Transport
from navi_core.errors import ConfigError, LifecycleError
from navi_core.hosted.control import ControlChannel
from navi_core.hosted.orders import ModelChange, Orders

__all__ = ["Launched"]

log = structlog.get_logger(__name__)

_ANSWER_SLACK_S: Final = 5.0
"""An application may answer so much later than the time it was given."""

_MIN_CLOSE_S: Final = 1.0
"""Servers get so long to send what was answered, also when a drain took all of its time."""

_PATIENCE_S: Final = 30.0
"""A start that takes longer is said to, again and again: a server that hangs would say nothing."""

_END_S: Final = 1.0
"""A process takes less to end once it has begun to."""


class Launched:
    """One foreign server with our application in it. Used on one event loop.

    Parameters
    ----------
    transport
        Of the hosting ``hosts_us``; only its ``launch`` is called.
    plan
        What the server is started with; what the application needs is added.
    orders
        For the application; the control channel is added.
    """

    def __init__(self, transport: Transport, plan: LaunchPlan, orders: Orders) -> None:
        self._transport: Final = transport
        self._plan: Final = plan
        self._orders: Final = orders
        self._server: ForeignServer | None = None
        self._control: ControlChannel | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said: Final[asyncio.Queue[dict[str, Any]]] = asyncio.Queue()
        self._asking: Final = asyncio.Lock()

    async def start(self) -> Sequence[Address]:
        """Start the server and, in it, the application; returns the addresses once both have.

        Raises
        ------
        ConfigError, NaviError
            Either cannot start; nothing is left.
        """
        ours, theirs = socket.socketpair()
        with theirs:  # open here until the server's process has its own
            orders = msgspec.structs.replace(self._orders, control_fd=theirs.fileno())
            plan = replace(
                self._plan,
                environ={**self._plan.environ, **orders.variables()},
                pass_fds=(*self._plan.pass_fds, theirs.fileno()),
            )
            self._server = server = self._transport.launch(plan)
            self._control = control = await ControlChannel.over(ours)
            self._reading = asyncio.create_task(self._read(control))
            starting = asyncio.create_task(server.start())
            started = asyncio.create_task(self._started())
            try:
                await _both(starting, started)
                if started.done():
                    await (
                        started
                    )  # what the application says about a failure comes before what its server says
                addresses = await starting
                await started
            except BaseException:
                for task in (starting, started):
                    task.cancel()
                await asyncio.gather(starting, started, return_exceptions=True)
                await self.stop()
                raise
        return addresses

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send the application a message and return its answer.

        Raises
        ------
        LifecycleError
            It has gone, or it failed.
        """
        if self._control is None:
            raise LifecycleError("the foreign server does not run")
        async with self._asking:  # answers have no number
            await self._control.send(**message)
            answer = await self._said.get()
        if answer["event"] in ("error", "gone"):
            raise LifecycleError(f"the application inside the foreign server {answer['message']}")
        return answer

    async def reload_models(self, before: Sequence[ModelConfig], after: Sequence[ModelConfig]) -> bool:
        """Have the application serve other models; it tells in the log whether it does, once it knows."""
        # by a file, beside that of the whole configuration: there may be more models than a message holds
        file = Path(self._orders.config_path).with_name("models.json")
        file.write_bytes(msgspec.json.encode(ModelChange(before=tuple(before), after=tuple(after))))
        try:
            await self.ask(do="reload", path=str(file))
        except LifecycleError as error:
            log.error("config_refused", error=error.message)  # noqa: TRY400 - the text says it all
            return False
        return True

    async def drain(self, timeout_s: float) -> None:
        """Have the application refuse new work and finish what it has, then the server close its connections.

        Returns when both have, or when time is up.
        """
        end_s = asyncio.get_running_loop().time() + timeout_s
        server = self._server
        if server is None:
            return
        with suppress(LifecycleError, TimeoutError):
            async with asyncio.timeout(timeout_s + _ANSWER_SLACK_S):
                # first the server, so that every refusal ends its connection
                await server.begin_drain()
                left_s = max(end_s - asyncio.get_running_loop().time(), 0.0)
                await self.ask(do="drain", timeout_s=left_s)
        left_s = end_s - asyncio.get_running_loop().time()
        await server.drain(max(left_s, _MIN_CLOSE_S))

    async def stop(self) -> None:
        """End the server. Idempotent."""
        if self._server is not None:
            await self._server.stop()
        if self._reading is not None:
            self._reading.cancel()
        if self._control is not None:
            await self._control.close()

    async def wait(self) -> str:
        """Wait until the server or the application has gone, and return which and how."""
        if self._server is None or self._reading is None:
            return "the foreign server was not started"
        server = asyncio.create_task(self._server.wait())
        try:
            await asyncio.wait({server, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            # the end of the process ends the channel, too, a moment before
            await asyncio.wait({server}, timeout=_END_S)
            return server.result() if server.done() else "the application inside the foreign server has gone"
        finally:
            server.cancel()

    async def _read(self, control: ControlChannel) -> None:
        while (message := await control.receive()) is not None:
            self._said.put_nowait(message)
        self._said.put_nowait({"event": "gone", "message": "has gone"})

    async def _started(self) -> None:
        said = await self._said.get()
        if said["event"] == "failed":
            raise (ConfigError if said["is_usage"] else LifecycleError)(said["message"])
        if said["event"] == "gone":
            await asyncio.sleep(_END_S)  # its server knows more, and says it in that time
            raise LifecycleError("the application inside the foreign server ended while it started")


async def _both(server: asyncio.Task[Sequence[Address]], application: asyncio.Task[None]) -> None:
    """Wait until the server and the application have started, or one of them cannot."""
    begun_s = asyncio.get_running_loop().time()
    while True:
        ended, waiting = await asyncio.wait(
            {server, application}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_EXCEPTION
        )
        if not waiting or any(task.cancelled() or task.exception() is not None for task in ended):
            return
        log.warning(
            "start_takes_long",
            seconds=round(asyncio.get_running_loop().time() - begun_s, 1),
            waits_for="application" if application in waiting else "server",
        )
