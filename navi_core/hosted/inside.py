"""Inside: an application's life within a foreign server: its start-up, the control channel, its shut-down.

What it does for a living (a host, a test's service) is a :class:`Tenant`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import structlog

from navi_core.contracts.foreign import AsgiApplication
from navi_core.errors import ConfigError, NaviError, PluginNotFoundError
from navi_core.hosted.control import ControlChannel
from navi_core.hosted.orders import Orders, orders_from_environment

__all__ = ["InsideApp", "Tenant"]

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_Event: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Event]]
_Send: TypeAlias = Callable[[_Event], Awaitable[None]]

_KILL_WAIT_S: Final = 5.0
"""A launcher that was told of a failure ends the server within this time."""


class Tenant(ABC):
    """What lives inside."""

    @abstractmethod
    async def start(self) -> AsgiApplication:
        """Build everything; returns what answers requests.

        Raises
        ------
        NaviError
            It cannot start; the launcher is told.
        """

    @abstractmethod
    async def obey(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what the launcher says, and return what to answer."""

    @abstractmethod
    async def stop(self) -> None:
        """Close everything."""


class InsideApp:
    """The ASGI application that a foreign server imports.

    Some servers have an event loop for each of their listeners, in one interpreter, and a lifespan on each: the
    tenant lives on the first one, and what arrives on the others is carried there.

    Parameters
    ----------
    make_tenant
        Called once, when the server starts up.
    """

    def __init__(self, make_tenant: Callable[[Orders], Tenant]) -> None:
        self._make_tenant = make_tenant
        self._serve: AsgiApplication | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    _asgi_single_callable: ClassVar[bool] = True
    """Servers that cannot see a coroutine function here are told by this name (of asgiref) that ASGI 3 is meant."""

    def __call__(self, scope: _Event, receive: _Receive, send: _Send) -> Awaitable[None]:
        """Answer one scope, as ASGI has it.

        No coroutine function, so that the tenant's own is awaited by the server itself. A lifespan may be begun
        outside its loop.
        """
        serve = self._serve
        if scope["type"] != "lifespan" and serve is not None and self._loop is asyncio.get_running_loop():
            return serve(scope, receive, send)
        return self._other(scope, receive, send)

    async def _other(self, scope: _Event, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await (self._live(receive, send) if self._loop is None else _live_along(receive, send))
        elif self._serve is None or self._loop is None:
            raise NotImplementedError(f"ASGI scope: expected lifespan first, got {scope['type']!r}")
        else:
            work = _finished(self._serve, scope, _on_this_loop(receive), _on_this_loop(send))
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _live(self, receive: _Receive, send: _Send) -> None:
        await receive()
        self._loop = asyncio.get_running_loop()
        orders = orders_from_environment()
        os.set_inheritable(orders.control_fd, False)
        control = await ControlChannel.over(socket.socket(fileno=orders.control_fd))
        try:
            tenant = self._make_tenant(orders)
            self._serve = await tenant.start()
        except Exception as error:
            await _report(control, error)
            await control.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        listening = asyncio.get_running_loop().create_task(_obey(tenant, control))
        await control.send(event="started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        listening.cancel()
        await tenant.stop()
        await control.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _live_along(receive: _Receive, send: _Send) -> None:
    """Live on a further loop: there is nothing to start or to stop."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def _on_this_loop(function: Callable[..., Awaitable[_T]]) -> Callable[..., Awaitable[_T]]:
    """Return a function for another loop that runs ``function`` on the one which runs now."""
    loop = asyncio.get_running_loop()

    async def run(*arguments: Any) -> _T:
        async def called() -> _T:
            return await function(*arguments)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called(), loop))

    return run


async def _finished(serve: AsgiApplication, scope: _Event, receive: _Receive, send: _Send) -> None:
    await serve(scope, receive, send)


async def _report(control: ControlChannel, error: Exception) -> None:
    """Tell the launcher why; it ends the server, which would say the same less well."""
    if isinstance(error, NaviError):
        usage = isinstance(error, ConfigError | PluginNotFoundError)
        await control.send(event="failed", message=error.message, is_usage=usage)
    else:
        log.error("start_failed", exc_info=error)
        await control.send(event="failed", message=f"{type(error).__name__}: {error}", is_usage=False)
    await asyncio.sleep(_KILL_WAIT_S)


async def _obey(tenant: Tenant, control: ControlChannel) -> None:
    """Do what the launcher says; without it there is nobody who could end this server in order."""
    while (message := await control.receive()) is not None:
        try:
            answer = await tenant.obey(message)
        except Exception as error:
            log.exception("order_failed", order=message)
            answer = {"event": "error", "message": f"{type(error).__name__}: {error}"}
        await control.send(**answer)
    log.error("launcher_gone")
    os.kill(os.getpid(), signal.SIGTERM)
