"""Binding listening sockets and reading PEM files, with errors that say what could not be used."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from navi_core.contracts.transport import TlsFiles
from navi_core.errors import ConfigError

__all__ = ["bind_tcp", "bind_unix", "read_pem", "tls_context"]


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
        raise ConfigError(f"host: expected an address to listen on, got '{host}' ({error})") from None
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


def read_pem(*files: Path) -> bytes:
    """Return the contents of PEM files, one after the other.

    Raises
    ------
    ConfigError
        One cannot be read, or holds no PEM block.
    """
    parts = []
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"TLS file '{file}': {error.strerror}") from None
        if b"-----BEGIN" not in data:
            raise ConfigError(f"TLS file '{file}': expected PEM text")
        parts.append(data if data.endswith(b"\n") else data + b"\n")
    return b"".join(parts)


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a server's context; clients must show a certificate where ``client_ca`` says so.

    Also the check of the files before a library that reports less precisely gets them.

    Raises
    ------
    ConfigError
        A file cannot be read or used, or key and certificate do not belong together.
    """
    for file in (files.key, files.certificate, *files.client_ca):
        read_pem(file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        if files.chain is None:
            context.load_cert_chain(files.certificate, files.key)
        else:
            _load_with_chain(context, files, files.chain)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"TLS certificate '{files.certificate}' cannot be used with key '{files.key}': {error}"
        ) from None
    for authority in files.client_ca:
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError as error:
            raise ConfigError(f"TLS client authority '{authority}' cannot be used: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_with_chain(context: ssl.SSLContext, files: TlsFiles, chain: Path) -> None:
    # the standard library takes a certificate and its chain from one file only
    with tempfile.NamedTemporaryFile(suffix=".pem") as joined:
        joined.write(read_pem(files.certificate, chain))
        joined.flush()
        context.load_cert_chain(joined.name, files.key)


def _first_port(bound: Sequence[socket.socket]) -> int:
    return int(bound[0].getsockname()[1]) if bound else 0
