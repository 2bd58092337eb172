"""How the transport suite speaks as an HTTP client; and that client over aiohttp."""

from __future__ import annotations

import asyncio
import io
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["AiohttpClient", "HttpClient", "HttpReply"]

_CLOSE_POLL_S: Final = 0.005
_CLOSE_LIMIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer, not inflated.

    Parameters
    ----------
    status
        The status code.
    headers
        Names in lower case.
    body
        As it was on the wire.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient(ABC):
    """A client of one server."""

    @abstractmethod
    async def request(
        self,
        verb: str,
        target: str,
        *,
        body: bytes | Sequence[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Send a request whose target is on the wire as it is here.

        Cancelling it closes the connection. A sequence of pieces is sent without a length.

        Raises
        ------
        ConnectionRefusedError
            The server takes no connection: the request was not begun.
        ConnectionError
            The server closed the connection before the answer was complete.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""


class AiohttpClient(HttpClient):
    """A session of its own to a real server.

    Parameters
    ----------
    origin
        ``http://host:port``.
    connector
        aiohttp's connector, whose sockets are its own; None: TCP.
    """

    def __init__(self, origin: str, connector: Any = None) -> None:
        import aiohttp  # noqa: PLC0415 - the suite is imported by plugins that have nothing to do with HTTP

        self._aiohttp = aiohttp
        self._origin = origin
        self._sockets: list[socket.socket] = []
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=connector or aiohttp.TCPConnector(limit=0, socket_factory=self._socket),
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
        )

    async def request(
        self,
        verb: str,
        target: str,
        *,
        body: bytes | Sequence[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Send a request; see the base class."""
        from yarl import URL  # noqa: PLC0415 - as above

        data = io.BytesIO(body) if isinstance(body, bytes) else _pieces(body)
        try:
            async with self._session.request(
                verb,
                URL(self._origin + target, encoded=True),
                data=data if body else None,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
                names = {name.lower(): value for name, value in answer.headers.items()}
                return HttpReply(answer.status, names, content)
        except self._aiohttp.ClientConnectorError as error:
            raise ConnectionRefusedError(str(error)) from error
        except (self._aiohttp.ClientConnectionError, self._aiohttp.ClientPayloadError) as error:
            raise ConnectionError(str(error)) from error

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        self._sockets = [*self._open_sockets(), made]
        return made

    def _open_sockets(self) -> list[socket.socket]:
        return [held for held in self._sockets if held.fileno() >= 0]

    async def close(self) -> None:
        """Close all connections, also those with bytes that the server never took.

        asyncio keeps a closing connection open until its bytes are written, and aiohttp's session no longer knows
        one whose request is over: a loop that ends before would leave the socket to the garbage collector.
        """
        async with asyncio.timeout(_CLOSE_LIMIT_S):
            await self._session.close()
            await asyncio.sleep(0)  # a connector's own sockets are closed in the next turn of the loop
            while left := self._open_sockets():
                for held in left:
                    with suppress(OSError):  # the server was first
                        held.shutdown(socket.SHUT_RDWR)  # what is still to be written fails, which closes it
                await asyncio.sleep(_CLOSE_POLL_S)


async def _pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
