"""A transport at work, and clients of it: what the transport suite runs its cases in."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from navi_core.budget import MemoryBudget
from navi_core.contracts.transport import Address, TlsFiles, Transport, TransportOptions
from navi_core.routing import HostRouter
from navi_core.testing.http_client import AiohttpClient, HttpClient
from navi_core.testing.rpc_client import GrpcioClient, RpcClient
from navi_core.testing.transport_probe import ProbeService

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HarnessSettings", "SocketHarness", "TransportHarness"]

_MIB = 1 << 20


class HarnessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a case wants to be otherwise; a record, so that another process can be told.

    Attributes
    ----------
    max_message_bytes, max_inflated_bytes, max_inflate_ratio
        As in :class:`~navi_core.contracts.transport.TransportOptions`.
    budget_bytes
        The memory budget.
    """

    max_message_bytes: int = 100 * _MIB
    max_inflated_bytes: int = 100 * _MIB
    max_inflate_ratio: float = 200.0
    budget_bytes: int = 1024 * _MIB


class TransportHarness(ABC):
    """A running transport with the probe service behind it.

    Attributes
    ----------
    settings
        The case's settings.
    """

    def __init__(self, settings: HarnessSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def start(self) -> None:
        """Serve."""

    @abstractmethod
    async def drain(self, timeout_s: float) -> None:
        """Refuse inference, and drain the transport."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop the transport."""

    @abstractmethod
    def rpc_client(self) -> RpcClient:
        """Return a client with a connection of its own; whoever asks for it closes it."""

    @abstractmethod
    def http_client(self) -> HttpClient:
        """Return a client with connections of its own; whoever asks for it closes it."""


class SocketHarness(TransportHarness):
    """A transport that listens on a free port of this process's loopback.

    Parameters
    ----------
    transport
        Not started yet.
    settings
        The case's settings.
    own
        An instance of the transport's ``options_type``, or None.
    tls
        The listener's files; None: plain text.
    """

    def __init__(
        self,
        transport: Transport,
        settings: HarnessSettings,
        *,
        own: msgspec.Struct | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        super().__init__(settings)
        self.transport = transport
        self.addresses: Sequence[Address] = ()
        self._budget = MemoryBudget(settings.budget_bytes)
        probe = ProbeService(time.monotonic, lambda: self._budget.in_use_bytes, transport.rpc_protocol)
        self._router = HostRouter([probe])
        self._options = TransportOptions(
            port=0,
            max_message_bytes=settings.max_message_bytes,
            max_inflated_bytes=settings.max_inflated_bytes,
            max_inflate_ratio=settings.max_inflate_ratio,
            budget=self._budget,
            tls=tls,
            options=own,
            now=time.monotonic,
        )

    async def start(self) -> None:
        """Listen."""
        self.addresses = await self.transport.start(self._router, self._options)

    async def drain(self, timeout_s: float) -> None:
        """Refuse inference, and drain the transport."""
        self._router.begin_drain()
        await self.transport.drain(timeout_s)

    async def stop(self) -> None:
        """Stop the transport."""
        await self.transport.stop()

    def rpc_client(self) -> RpcClient:
        """Return a client of the first address of scheme ``grpc``."""
        address = self._address("grpc")
        return GrpcioClient(f"{address.host}:{address.port}")

    def http_client(self) -> HttpClient:
        """Return a client of the first address of scheme ``http``."""
        return AiohttpClient(str(self._address("http")))

    def _address(self, scheme: str) -> Address:
        for address in self.addresses:
            if address.scheme == scheme:
                return address
        raise LookupError(f"the transport listens on no {scheme} address: {list(map(str, self.addresses))}")
