"""Binding listening sockets, with errors that say what could not be used."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from navi_core.errors import ConfigError

__all__ = ["bind_tcp", "bind_unix", "refuse_shared_unix"]


def bind_tcp(host: str, port: int, *, reuse_port: bool = False) -> Sequence[socket.socket]:
    """Bind, without listening yet, every address of ``host``; all get one port.

    Raises
    ------
    ConfigError
        The host has no address, or one of them cannot be bound.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"host: expected an address to listen on, got '{host}' ({why})") from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    with ExitStack() as undo:
        bound: list[socket.socket] = []
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            undo.enter_context(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if reuse_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address[0], port or _first_port(bound), *address[2:]))
            except OSError as error:
                raise ConfigError(f"cannot listen on {address[0]} port {port}: {error.strerror}") from None
            bound.append(sock)
        undo.pop_all()
        return bound


def bind_unix(path: str) -> socket.socket:
    """Bind, without listening yet, a Unix socket; a socket that is there already is replaced.

    Raises
    ------
    ConfigError
        It cannot be bound, or something that is no socket is there.
    """
    file = Path(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if file.is_socket():
            file.unlink()
        sock.setblocking(False)
        sock.bind(path)
    except (OSError, ValueError) as error:
        sock.close()
        raise ConfigError(f"cannot listen on unix socket '{path}': {error}") from None
    return sock


def refuse_shared_unix(path: str | None, *, reuse_port: bool, transport: str) -> None:
    """Refuse a Unix socket for several processes: the last one to bind it would take it from the others.

    Raises
    ------
    ConfigError
        There is one, and processes share the port.
    """
    if path is not None and reuse_port:
        raise ConfigError(
            f"expected none with several workers, got '{path}': one process listens on a Unix socket",
            path=f"transports.{transport}.options.unix_socket",
        )


def _first_port(bound: Sequence[socket.socket]) -> int:
    return int(bound[0].getsockname()[1]) if bound else 0
