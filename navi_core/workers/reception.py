"""Reception: the socket where workers come in, and who of them is let in."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from pathlib import Path

from navi_core.workers.channel import Channel
from navi_core.workers.frames import parse_from_worker
from navi_core.workers.members import Member
from navi_core.workers.protocol import FromWorker, Hello

__all__ = ["Reception", "Receptionist"]


class Receptionist(ABC):
    """Whom workers are brought to."""

    @abstractmethod
    def take(self, channel: Channel, hello: Hello) -> Member | None:
        """Take a worker that has connected; None: it is not let in."""

    @abstractmethod
    def came(self, member: Member) -> None:
        """Begin to tell a worker what to serve."""

    @abstractmethod
    def said(self, member: Member, message: FromWorker) -> None:
        """Take a worker's message."""

    @abstractmethod
    def left(self, member: Member, channel: Channel) -> None:
        """Take that a worker's connection has ended."""


class Reception:
    """Listens for workers. On one event loop.

    Parameters
    ----------
    receptionist
        Whom they are brought to.
    """

    def __init__(self, receptionist: Receptionist) -> None:
        self._receptionist = receptionist
        self._server: asyncio.Server | None = None

    async def open(self, path: Path) -> None:
        """Listen on a Unix socket; raises OSError."""
        self._server = await asyncio.get_running_loop().create_unix_server(self._connected, str(path))

    def close(self) -> None:
        """Let nobody in any more."""
        if self._server is not None:
            self._server.close()

    def _connected(self) -> Channel:
        guest = _Guest(self._receptionist)
        guest.channel = Channel(guest.received, guest.ended)
        return guest.channel


class _Guest:
    """One connection: a worker, once it has said hello."""

    def __init__(self, receptionist: Receptionist) -> None:
        self._receptionist = receptionist
        self._member: Member | None = None
        self.channel: Channel | None = None

    def received(self, body: bytes) -> None:
        channel, message = self.channel, parse_from_worker(body)
        if channel is None:
            return
        if self._member is not None:
            self._receptionist.said(self._member, message)
        elif isinstance(message, Hello) and (member := self._receptionist.take(channel, message)) is not None:
            self._member = member
            self._receptionist.came(member)
        else:
            channel.close()

    def ended(self) -> None:
        if self._member is not None and self.channel is not None:
            self._receptionist.left(self._member, self.channel)
