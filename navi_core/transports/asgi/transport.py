"""AsgiTransport: the transport of a foreign server that imports us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Literal

from navi_core.contracts.transport import Address, Router, Transport, TransportOptions
from navi_core.transports.asgi.app import AsgiApp
from navi_core.transports.asgi.options import AsgiOptions
from navi_core.transports.asgi.skin import Skin

__all__ = ["AsgiTransport"]


class AsgiTransport(Transport):
    """Carries RPCs and HTTP through :attr:`app`, for a server that speaks ASGI.

    A transport that launches such a server derives from it. The server listens, so there are no
    addresses to return, and the server has to stop to accept before the host drains. All methods run on
    the server's event loop.

    Parameters
    ----------
    on_startup, on_shutdown
        See :class:`~navi_core.transports.asgi.app.AsgiApp`.
    """

    name: ClassVar[str] = "asgi"
    hosting: ClassVar[Literal["in_host", "hosts_us"]] = "hosts_us"
    carries: ClassVar[frozenset[Literal["rpc", "http"]]] = frozenset({"rpc", "http"})
    default_port: ClassVar[int] = 8500
    options_type = AsgiOptions

    def __init__(
        self,
        *,
        on_startup: Callable[[], Awaitable[None]] | None = None,
        on_shutdown: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.app = AsgiApp(self.name, on_startup=on_startup, on_shutdown=on_shutdown)
        self._skin: Skin | None = None

    async def start(self, router: Router, options: TransportOptions) -> Sequence[Address]:
        """Bind the application to a host; the server listens."""
        self._skin = self.app.bind(router, options)
        return ()

    async def drain(self, timeout_s: float) -> None:
        """Finish what runs; new requests are answered by the router's refusal."""
        if self._skin is not None:
            self._skin.is_draining = True
            await self._skin.calls.finish(timeout_s)

    async def stop(self) -> None:
        """End what is left: handlers are cancelled and their clients told ``draining``. Idempotent."""
        if self._skin is not None:
            self._skin.is_draining = True
            await self._skin.calls.abandon()
