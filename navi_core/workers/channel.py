"""One end of the socket between the parent and a worker: messages out, messages in, and the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

import structlog

from navi_core.workers.frames import MAX_MESSAGE_BYTES, Frames, ProtocolError, frame
from navi_core.workers.protocol import FromParent, FromWorker

__all__ = ["Channel"]

log = structlog.get_logger(__name__)

_MAX_UNREAD_BYTES: Final = 2 * MAX_MESSAGE_BYTES
"""A peer that reads nothing while so much waits for it is lost."""


class Channel(asyncio.Protocol):
    """Sends and takes messages on one loop.

    Parameters
    ----------
    on_message
        Called with every body that came.
    on_end
        Called once, when the other end has gone.
    """

    def __init__(self, on_message: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_message: Final = on_message
        self._on_end: Final = on_end
        self._frames: Final = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called by the loop."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, too, and of another class

    def data_received(self, data: bytes) -> None:
        """Take bytes; called by the loop."""
        try:
            for body in self._frames.feed(data):
                self._on_message(body)
        except ProtocolError as error:
            log.error("worker_channel_broken", error=error.message)  # noqa: TRY400 - the text says it all
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; called by the loop."""
        del exc  # however it ended, nobody is there
        self._transport = None
        self._on_end()

    def send(self, message: FromParent | FromWorker) -> None:
        """Send a message; nothing happens where nobody is there any more.

        Raises
        ------
        ProtocolError
            It is too large.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(frame(message))
        if transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            transport.abort()

    def close(self) -> None:
        """Close this end, once what was sent is written."""
        if self._transport is not None:
            self._transport.close()
