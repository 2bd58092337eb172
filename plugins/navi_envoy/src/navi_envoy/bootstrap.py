"""Envoy's configuration, from a listener's settings. Pure: nothing is read, nothing is started.

The names are those of Envoy's v3 API. The filter that imports the application is pyvoy's; its own part of the
configuration is what ``PyvoyServer.get_envoy_config`` gives, everything around it is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from navi_core import LaunchPlan
from navi_envoy.options import EnvoyOptions

__all__ = ["LISTENER", "QUIC_LISTENER", "UNIX_LISTENER", "bootstrap", "certificates"]

Json: TypeAlias = dict[str, Any]

LISTENER: Final = "navi"
QUIC_LISTENER: Final = "navi_http3"
UNIX_LISTENER: Final = "navi_unix"
STAT_PREFIX: Final = "navi"
"""Envoy's counters of our connections are called ``http.navi.*``."""

CERTIFICATE: Final = "certificate"
CLIENT_CA: Final = "client_ca"

_TYPES: Final = "type.googleapis.com/envoy."
_MANAGER: Final = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def bootstrap(
    plan: LaunchPlan,
    own: EnvoyOptions,
    app_filter: Mapping[str, Any],
    *,
    addresses: Sequence[tuple[str, int]],
    admin: Path,
    secrets: Path,
) -> Json:
    """Return the whole configuration.

    Parameters
    ----------
    plan, own
        What was asked for.
    app_filter
        The HTTP filter that calls the application.
    addresses
        What the plan's host and port mean: IP addresses, with ports.
    admin
        The Unix socket of Envoy's admin interface: no other user can reach it.
    secrets
        The folder of the files of :func:`certificates`; unused without TLS.
    """
    listeners = [{**_tcp(plan, own, app_filter, secrets), **_addresses(addresses, "TCP")}]
    if own.http3:
        listeners.append({**_quic(plan, own, app_filter, secrets), **_addresses(addresses, "UDP")})
    if own.unix_socket is not None:
        listeners.append(_unix(own, app_filter))
    return {
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "node": {"id": "navi", "cluster": "navi"},  # wanted for what is watched in files
        "static_resources": {"listeners": listeners},
    }


def certificates(key: Path, chain: Path, client_ca: Path | None) -> Mapping[str, Json]:
    """Return the files that Envoy watches, by name: where the listener's PEM files are.

    Envoy reads them again when one of these changes, so that new files have to have new names. It takes one
    secret of each file only.
    """
    pair = {"private_key": {"filename": str(key)}, "certificate_chain": {"filename": str(chain)}}
    found = {CERTIFICATE: {"tls_certificate": pair}}
    if client_ca is not None:
        found[CLIENT_CA] = {"validation_context": {"trusted_ca": {"filename": str(client_ca)}}}
    kind = _TYPES + "extensions.transport_sockets.tls.v3.Secret"
    return {
        f"{name}.json": {"resources": [{"@type": kind, "name": name, **said}]} for name, said in found.items()
    }


# --- listeners ------------------------------------------------------------------------------------


def _tcp(plan: LaunchPlan, own: EnvoyOptions, app_filter: Mapping[str, Any], secrets: Path) -> Json:
    manager = _manager(own, app_filter)
    if own.http3 and plan.port:
        # browsers and curl learn of HTTP/3 by this header
        manager["route_config"]["response_headers_to_add"] = [
            {"header": {"key": "alt-svc", "value": f'h3=":{plan.port}"; ma=86400'}}
        ]
    chain = _chain(manager)
    if plan.tls is not None:
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": _TYPES + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                **_tls(plan, secrets, "h2", "http/1.1"),
            },
        }
    return _merged(
        {
            "name": LISTENER,
            # with its default several servers share a port, and nobody is told
            "enable_reuse_port": plan.reuse_port,
            "filter_chains": [chain],
        },
        own.listener,
    )


