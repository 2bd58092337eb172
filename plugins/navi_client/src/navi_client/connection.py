"""How a server is reached: what both clients are told, and the gRPC options that follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import grpc

from navi_client.errors import ClientError, Code

__all__ = ["MAX_MESSAGE_BYTES", "Compression", "Connection", "Tls", "check_timeout"]

MAX_MESSAGE_BYTES: Final = 2**31 - 1
"""What gRPC can carry at most, and what servers of models take unless they are told otherwise."""

Compression: TypeAlias = Literal["gzip", "deflate"]

_COMPRESSIONS: Final = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_NOT_GRPC: Final = ("http://", "https://", "grpc://", "grpcs://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How the connection is encrypted. The files are PEM, read when the client is made.

    Parameters
    ----------
    ca
        Who signed the server's certificate; None: whom gRPC trusts.
    certificate, key
        Who we are, for mutual TLS; both or neither.
    server_name
        The name in the server's certificate, where it is not the address's.

    Raises
    ------
    ValueError
        A certificate comes without its key, or a key without its certificate.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls: expected certificate and key, or neither")

    def credentials(self) -> Any:
        """Return gRPC's credentials.

        Raises
        ------
        OSError
            A file cannot be read.
        """
        return grpc.ssl_channel_credentials(
            *(
                None if file is None else Path(file).read_bytes()
                for file in (self.ca, self.key, self.certificate)
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a client is told of its connection; see `navi_client.Client` for each.

    Raises
    ------
    ValueError
        Something is not what a connection can have.
    """

    address: str
    tls: Tls | bool = False
    token: str | None = field(default=None, repr=False)
    timeout_s: float | None = 30.0
    compression: Compression | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    keepalive_s: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    channel_options: Sequence[tuple[str, Any]] = ()

    def __post_init__(self) -> None:
        if not self.address or self.address.startswith(_NOT_GRPC):
            raise ValueError(f"address: expected HOST:PORT or unix:PATH, got '{self.address}'")
        if self.token is not None and _TOKEN.fullmatch(self.token) is None:
            raise ValueError("token: expected printable ASCII without spaces")
        if self.timeout_s is not None:
            check_timeout(self.timeout_s)
        if self.compression not in (None, *_COMPRESSIONS):
            raise ValueError(f"compression: expected gzip, deflate or None, got '{self.compression}'")
        if not 0 < self.max_message_bytes <= MAX_MESSAGE_BYTES:
            raise ValueError(
                f"max_message_bytes: expected 1 to {MAX_MESSAGE_BYTES}, got {self.max_message_bytes}"
            )
        if self.keepalive_s is not None and not self.keepalive_s > 0:
            raise ValueError(f"keepalive_s: expected a time above 0, got {self.keepalive_s}")

    def call_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what every request is sent with."""
        token = () if self.token is None else (("authorization", f"Bearer {self.token}"),)
        return (*((name.lower(), value) for name, value in self.metadata.items()), *token)

    def options(self) -> list[tuple[str, Any]]:
        """Return the channel's options; the caller's own come last, and win."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
        ]
        if self.keepalive_s is not None:
            options.append(("grpc.keepalive_time_ms", round(self.keepalive_s * 1000)))
        if isinstance(self.tls, Tls) and self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return [*options, *self.channel_options]

    def credentials(self) -> Any:
        """Return gRPC's credentials; None: the connection is not encrypted.

        Raises
        ------
        OSError
            A file of the certificates cannot be read.
        """
        if self.tls is False:
            return None
        return (Tls() if self.tls is True else self.tls).credentials()

    def open(self, library: Any, credentials: Any) -> Any:
        """Open a channel; it connects when it is first used.

        Parameters
        ----------
        library
            ``grpc`` or ``grpc.aio``.
        credentials
            What `credentials` returned.
        """
        settings = {"options": self.options(), "compression": _COMPRESSIONS.get(self.compression or "")}
        if credentials is None:
            return library.insecure_channel(self.address, **settings)
        return library.secure_channel(self.address, credentials, **settings)

    def check_size(self, body: bytes) -> None:
        """Refuse a request that is over the limit: gRPC would, with a code that is worth a retry.

        Raises
        ------
        ClientError
            It is.
        """
        if len(body) > self.max_message_bytes:
            raise ClientError(
                f"request: expected at most {self.max_message_bytes} bytes, got {len(body)}",
                code=Code.RESOURCE_EXHAUSTED,
                address=self.address,
            )

    def failure(self, error: Any, retries: int) -> ClientError:
        """Return what a caller is told of a gRPC failure."""
        message = error.details() or ""
        return ClientError(message, code=Code(error.code().name), address=self.address, retries=retries)


def check_timeout(timeout_s: float) -> float:
    """Return a timeout that can be one.

    Raises
    ------
    ValueError
        It is not above 0.
    """
    if not timeout_s > 0:
        raise ValueError(f"timeout_s: expected a time above 0, got {timeout_s}")
    return timeout_s
