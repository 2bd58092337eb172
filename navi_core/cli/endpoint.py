"""Where a running server is, and how it is asked: the options of client commands, and the client that they mean."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from navi_core.contracts.client import Endpoint, RemoteClient
from navi_core.errors import ConfigError, PluginNotFoundError
from navi_core.plugins.registry import Registry

__all__ = ["connect", "endpoint_options", "read_endpoint"]

DEFAULT_PROTOCOL: Final = "tf-serving"
_DEFAULT_HOST: Final = "127.0.0.1"
_UNSAID_SCHEME: Final = "grpc"
_URL: Final = re.compile(
    r"(?:(?:(?P<protocol>[a-z][a-z0-9_-]*)\+)?(?P<scheme>[a-z][a-z0-9]*)://)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/:@?#\[\]]+)(?::(?P<port>[0-9]{1,9}))?/?"
)
_MAX_PORT: Final = 65535
_MAX_TOKEN_BYTES: Final = 4096
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


def endpoint_options(default_url: str) -> list[click.Option]:
    """Return the options that say where the server is; :func:`connect` reads them.

    Parameters
    ----------
    default_url
        What the help says of ``--url``.
    """
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return [
        click.Option(
            ["--url"],
            metavar="URL",
            help="HOST:PORT or grpc://HOST:PORT for gRPC, http://HOST:PORT for REST; grpcs:// and https:// with TLS. "
            f"[default: {default_url}]",
        ),
        click.Option(
            ["--protocol"],
            metavar="NAME",
            help="What the server speaks: tf-serving, oip (Triton, KServe...) or proton, as far as clients are "
            f"installed; or in the URL: oip+grpc://HOST. [default: {DEFAULT_PROTOCOL}]",
        ),
        click.Option(
            ["--timeout-ms"],
            type=click.IntRange(min=1, max=10**9),
            default=30_000,
            show_default=True,
            metavar="MS",
            help="How long an answer may take, with all retries.",
        ),
        click.Option(
            ["--retries"],
            type=click.IntRange(min=0, max=100),
            metavar="N",
            help="Send a request again so often after RESOURCE_EXHAUSTED or UNKNOWN. [default: 2 over gRPC]",
        ),
        click.Option(
            ["--ca-file"], type=file, metavar="FILE", help="PEM: who signed the server's certificate."
        ),
        click.Option(
            ["--cert-file"], type=file, metavar="FILE", help="PEM: our certificate, for mutual TLS."
        ),
        click.Option(["--key-file"], type=file, metavar="FILE", help="PEM: its key."),
        click.Option(
            ["--token-file"],
            type=file,
            metavar="FILE",
            help="The bearer token that the server asks for, on a line.",
        ),
    ]


def connect(values: Mapping[str, Any], registry: Registry, schemes: Sequence[str]) -> RemoteClient:
    """Return a client for the server that the options say.

    Parameters
    ----------
    values
        Of the options.
    registry
        Whose clients there are.
    schemes
        Without ``--url``: ask over the first of these for which there is a client.

    Raises
    ------
    PluginNotFoundError, PluginConflictError
        No client speaks the protocol over the URL's scheme.
    ConfigError, UnsupportedError, OSError
        The files are no certificates and keys; or see :func:`read_endpoint` and :meth:`navi_core.RemoteClient.connect`.
    """
    client, endpoint = read_endpoint(values, registry, schemes)
    if endpoint.tls:
        _check_files(endpoint)
    return client.connect(endpoint)


def read_endpoint(
    values: Mapping[str, Any], registry: Registry, schemes: Sequence[str]
) -> tuple[type[RemoteClient], Endpoint]:
    """Return the client and the endpoint that the options say; see :func:`connect`.

    Raises
    ------
    ConfigError
        They contradict each other, the URL is wrong, or there is no token in its file.
    OSError
        The token's file cannot be read.
    """
    if (values["cert_file"] is None) != (values["key_file"] is None):
        raise ConfigError("expected both or neither", path="--cert-file and --key-file")
    text: str | None = values["url"]
    match = _URL.fullmatch(_DEFAULT_HOST if text is None else text)
    if match is None:
        raise ConfigError(f"expected HOST:PORT or SCHEME://HOST:PORT, got '{text}'", path="--url")
    protocol = _protocol(match["protocol"], values["protocol"])
    if text is None:
        known = [scheme for scheme in schemes if f"{protocol}+{scheme}" in registry.clients()]
        scheme = (known or schemes)[0]
    else:
        scheme = match["scheme"] or _UNSAID_SCHEME
    client, tls = _find(registry, protocol, scheme)
    port = client.default_port if match["port"] is None else int(match["port"])
    if port > _MAX_PORT:
        raise ConfigError(f"expected a port of at most {_MAX_PORT}, got {port}", path="--url")
    if (values["ca_file"] or values["cert_file"]) and not tls:
        raise ConfigError("expected grpcs:// or https:// with TLS files", path="--url")
    return client, Endpoint(
        host=match["host"].strip("[]"),
        port=port,
        tls=tls,
        ca_file=values["ca_file"],
        cert_file=values["cert_file"],
        key_file=values["key_file"],
        token=_token(values["token_file"]),
        timeout_s=values["timeout_ms"] / 1000,
        max_retries=values["retries"],
    )


def _protocol(of_url: str | None, said: str | None) -> str:
    names = {name.replace("_", "-") for name in (of_url, said) if name is not None}
    if len(names) > 1:
        raise ConfigError(f"expected the protocol of the URL, '{of_url}', got '{said}'", path="--protocol")
    return names.pop() if names else DEFAULT_PROTOCOL


def _find(registry: Registry, protocol: str, scheme: str) -> tuple[type[RemoteClient], bool]:
    """Return the client, and whether the scheme means TLS."""
    plain = scheme.removesuffix("s")
    name = f"{protocol}+{scheme}"
    if name not in registry.clients() and f"{protocol}+{plain}" in registry.clients():
        return registry.client(f"{protocol}+{plain}"), True
    try:
        return registry.client(name), False
    except PluginNotFoundError as error:
        raise PluginNotFoundError(
            f"{error.message}: pip install 'navi-core[client]' brings those over gRPC, and 'navi-host plugins' says "
            "what is wrong with one that is installed"
        ) from error


def _check_files(endpoint: Endpoint) -> None:
    """Refuse files that are no certificates and keys: TLS libraries say so late, or ask on the terminal for a password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file = endpoint.ca_file
    try:
        if file is not None:
            context.load_verify_locations(file)
        if endpoint.cert_file is not None:
            file = endpoint.cert_file
            context.load_cert_chain(file, endpoint.key_file, password=lambda: b"")
    except ssl.SSLError as error:
        beside = f" and {endpoint.key_file}" if file is endpoint.cert_file else ""
        what = "a certificate and its key, not encrypted" if beside else "certificates"
        raise ConfigError(f"{file}{beside}: expected {what}, in PEM: {error}", path="TLS files") from None


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
