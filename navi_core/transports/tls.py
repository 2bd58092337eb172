"""TLS of a listener: its files read, checked, and read again when they change.

Certificates are renewed while a server runs. Whatever the files say, connections that are open stay; files that
cannot be used (a renewal that is half written) change nothing, and the log says so.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from navi_core.contracts.transport import TlsFiles
from navi_core.errors import ConfigError

__all__ = ["TlsWatch", "read_pem", "renewing_context", "tls_context"]

_log = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 1.0
"""How old what is known of the files may be."""


class TlsWatch:
    """Tells when a listener's files have changed, by their times and sizes.

    Parameters
    ----------
    files
        The files.
    now
        The monotonic clock, in seconds.
    """

    def __init__(self, files: TlsFiles, now: Callable[[], float]) -> None:
        chain = () if files.chain is None else (files.chain,)
        self._paths = (files.key, files.certificate, *chain, *files.client_ca)
        self._now = now
        self._stamps = self._look()
        self._look_at = now() + LOOK_AGAIN_S

    def has_changed(self) -> bool:
        """Tell whether the files changed since they were last said to have; looks at most once a second."""
        if self._now() < self._look_at:
            return False
        self._look_at = self._now() + LOOK_AGAIN_S
        stamps = self._look()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        return True

    def _look(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def renewing_context(files: TlsFiles, now: Callable[[], float]) -> ssl.SSLContext:
    """Return a server's context that answers each handshake by what the files say then.

    The callback that OpenSSL offers for server names is called in every handshake, also in those that name
    none, and may put another context in the place of the listener's.

    Raises
    ------
    ConfigError
        The files cannot be used now.
    """
    watch = TlsWatch(files, now)
    listening = tls_context(files)
    current = listening

    def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal current
        if watch.has_changed():
            try:
                current = tls_context(files)
            except ConfigError as error:
                _log.warning("TLS files kept as they were: %s", error)
            else:
                _log.info("TLS files read again: %s", files.certificate)
        if current is not listening:
            connection.context = current

    listening.sni_callback = choose
    return listening


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
