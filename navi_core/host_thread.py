"""BlockingHost: a host on a loop thread of its own, for programs that have no event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from navi_core.contracts.transport import Address
from navi_core.errors import LifecycleError
from navi_core.event_loops import loop_factory
from navi_core.types import Array

if TYPE_CHECKING:
    from navi_core.host import Host

__all__ = ["BlockingHost"]

T = TypeVar("T")


class BlockingHost:
    """A running host whose methods any thread may call. Made by ``with Host(config) as host``.

    Parameters
    ----------
    host
        The host that it runs.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def predict(self, model: str, inputs: Mapping[str, Any], **options: Any) -> dict[str, Array]:
        """Run one request and wait for its answer; takes what :meth:`navi_core.Host.predict` takes."""
        return self._call(self._host.predict(model, inputs, **options))

    def models(self) -> Sequence[str]:
        """Return the names of all models."""
        return self._host.models()

    @property
    def addresses(self) -> Mapping[str, Sequence[Address]]:
        """Transport name -> where it listens."""
        return self._host.addresses

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop = loop_factory()()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="navi-host", daemon=True)
        self._thread.start()
        ready.wait()
        try:
            self._call(self._host.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call(self._host.stop())
        finally:
            self._end()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is None or not loop.is_running():
            work.close()
            msg = "the host is not running: use it inside 'with'"
            raise LifecycleError(msg)
        if threading.current_thread() is self._thread:
            work.close()
            msg = "a blocking call from the host's own loop thread would never end"
            raise LifecycleError(msg)
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def _run(self, ready: threading.Event) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101 - set before the thread is started
        asyncio.set_event_loop(loop)
        loop.call_soon(ready.set)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _end(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
