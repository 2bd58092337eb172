"""Authorization: which operations a call may do, by what the host allows and the token that it brings.

One object a host, asked by the router for every handler that is not open to all: there is no second check
anywhere, and none that is keyed by a path.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from navi_core.clock import Clock, MonotonicClock
from navi_core.config.records import AuthSettings
from navi_core.contracts.service import Call, Operation
from navi_core.errors import ConfigError, ErrorCode, NaviError

__all__ = ["Authorization", "Check", "TokenFile"]

log = structlog.get_logger(__name__)

Check: TypeAlias = Callable[[Call], None]
"""Returns, or raises what the client is told."""

MAX_FILE_BYTES: Final = 1 << 20
LOOK_AGAIN_S: Final = 1.0
"""How long a token file is trusted before it is looked at again: a token is withdrawn without a restart."""

_SCHEME: Final = "bearer"


class TokenFile:
    """The tokens of one file, a line each; blank lines and lines that begin with ``#`` do not count.

    The file is read again when it has changed. One that cannot be read any more, or holds no token, changes
    nothing: what was read last stays, and the log says so.

    Parameters
    ----------
    path
        The file.
    clock
        When to look again.

    Raises
    ------
    ConfigError
        The file cannot be read, is over 1 MiB, or holds no token.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or MonotonicClock()
        self._stamp: tuple[int, int, int] = (0, 0, 0)
        self._digests: tuple[bytes, ...] = ()
        self._look_at = 0.0
        self._read()

    def holds(self, token: str) -> bool:
        """Tell whether a token is one of the file's; how long that takes tells nothing of them."""
        if self._clock.now() >= self._look_at:
            try:
                self._read()
            except ConfigError as error:
                self._look_at = self._clock.now() + LOOK_AGAIN_S
                log.warning("token_file_kept", path=str(self._path), error=str(error))
        digest = _digest(token)
        return any(hmac.compare_digest(digest, known) for known in self._digests)

    def _read(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp or not self._digests:
                if found.st_size > MAX_FILE_BYTES:
                    msg = f"expected at most {MAX_FILE_BYTES} bytes in the token file '{self._path}', got {found.st_size}"
                    raise ConfigError(msg)
                lines = [line.strip() for line in self._path.read_text().splitlines()]
                tokens = [line for line in lines if line and not line.startswith("#")]
                if not tokens:
                    raise ConfigError(f"expected a token in each line of '{self._path}', got none")
                self._digests, self._stamp = tuple(_digest(token) for token in tokens), stamp
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(f"the token file '{self._path}' cannot be read: {reason}") from error
        self._look_at = self._clock.now() + LOOK_AGAIN_S


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Authorization:
    """What calls may do.

    Admin operations need ``allow_admin``, and a token of the admin file where there is one. Inference needs a token
    of either file where there is one for inference. Reading (states, metadata, health, metrics) is open.

    Parameters
    ----------
    allow_admin
        Whether admin operations are offered at all.
    settings
        The token files.
    clock
        For looking at them again.

    Raises
    ------
    ConfigError
        A token file cannot be used.
    """

    def __init__(
        self, *, allow_admin: bool = False, settings: AuthSettings | None = None, clock: Clock | None = None
    ) -> None:
        settings = settings or AuthSettings()
        self._allows_admin = allow_admin
        self._admin = _file(settings.admin_token_file, clock)
        self._infer = _file(settings.infer_token_file, clock)

    @property
    def allows_admin(self) -> bool:
        """Whether admin operations are offered at all."""
        return self._allows_admin

    def needs_token(self, operation: Operation) -> bool:
        """Tell whether an operation is for those with a token only."""
        files = {Operation.ADMIN: self._admin, Operation.INFER: self._infer}
        return files.get(operation) is not None

    def check_of(self, operation: Operation) -> Check | None:
        """Return the check of an operation; None: everybody may."""
        if operation is Operation.ADMIN:
            return self._may_administer
        if operation is Operation.INFER and self._infer is not None:
            return self._may_infer
        return None

    def _may_administer(self, call: Call) -> None:
        if not self._allows_admin:
            raise NaviError(
                "admin operations are not allowed on this host: it was started without --admin",
                code=ErrorCode.PERMISSION_DENIED,
                reason="admin_not_allowed",
            )
        if self._admin is None:
            return
        token = _token_of(call)
        if self._admin.holds(token):
            return
        if self._infer is not None and self._infer.holds(token):
            raise NaviError(
                "the token allows inference, and admin operations need another one",
                code=ErrorCode.PERMISSION_DENIED,
                reason="admin_token_needed",
            )
        raise _unknown_token()

    def _may_infer(self, call: Call) -> None:
        token = _token_of(call)
        for file in (self._infer, self._admin):
            if file is not None and file.holds(token):
                return
        raise _unknown_token()


def _file(path: str | None, clock: Clock | None) -> TokenFile | None:
    return None if path is None else TokenFile(Path(path), clock)


def _token_of(call: Call) -> str:
    """Return the bearer token of a call.

    Raises
    ------
    NaviError
        It has none (RFC 6750, section 2.1: ``Authorization: Bearer TOKEN``).
    """
    value = call.metadata.get("authorization", "")
    scheme, _, token = value.strip().partition(" ") if isinstance(value, str) else ("", "", "")
    if scheme.lower() != _SCHEME or not token.strip():
        raise NaviError(
            "a token is needed: send the header 'authorization: Bearer TOKEN'",
            code=ErrorCode.UNAUTHENTICATED,
            reason="token_missing",
        )
    return token.strip()


def _unknown_token() -> NaviError:
    return NaviError("the token is not known here", code=ErrorCode.UNAUTHENTICATED, reason="token_unknown")
