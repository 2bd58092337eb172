"""The transports of one host: started from the configuration, drained and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from navi_core.config.convert import convert_options
from navi_core.config.records import HostConfig, TlsSettings, TransportSettings
from navi_core.contracts.transport import Address, BodyBudget, Router, TlsFiles, Transport, TransportOptions
from navi_core.errors import ConfigError, PluginNotFoundError
from navi_core.plugins.registry import Registry

__all__ = ["METRICS_LISTENER", "Listeners"]

log = structlog.get_logger(__name__)

METRICS_LISTENER = "metrics"
"""The name under which the metrics page's own listener shows its address."""


class Listeners:
    """Every open listener of one host.

    Parameters
    ----------
    registry
        Installed transports.
    config
        Which to start, and how.
    budget
        The budget of body bytes that they share.
    now
        The monotonic clock, in seconds.
    hosted_by
        The transport whose server hosts this process; None: there is no such server.
    reuse_port
        Other processes listen on the same ports.
    """

    def __init__(
        self,
        registry: Registry,
        config: HostConfig,
        *,
        budget: BodyBudget,
        now: Callable[[], float],
        hosted_by: Transport | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._hosted_by = hosted_by
        self._reuse_port = reuse_port
        self._registry = registry
        self._config = config
        self._budget = budget
        self._now = now
        self._started: list[Transport] = []
        self._addresses: dict[str, tuple[Address, ...]] = {}

    @property
    def addresses(self) -> Mapping[str, Sequence[Address]]:
        """Transport name -> where it listens."""
        return self._addresses

    async def start(self, router: Router) -> None:
        """Start every configured transport; if one cannot start, none stays open.

        Raises
        ------
        ConfigError
            An address or a TLS file cannot be used, or the transport does not run inside a host.
        PluginError
            A transport is not installed.
        """
        try:
            for name, settings in self._config.transports.items():
                await self._open(name, self._transport(name), router, settings)
        except BaseException:
            await self.stop()
            raise

    async def start_metrics(self, router: Router, port: int) -> None:
        """Open a listener of its own for the metrics page."""
        try:
            await self._open(METRICS_LISTENER, self._http_transport()(), router, TransportSettings(port=port))
        except BaseException:
            await self.stop()
            raise

    def _transport(self, name: str) -> Transport:
        hosted_by = self._hosted_by
        if hosted_by is not None and hosted_by.name == name:
            return hosted_by
        kind = self._registry.transport(name)
        if kind.hosting != "in_host":
            msg = f"transport '{name}' hosts navi itself: start it with 'navi-host serve --transport {name}'"
            raise ConfigError(msg, path=f"transports.{name}")
        return kind()

    def _http_transport(self) -> type[Transport]:
        for kind in self._registry.transports().values():
            if kind.hosting == "in_host" and "http" in kind.carries:
                return kind
        msg = "no installed transport carries HTTP, which prometheus_port needs"
        raise PluginNotFoundError(msg)

    async def _open(
        self, name: str, transport: Transport, router: Router, settings: TransportSettings
    ) -> None:
        config = self._config
        options = TransportOptions(
            host=settings.host or config.host,
            port=transport.default_port if settings.port is None else settings.port,
            max_message_bytes=config.max_message_bytes,
            max_inflated_bytes=config.max_message_bytes,
            budget=self._budget,
            tls=_tls(settings.tls),
            reuse_port=self._reuse_port,
            options=convert_options(transport.options_type, settings.options, f"transports.{name}.options"),
            now=self._now,
        )
        addresses = tuple(await transport.start(router, options))
        self._started.append(transport)
        self._addresses[name] = addresses
        if addresses:  # none: the server that hosts us listens
            log.info("listening", transport=name, addresses=[str(address) for address in addresses])

    async def drain(self, timeout_s: float) -> None:
        """Finish running calls everywhere, within the time."""
        await asyncio.gather(*(transport.drain(timeout_s) for transport in self._started))

    async def stop(self) -> None:
        """Close everything."""
        started, self._started = self._started, []
        await asyncio.gather(*(transport.stop() for transport in started))
        self._addresses.clear()


def _tls(settings: TlsSettings | None) -> TlsFiles | None:
    if settings is None:
        return None
    return TlsFiles(
        key=Path(settings.key),
        certificate=Path(settings.certificate),
        chain=Path(settings.chain) if settings.chain else None,
        client_ca=tuple(Path(path) for path in settings.client_ca),
    )
