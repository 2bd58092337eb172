"""A foreign server's receive and send, with what they do differently made alike.

``receive`` may wait for a disconnect, as the specification of ASGI has it, or it may return empty
``http.request`` events at once for as long as the client is there (Envoy's Python module does). So it
is never waited on to learn about a disconnect, only asked from time to time. Servers also differ in
whether they cancel the application when the client goes, and in what ``send`` raises afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

from navi_core.transports.asgi.disconnects import DisconnectWatch
from navi_core.transports.in_flight import Ending, RunningCall

__all__ = ["Channel", "ClientGoneError", "Receive", "Scope", "Send"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = logging.getLogger(__name__)


class ClientGoneError(Exception):
    """The client has gone: nothing can be read or written any more."""


class Channel:
    """One request's way in and out.

    Parameters
    ----------
    receive, send
        As the server gave them.
    watch
        Says when to begin to look for a disconnect, and how often.

    Attributes
    ----------
    receive
        As the server gave it; what it returns goes to :meth:`take`.
    body_ended
        The client has sent all, or is gone.
    has_started
        The head of an answer was written.
    """

    __slots__ = (
        "_is_watched",
        "_running",
        "_send",
        "_watch",
        "_watcher",
        "body_ended",
        "has_started",
        "receive",
    )

    def __init__(self, receive: Receive, send: Send, watch: DisconnectWatch) -> None:
        self.receive: Final = receive
        self._send: Final = send
        self._watch: Final = watch
        self._is_watched = False
        self._watcher: asyncio.Task[None] | None = None
        self._running: RunningCall | None = None
        self.body_ended = False
        self.has_started = False

    async def next_piece(self) -> bytes:
        """Return the next bytes of the body; none once :attr:`body_ended`, or from an empty event.

        Raises
        ------
        ClientGoneError
            The client went away during the upload.
        """
        return b"" if self.body_ended else self.take(await self.receive())

    def take(self, event: MutableMapping[str, Any]) -> bytes:
        """Return the bytes of an event of the body; for the first one, which is almost always the last.

        Raises
        ------
        ClientGoneError
            The client went away during the upload.
        """
        if event["type"] != "http.request":
            self.body_ended = True
            raise ClientGoneError
        if not event.get("more_body", False):
            self.body_ended = True
            if self._running is not None:
                self._await_disconnect()
        piece: bytes = event.get("body", b"")
        return piece

    async def answer(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        trailers: Sequence[tuple[bytes, bytes]] | None = None,
    ) -> None:
        """Write a whole answer.

        Raises
        ------
        ClientGoneError
            It cannot be written.
        """
        event: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
        self.has_started = True
        send = self._send
        try:
            if trailers is None:
                await send(event)
                await send({"type": "http.response.body", "body": body, "more_body": False})
                return
            event["trailers"] = True
            await send(event)
            await send({"type": "http.response.body", "body": body, "more_body": False})
            await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})
        except Exception as error:
            raise _gone("answer", error) from error

    async def start(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], *, trailers: bool = False
    ) -> None:
        """Write the head of an answer.

        Raises
        ------
        ClientGoneError
            It cannot be written.
        """
        event: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": list(headers)}
        if trailers:
            event["trailers"] = True
        self.has_started = True
        await self._write(event)

    async def body(self, data: bytes, *, more: bool) -> None:
        """Write bytes of the body.

        Raises
        ------
        ClientGoneError
            They cannot be written.
        """
        await self._write({"type": "http.response.body", "body": data, "more_body": more})

    async def trailers(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Write trailers, after the body.

        Raises
        ------
        ClientGoneError
            They cannot be written.
        """
        await self._write(
            {"type": "http.response.trailers", "headers": list(headers), "more_trailers": False}
        )

    async def _write(self, event: dict[str, Any]) -> None:
        try:
            await self._send(event)
        except Exception as error:
            raise _gone(event["type"], error) from error

    # --- the client's going --------------------------------------------------------------------

    def interrupt_when_gone(self, running: RunningCall) -> None:
        """Interrupt a call when its client goes; asked for the first time after a poll interval or two."""
        self._running = running
        if self.body_ended:
            self._await_disconnect()

    def close(self) -> None:
        """Watch no longer."""
        self._running = None
        if self._is_watched:
            self._is_watched = False
            self._watch.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()

    def _await_disconnect(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            self._watch.add(self)

    def begin_to_look(self) -> None:
        """Look for a disconnect from now on; the watch calls it."""
        self._watcher = asyncio.get_running_loop().create_task(self._poll())

    async def _poll(self) -> None:
        while True:
            try:
                event = await self.receive()
            except Exception as error:
                _log.debug("receive failed: %r", error)
                event = {"type": "http.disconnect"}
            if event["type"] == "http.disconnect":
                if self._running is not None:
                    self._running.interrupt(Ending.CLIENT_GONE)
                return
            await asyncio.sleep(self._watch.interval_s)


def _gone(what: str, error: Exception) -> ClientGoneError:
    """Take any exception of ``send``: each server has one of its own for this, in no common module."""
    _log.debug("%s could not be written: %r", what, error)
    return ClientGoneError()
