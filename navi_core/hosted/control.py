"""ControlChannel: what the launcher and the application inside the foreign server tell each other.

One JSON object a line, over a pair of connected sockets of which the server's process inherits one. Its other use
is the end of it: whoever is left learns that the other side has gone.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any, Final

__all__ = ["ControlChannel"]

_MAX_LINE_BYTES: Final = 1 << 20


class ControlChannel:
    """One side of the pair.

    Parameters
    ----------
    reader, writer
        The socket's streams.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> ControlChannel:
        """Take a connected socket over."""
        sock.setblocking(False)
        return cls(*await asyncio.open_connection(sock=sock, limit=_MAX_LINE_BYTES))

    async def send(self, **message: Any) -> None:
        """Send a message; nobody is there any more: nothing happens."""
        with suppress(OSError):
            self._writer.write(json.dumps(message).encode() + b"\n")
            await self._writer.drain()

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message; None: the other side has gone."""
        try:
            line = await self._reader.readline()
            message: dict[str, Any] = json.loads(line)
        except (OSError, ValueError):  # also what is half a message, or none
            return None
        return message

    async def close(self) -> None:
        """Close this side. Idempotent."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
