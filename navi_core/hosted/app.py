"""The application that ``navi-host serve`` has a foreign server import: ``navi_core.hosted.app:app``.

The server's start-up builds the host; the port opens at once, models load afterwards.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from navi_core.logs_without_rich import configure_logging  # before anything that imports structlog

# isort: split
import msgspec
import structlog

from navi_core.config.load import load_config
from navi_core.contracts.foreign import AsgiApplication, AsgiHosting
from navi_core.errors import NaviError, PluginError
from navi_core.hosted.inside import InsideApp, Tenant
from navi_core.hosted.orders import ModelChange, Orders
from navi_core.model_reload import reload_models
from navi_core.start_collection import collect_as_usual, collect_rarely
from navi_core.workers.seat import seat_from_environment

__all__ = ["app"]

log = structlog.get_logger(__name__)


class _HostTenant(Tenant):
    """A host from a configuration file."""

    def __init__(self, orders: Orders) -> None:
        collect_rarely()
        seat = seat_from_environment()
        index = None if seat is None else seat.index
        configure_logging(level=orders.log_level, log_format=orders.log_format, worker=index)
        # the host's imports (services, batching, frameworks' plugins) belong to the start-up, not to the import
        from navi_core.host import Host  # noqa: PLC0415 - see above
        from navi_core.plugins.discovery import discover  # noqa: PLC0415 - see above
        from navi_core.plugins.registry import Registry  # noqa: PLC0415 - see above

        registry = Registry(discover())
        self._transport = registry.transport(orders.transport)()
        self._host = Host(
            load_config(orders.config_path), registry=registry, hosted_by=self._transport, seat=seat
        )
        self._readiness: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    async def start(self) -> AsgiApplication:
        transport = self._transport
        if not isinstance(transport, AsgiHosting):
            raise PluginError(f"transport '{transport.name}': expected an ASGI application 'app', got none")
        await self._host.start()
        self._readiness = asyncio.get_running_loop().create_task(self._note_readiness())
        return transport.app

    async def obey(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["do"] == "reload":
            content = await asyncio.to_thread(Path(message["path"]).read_bytes)
            change = msgspec.json.decode(content, type=ModelChange)
            # loading takes its time, and the next order may be the end
            task = asyncio.get_running_loop().create_task(self._reload(change))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)
            return {"event": "reloading"}
        await self._host.drain(float(message["timeout_s"]))
        return {"event": "drained"}

    async def _reload(self, change: ModelChange) -> None:
        async with self._reloading:
            await reload_models(self._host, change.before, change.after)

    async def stop(self) -> None:
        for task in self._reloads:
            task.cancel()
        if self._readiness is not None:
            self._readiness.cancel()
        await self._host.stop(0.0)  # it was drained before

    async def _note_readiness(self) -> None:
        try:
            await self._host.wait_ready()
        except NaviError as error:
            log.error("not_ready", error=error.message)  # noqa: TRY400 - the text says it all
        else:
            log.info("ready")
        finally:
            collect_as_usual()


app = InsideApp(_HostTenant)
