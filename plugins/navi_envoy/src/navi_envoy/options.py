"""What the table ``[transports.envoy.options]`` may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from navi_core import AsgiOptions

__all__ = ["EnvoyOptions"]

_Seconds = Annotated[float, Meta(gt=0, le=1e6)]
_Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class EnvoyOptions(AsgiOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Envoy listens and what it allows, beside what the ASGI application may be told.

    Attributes
    ----------
    concurrency
        Envoy's worker threads. The models run elsewhere; one is the fastest on few cores.
    loop
        The event loop that navi runs on inside Envoy.
    batch_scheduling
        Linux: have the kernel schedule Envoy's threads, navi's among them, as ``SCHED_BATCH``: what comes in does not
        take a core away from the thread that computes on it, but waits for its turn.
    start_timeout_s
        An Envoy that does not listen by then is ended, and the start fails. It waits for what navi imports, frameworks
        too, and not for models.
    http3
        Listen for HTTP/3 on the same port of UDP; needs TLS.
    grpc_web
        Translate gRPC-Web, binary and text, of browsers.
    unix_socket
        Listen on this path too, in plain text.
    max_header_kib
        Requests with larger headers are refused with 431.
    max_concurrent_streams
        Calls at once on one HTTP/2 connection.
    max_connection_age_s
        Ask clients to connect anew after this time, so that load spreads over new hosts.
    idle_timeout_s
        Connections on which nothing runs are closed after this time.
    keepalive_time_s, keepalive_timeout_s
        Ping HTTP/2 connections that are idle, and close those that do not answer.
    log_level
        Envoy's own log, on stderr.
    connection_manager
        Merged into Envoy's HttpConnectionManager: what navi has no option for. Its names are Envoy's.
    listener
        Merged into Envoy's Listener.
    """

    concurrency: Annotated[int, Meta(ge=1, le=1024)] = 1
    loop: Literal["uvloop", "asyncio"] = "uvloop"
    batch_scheduling: bool = True
    start_timeout_s: _Seconds = 300.0
    http3: bool = False
    grpc_web: bool = True
    unix_socket: Annotated[str, Meta(min_length=1, max_length=107)] | None = None
    max_header_kib: Annotated[int, Meta(ge=1, le=8192)] = 60
    max_concurrent_streams: _Count | None = None
    max_connection_age_s: _Seconds | None = None
    idle_timeout_s: _Seconds | None = None
    keepalive_time_s: _Seconds | None = None
    keepalive_timeout_s: _Seconds = 20.0
    log_level: Literal["trace", "debug", "info", "warning", "error", "critical", "off"] = "error"
    connection_manager: dict[str, Any] = field(default_factory=dict)
    listener: dict[str, Any] = field(default_factory=dict)
