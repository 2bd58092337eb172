"""AsgiDriver: a foreign server for tests. It owns a thread and an event loop, and drives an application.

There is no socket: requests are made of scopes and events. What servers do differently can be chosen,
so that an application is tried with the habits of each.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeAlias, TypeVar

__all__ = ["AsgiApplication", "AsgiDriver", "AsgiRequest", "ClientDisconnectedError"]

_T = TypeVar("_T")

Event: TypeAlias = MutableMapping[str, Any]
AsgiApplication: TypeAlias = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]],
    Awaitable[None],
]

_JOIN_TIMEOUT_S: Final = 60.0


class ClientDisconnectedError(Exception):
    """What ``send`` raises after the client went: a class that the application cannot know."""


class AsgiRequest:
    """One request that the application answers. Lives on the driver's loop; its answer is read anywhere.

    Parameters
    ----------
    waits_for_disconnect
        ``receive`` after the body waits for the client to go, as the specification has it; if not,
        it returns empty events at once, as Envoy's Python module does.
    """

    def __init__(self, scope: MutableMapping[str, Any], *, waits_for_disconnect: bool) -> None:
        self.scope = scope
        self._waits_for_disconnect = waits_for_disconnect
        self._pieces: list[bytes] = []
        self._ended = False
        self._disconnected = False
        self._changed = asyncio.Event()
        self._sent: deque[Event | None] = deque()
        self._lock = threading.Lock()
        self._reader: Future[Event | None] | None = None
        self.task: asyncio.Task[None] | None = None

    # --- the application's side ----------------------------------------------------------------

    async def receive(self) -> Event:
        """Return the next event, as a server does."""
        while True:
            if self._disconnected:
                return {"type": "http.disconnect"}
            if self._pieces:
                piece = self._pieces.pop(0)
                more = not self._ended or bool(self._pieces)
                return {"type": "http.request", "body": piece, "more_body": more}
            if self._ended and not self._waits_for_disconnect:
                return {"type": "http.request", "body": b"", "more_body": False}
            self._changed.clear()
            await self._changed.wait()

    async def send(self, event: Event) -> None:
        """Take an event of the answer."""
        if self._disconnected:
            raise ClientDisconnectedError
        self._hand_over(event)

    # --- the client's side -----------------------------------------------------------------------

    async def feed(self, data: bytes, *, more: bool) -> None:
        """Send bytes of the body."""
        if not self._ended:
            self._pieces.append(data)
            self._ended = not more
            self._changed.set()

    async def disconnect(self, *, cancels: bool) -> None:
        """Go away; some servers cancel the application's task then."""
        self._disconnected = True
        self._changed.set()
        self._hand_over(None)
        if cancels and self.task is not None:
            self.task.cancel()

    def end(self) -> None:
        """Say that the application has ended: no more events come."""
        self._hand_over(None)

    def next_event(self) -> Future[Event | None]:
        """Return the next event of the answer, from any thread; None: no more come, or the client left."""
        with self._lock:
            future: Future[Event | None] = Future()
            if self._sent:
                # the end stays, for whoever asks again
                future.set_result(self._sent[0] if self._sent[0] is None else self._sent.popleft())
            else:
                self._reader = future
            return future

    def _hand_over(self, event: Event | None) -> None:
        with self._lock:
            reader, self._reader = self._reader, None
            if reader is None or not reader.set_running_or_notify_cancel():
                self._sent.append(event)
                return
            if event is None:
                self._sent.append(event)
        reader.set_result(event)


class AsgiDriver:
    """The server's process, as a thread.

    Parameters
    ----------
    app
        The application.
    waits_for_disconnect
        See :class:`AsgiRequest`.
    cancels_on_disconnect
        The application's task is cancelled when its client goes.
    offers_trailers
        Requests say that the server sends trailers.
    """

    def __init__(
        self,
        app: AsgiApplication,
        *,
        waits_for_disconnect: bool = False,
        cancels_on_disconnect: bool = False,
        offers_trailers: bool = False,
    ) -> None:
        self._app = app
        self._waits_for_disconnect = waits_for_disconnect
        self._cancels_on_disconnect = cancels_on_disconnect
        self._extensions: dict[str, dict[str, Any]] = (
            {"http.response.trailers": {}} if offers_trailers else {}
        )
        self._thread = threading.Thread(target=self._run, name="asgi-driver", daemon=True)
        self._started: Future[None] = Future()
        self._shut_down: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failures: list[BaseException] = []

    # --- from other threads ---------------------------------------------------------------------

    async def start(self) -> None:
        """Start the thread and run the application's lifespan start-up.

        Raises
        ------
        RuntimeError
            The application refused to start; the text is its own.
        """
        self._thread.start()
        await asyncio.wrap_future(self._started)

    async def stop(self) -> None:
        """Run the application's lifespan shut-down and end the thread."""
        if self.loop is None or self._shut_down is None or not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self._shut_down.set)
        await asyncio.to_thread(self._thread.join, _JOIN_TIMEOUT_S)

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the driver's loop and return its result.

        Raises
        ------
        ConnectionResetError
            The driver does not run.
        """
        if self.loop is None or self.loop.is_closed():
            work.close()
            raise ConnectionResetError("the server does not run")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def request(self, scope: MutableMapping[str, Any]) -> AsgiRequest:
        """Hand a request to the application."""
        return await self.run(self._begin(scope))

    async def disconnect(self, request: AsgiRequest) -> None:
        """Have a request's client go away."""
        await self.run(request.disconnect(cancels=self._cancels_on_disconnect))

    # --- on the driver's thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)

    async def _live(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._shut_down = asyncio.Event()
        inbox: asyncio.Queue[Event] = asyncio.Queue()
        outbox: asyncio.Queue[Event] = asyncio.Queue()
        task = asyncio.ensure_future(self._app({"type": "lifespan"}, inbox.get, outbox.put))
        await inbox.put({"type": "lifespan.startup"})
        event = await outbox.get()
        if event["type"] != "lifespan.startup.complete":
            await task
            raise RuntimeError(f"{event['type']}: {event.get('message', '')}")
        self._started.set_result(None)
        await self._shut_down.wait()
        await inbox.put({"type": "lifespan.shutdown"})
        await outbox.get()
        await task

    async def _begin(self, scope: MutableMapping[str, Any]) -> AsgiRequest:
        scope = {**scope, "extensions": self._extensions}
        request = AsgiRequest(scope, waits_for_disconnect=self._waits_for_disconnect)
        request.task = asyncio.ensure_future(self._answer(request))
        return request

    async def _answer(self, request: AsgiRequest) -> None:
        try:
            await self._app(request.scope, request.receive, request.send)
        except Exception as error:
            self.failures.append(error)
        finally:
            request.end()


def header_list(pairs: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
