"""ForeignHarness: a transport of the hosting ``hosts_us`` at work, in the server that it launches.

Starting a server takes a while, so one serves all cases of a test class until one drains it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from navi_core.contracts.foreign import LaunchPlan
from navi_core.contracts.transport import Address, TlsFiles, Transport
from navi_core.hosted.launcher import Launched
from navi_core.hosted.orders import Orders
from navi_core.testing.http_client import AiohttpClient, HttpClient
from navi_core.testing.rpc_client import GrpcioClient, RpcClient
from navi_core.testing.transport_harness import HarnessSettings, TransportHarness

__all__ = ["ForeignHarness", "LaunchedProbe"]

_APP: Final = "navi_core.testing.foreign_app:app"
_T = TypeVar("_T")


class LaunchedProbe:
    """A foreign server with the probe service in it, watched from a thread of its own.

    Each case of the suite has an event loop of its own, and the server outlives it.

    Parameters
    ----------
    transport_type
        The transport, importable by its module and name.
    own
        An instance of its ``options_type``, or None.
    tls
        The listener's files; None: plain text.

    Attributes
    ----------
    addresses
        Where the server listens.
    """

    def __init__(
        self, transport_type: type[Transport], own: msgspec.Struct | None = None, tls: TlsFiles | None = None
    ) -> None:
        extra = {"transport": f"{transport_type.__module__}:{transport_type.__qualname__}"}
        if own is not None:
            extra["options"] = msgspec.json.encode(own).decode()
        plan = LaunchPlan(app=_APP, tls=tls, options=own)
        self._launched: Final = Launched(transport_type(), plan, Orders(control_fd=-1, extra=extra))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: Final[Future[None]] = Future()
        self._thread: Final = threading.Thread(target=self._run, name="foreign-harness", daemon=True)
        self.addresses: Sequence[Address] = ()
        self.is_drained = False

    async def start(self) -> None:
        """Start the server."""
        self._thread.start()
        await asyncio.wrap_future(self._ready)
        self.addresses = await self._on_loop(self._launched.start())

    async def bind(self, settings: HarnessSettings) -> None:
        """Have the transport start anew, with these settings."""
        await self._on_loop(self._launched.ask(do="bind", settings=msgspec.to_builtins(settings)))

    async def drain(self, timeout_s: float) -> None:
        """Refuse inference, and drain the transport and its server."""
        self.is_drained = True
        await self._on_loop(self._launched.drain(timeout_s))

    async def stop_transport(self) -> None:
        """Stop the transport; the server runs on."""
        await self._on_loop(self._launched.ask(do="stop"))

    def close(self) -> None:
        """End the server and the thread."""
        loop = self._loop
        if loop is None or not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._launched.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()

    async def _on_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        assert self._loop is not None  # noqa: S101 - the thread has started
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = loop = runner.get_loop()
            loop.call_soon(self._ready.set_result, None)
            loop.run_forever()


class ForeignHarness(TransportHarness):
    """One case in a server that other cases use, too.

    Parameters
    ----------
    transport_type, own
        See :class:`LaunchedProbe`.
    settings
        The case's settings.
    """

    _running: ClassVar[dict[tuple[type[Transport], object], LaunchedProbe]] = {}

    def __init__(
        self, transport_type: type[Transport], settings: HarnessSettings, *, own: msgspec.Struct | None = None
    ) -> None:
        super().__init__(settings)
        self._transport_type = transport_type
        self._own = own
        self._key = (transport_type, None if own is None else msgspec.json.encode(own))
        self._probe: LaunchedProbe | None = None

    @classmethod
    def close_all(cls) -> None:
        """End every server."""
        while cls._running:
            cls._running.popitem()[1].close()

    async def start(self) -> None:
        """Bind a server that runs, or start one."""
        probe = self._running.get(self._key)
        if probe is None:
            probe = LaunchedProbe(self._transport_type, self._own)
            await probe.start()
            self._running[self._key] = probe
        self._probe = probe
        await probe.bind(self.settings)

    async def drain(self, timeout_s: float) -> None:
        """Refuse inference, and drain the transport and its server."""
        await self._used.drain(timeout_s)

    async def stop(self) -> None:
        """Stop the transport; a server that was drained ends."""
        probe = self._used
        if self._running.get(self._key) is not probe:
            return
        await probe.stop_transport()
        if probe.is_drained:
            del self._running[self._key]
            await asyncio.to_thread(probe.close)

    def rpc_client(self) -> RpcClient:
        """Return a client of the first address of scheme ``grpc``."""
        address = self._address("grpc")
        return GrpcioClient(f"{address.host}:{address.port}")

    def http_client(self) -> HttpClient:
        """Return a client of the first address of scheme ``http``."""
        return AiohttpClient(str(self._address("http")))

    @property
    def _used(self) -> LaunchedProbe:
        if self._probe is None:
            msg = "the harness was not started"
            raise RuntimeError(msg)
        return self._probe

    def _address(self, scheme: str) -> Address:
        addresses = self._used.addresses
        for address in addresses:
            if address.scheme == scheme:
                return address
        raise LookupError(f"the transport listens on no {scheme} address: {list(map(str, addresses))}")
