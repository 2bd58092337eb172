"""The application that the transport suite has a foreign server import: a transport with the probe service behind it.

It is bound anew for each case, as the launcher says, so that a server serves many cases.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import msgspec

from navi_core.budget import MemoryBudget
from navi_core.contracts.foreign import AsgiApplication, AsgiHosting
from navi_core.contracts.transport import Transport, TransportOptions
from navi_core.errors import PluginError
from navi_core.hosted.inside import InsideApp, Tenant
from navi_core.hosted.orders import Orders
from navi_core.routing import HostRouter
from navi_core.testing.transport_harness import HarnessSettings
from navi_core.testing.transport_probe import ProbeService

__all__ = ["app"]


class _ProbeTenant(Tenant):
    def __init__(self, orders: Orders) -> None:
        module, _, name = orders.extra["transport"].partition(":")
        kind: type[Transport] = getattr(importlib.import_module(module), name)
        self._transport = kind()
        own = orders.extra.get("options")
        self._own = (
            None
            if own is None or kind.options_type is None
            else msgspec.json.decode(own, type=kind.options_type)
        )
        self._router: HostRouter | None = None

    async def start(self) -> AsgiApplication:
        if not isinstance(self._transport, AsgiHosting):
            raise PluginError(f"transport '{self._transport.name}': expected an application 'app', got none")
        return self._transport.app

    async def obey(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["do"]:
            case "bind":
                await self._bind(msgspec.convert(message["settings"], HarnessSettings))
            case "drain":
                if self._router is not None:
                    self._router.begin_drain()
                await self._transport.drain(message["timeout_s"])
            case "stop":
                await self._transport.stop()
            case other:
                raise ValueError(f"order: expected bind, drain or stop, got {other!r}")
        return {"event": "done"}

    async def stop(self) -> None:
        await self._transport.stop()

    async def _bind(self, settings: HarnessSettings) -> None:
        await self._transport.stop()
        budget = MemoryBudget(settings.budget_bytes)
        self._router = HostRouter([ProbeService(time.monotonic, lambda: budget.in_use_bytes)])
        options = TransportOptions(
            max_message_bytes=settings.max_message_bytes,
            max_inflated_bytes=settings.max_inflated_bytes,
            max_inflate_ratio=settings.max_inflate_ratio,
            budget=budget,
            options=self._own,
            now=time.monotonic,
        )
        await self._transport.start(self._router, options)


app = InsideApp(_ProbeTenant)