def _quic(plan: LaunchPlan, own: EnvoyOptions, app_filter: Mapping[str, Any], secrets: Path) -> Json:
    manager = {**_manager(own, app_filter), "codec_type": "HTTP3", "http3_protocol_options": {}}
    chain = _chain(manager)
    chain["transport_socket"] = {
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": _TYPES + "extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": _tls(plan, secrets),
        },
    }
    return {
        "name": QUIC_LISTENER,
        "udp_listener_config": {"quic_options": {}, "downstream_socket_config": {"prefer_gro": True}},
        "filter_chains": [chain],
    }


def _unix(own: EnvoyOptions, app_filter: Mapping[str, Any]) -> Json:
    return {
        "name": UNIX_LISTENER,
        "address": {"pipe": {"path": own.unix_socket}},
        "filter_chains": [_chain(_manager(own, app_filter))],
    }


def _addresses(addresses: Sequence[tuple[str, int]], protocol: str) -> Json:
    """Return a listener's addresses; all of them share its filters, and so one event loop."""
    first, *others = (
        {"socket_address": {"address": host, "port_value": port, "protocol": protocol}}
        for host, port in addresses
    )
    return {"address": first, "additional_addresses": [{"address": other} for other in others]}


def _chain(manager: Json) -> Json:
    return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}


def _manager(own: EnvoyOptions, app_filter: Mapping[str, Any]) -> Json:
    filters: list[Mapping[str, Any]] = []
    if own.grpc_web:
        filters.append(_plain_filter("grpc_web", "GrpcWeb"))
    filters.append(app_filter)
    http2: Json = {}
    if own.max_concurrent_streams is not None:
        http2["max_concurrent_streams"] = own.max_concurrent_streams
    if own.keepalive_time_s is not None:
        http2["connection_keepalive"] = {
            "interval": _seconds(own.keepalive_time_s),
            "timeout": _seconds(own.keepalive_timeout_s),
        }
    common: Json = {}
    if own.idle_timeout_s is not None:
        common["idle_timeout"] = _seconds(own.idle_timeout_s)
    if own.max_connection_age_s is not None:
        common["max_connection_duration"] = _seconds(own.max_connection_age_s)
    manager = {
        "@type": _TYPES + _MANAGER,
        "stat_prefix": STAT_PREFIX,
        "route_config": {"virtual_hosts": [{"name": "navi", "domains": ["*"]}]},
        "http_filters": filters,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        # the address of the connection, not what a client writes into a header
        "use_remote_address": True,
        "skip_xff_append": True,
        "max_request_headers_kb": own.max_header_kib,
        # calls may run, and health may be watched, for as long as their deadline allows
        "stream_idle_timeout": "0s",
        # how long a connection is still used after its client was told to leave
        "drain_timeout": "0.1s",
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "navi"},
        "http2_protocol_options": http2,
        "common_http_protocol_options": common,
    }
    return _merged(manager, own.connection_manager)


def _plain_filter(name: str, kind: str) -> Json:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{_TYPES}extensions.filters.http.{name}.v3.{kind}"},
    }


def _tls(plan: LaunchPlan, secrets: Path, *alpn: str) -> Json:
    common: Json = {"tls_certificate_sds_secret_configs": [_secret(CERTIFICATE, secrets)]}
    if alpn:
        common["alpn_protocols"] = list(alpn)
    needs_client = plan.tls is not None and bool(plan.tls.client_ca)
    if needs_client:
        common["validation_context_sds_secret_config"] = _secret(CLIENT_CA, secrets)
    return {"common_tls_context": common, "require_client_certificate": needs_client}


def _secret(name: str, secrets: Path) -> Json:
    source = {"path_config_source": {"path": str(secrets / f"{name}.json")}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}


def _seconds(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def _merged(base: Json, over: Mapping[str, Any]) -> Json:
    """Return ``base`` with ``over`` laid on it, table by table."""
    merged = dict(base)
    for key, value in over.items():
        ours = merged.get(key)
        merged[key] = _merged(ours, value) if isinstance(ours, dict) and isinstance(value, Mapping) else value
    return merged
