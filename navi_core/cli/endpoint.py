"""Where a running host is: the ``--url`` of client commands, and the client that speaks to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import click

from navi_core.errors import ConfigError
from navi_core.signature import Signature
from navi_core.types import Array, NamedArrays

__all__ = [
    "Client",
    "Endpoint",
    "ModelVersion",
    "Prediction",
    "Target",
    "endpoint_options",
    "parse_url",
    "read_endpoint",
]

Protocols: TypeAlias = Literal["grpc", "http"]

DEFAULT_PORTS: Final[dict[Protocols, int]] = {"grpc": 8500, "http": 8501}
_SCHEMES: Final[dict[str, tuple[Protocols, bool]]] = {
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
    "http": ("http", False),
    "https": ("http", True),
}
_URL: Final = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/:@?#\[\]]+)(?::(?P<port>[0-9]{1,9}))?/?"
)
_MAX_PORT: Final = 65535
_MAX_TOKEN_BYTES: Final = 4096
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One listener of a running host.

    Parameters
    ----------
    protocol
        Which client to use.
    host, port
        Where it listens.
    tls
        Whether the connection is encrypted.
    ca, certificate, key
        PEM files: who signed the server's certificate, and who we are.
    timeout_s
        How long an answer may take.
    token
        Sent with every request as a bearer token; None: none is.
    """

    protocol: Protocols
    host: str
    port: int
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout_s: float = 30.0
    token: str | None = field(default=None, repr=False)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What every request is sent with: gRPC's metadata, HTTP's headers."""
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is for: a model, perhaps one version of it, and a signature."""

    model: str
    version: int | None = None
    label: str | None = None
    signature: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version's state.

    Parameters
    ----------
    model, version
        Which; a model that has no version yet has one entry without a number.
    state
        The state's name.
    error
        Why it ended, where it ended badly.
    labels
        The version labels that point here, where the protocol says them.
    """

    model: str
    version: int | None
    state: str
    error: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer; ``version`` is None where the protocol does not say it."""

    outputs: Mapping[str, Array]
    version: int | None


class Client(Protocol):
    """What commands ask of a running host, or of a model that they loaded themselves."""

    def models(self, names: Sequence[str]) -> Sequence[ModelVersion]:
        """Return the versions of these models; of all when none is named."""
        ...

    def signatures(self, target: Target) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to."""
        ...

    def predict(self, target: Target, inputs: NamedArrays) -> Prediction:
        """Send one request."""
        ...


def parse_url(text: str, **rest: Any) -> Endpoint:
    """Return the endpoint of a ``--url``: ``host:port`` is gRPC.

    Raises
    ------
    ConfigError
        It is no URL of a scheme that navi speaks.
    """
    match = _URL.fullmatch(text)
    if match is None:
        raise ConfigError(f"expected HOST:PORT or SCHEME://HOST:PORT, got '{text}'", path="--url")
    scheme = match["scheme"] or "grpc"
    if scheme not in _SCHEMES:
        known = ", ".join(f"{each}://" for each in _SCHEMES)
        raise ConfigError(f"expected one of {known}, got '{scheme}://'", path="--url")
    protocol, tls = _SCHEMES[scheme]
    port = DEFAULT_PORTS[protocol] if match["port"] is None else int(match["port"])
    if port > _MAX_PORT:
        raise ConfigError(f"expected a port of at most {_MAX_PORT}, got {port}", path="--url")
    host = match["host"].strip("[]")
    return Endpoint(protocol=protocol, host=host, port=port, tls=tls, **rest)


def endpoint_options(default_url: str) -> list[click.Option]:
    """Return the options that say where the host is; :func:`read_endpoint` reads them."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return [
        click.Option(
            ["--url"],
            default=default_url,
            show_default=True,
            metavar="URL",
            help="HOST:PORT or grpc://HOST:PORT for gRPC, http://HOST:PORT for REST; grpcs:// and https:// with TLS.",
        ),
        click.Option(
            ["--timeout", "timeout_s"],
            type=click.FloatRange(min=0, min_open=True, max=1e6),
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help="How long an answer may take.",
        ),
        click.Option(["--tls-ca"], type=file, metavar="FILE", help="PEM: who signed the host's certificate."),
        click.Option(["--tls-cert"], type=file, metavar="FILE", help="PEM: our certificate, for mutual TLS."),
        click.Option(["--tls-key"], type=file, metavar="FILE", help="PEM: its key."),
        click.Option(
            ["--token-file"],
            type=file,
            metavar="FILE",
            help="The bearer token that the host asks for, on a line.",
        ),
    ]


def read_endpoint(values: Mapping[str, Any]) -> Endpoint:
    """Return the endpoint that the options say.

    Raises
    ------
    ConfigError
        They contradict each other, the URL is wrong, or there is no token in its file.
    OSError
        The token's file cannot be read.
    """
    if (values["tls_cert"] is None) != (values["tls_key"] is None):
        raise ConfigError("expected both or neither", path="--tls-cert and --tls-key")
    endpoint = parse_url(
        values["url"],
        ca=values["tls_ca"],
        certificate=values["tls_cert"],
        key=values["tls_key"],
        timeout_s=values["timeout_s"],
        token=_token(values["token_file"]),
    )
    if (endpoint.ca or endpoint.certificate) and not endpoint.tls:
        raise ConfigError("expected grpcs:// or https:// with TLS files", path="--url")
    return endpoint


def _token(path: Path | None) -> str | None:
    """Return the token of a file: read from one, it stands in no shell's history and no list of processes."""
    if path is None:
        return None
    with path.open("rb") as stream:
        content = stream.read(_MAX_TOKEN_BYTES + 1)
    token = content.strip().decode("ascii", "replace")
    if len(content) > _MAX_TOKEN_BYTES or _TOKEN.fullmatch(token) is None:
        raise ConfigError(f"{path}: expected one line of printable ASCII without spaces", path="--token-file")
    return token
