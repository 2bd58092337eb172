"""The gRPC transport's own settings, and grpcio's names for all settings."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from navi_core.contracts.transport import TransportOptions

__all__ = ["GrpcOptions", "channel_arguments"]

_INT32_MAX: Final = 2**31 - 1
_UNLIMITED: Final = -1

_Seconds = Annotated[float, Meta(gt=0, le=1e6)]
_Count = Annotated[int, Meta(ge=1, le=_INT32_MAX)]


class GrpcOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of the gRPC transport in the configuration; None: what grpcio does by itself.

    Attributes
    ----------
    unix_socket
        Listen on this path too.
    compression
        ``gzip``: compress answers for clients that accept it.
    max_connection_age_s, max_connection_age_grace_s
        Ask clients to connect anew after this time, so that load spreads over new hosts; calls that
        still run get the grace. A call that is on its way when the request to connect anew arrives is
        repeated by gRPC clients themselves; those with retries turned off see it fail as UNAVAILABLE,
        rarely.
    keepalive_time_s, keepalive_timeout_s
        Ping idle connections, and close those that do not answer.
    min_client_ping_interval_s
        Clients that ping more often are disconnected.
    max_concurrent_streams
        Calls at once on one connection.
    max_metadata_bytes
        The largest metadata of a call; grpcio refuses some above 8 KiB and all above 16 KiB.
    channel_arguments
        grpcio's own channel arguments, by their names; they overrule what is said above.
    """

    unix_socket: Annotated[str, Meta(min_length=1)] | None = None
    compression: Literal["none", "gzip"] = "none"
    max_connection_age_s: _Seconds | None = None
    max_connection_age_grace_s: _Seconds | None = None
    keepalive_time_s: _Seconds | None = None
    keepalive_timeout_s: _Seconds | None = None
    min_client_ping_interval_s: _Seconds | None = None
    max_concurrent_streams: _Count | None = None
    max_metadata_bytes: _Count | None = None
    channel_arguments: dict[str, int | str] = {}


def channel_arguments(options: TransportOptions, own: GrpcOptions) -> list[tuple[str, int | str]]:
    """Return grpcio's channel arguments.

    grpcio applies ``max_receive_message_length`` to a message as received and again after inflating
    it, so one limit covers both; a limit of the ratio has no place there. Answers are measured before they
    reach grpcio.
    """
    receive_bytes = min(options.max_message_bytes, options.max_inflated_bytes)
    arguments: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", _length(receive_bytes)),
        # grpcio's default lets several servers share a port silently
        ("grpc.so_reuseport", int(options.reuse_port)),
    ]
    if own.compression == "gzip":
        # A level, unlike an algorithm, is applied only as far as the client accepts it; 1 is gzip.
        arguments.append(("grpc.default_compression_level", 1))
    optional = {
        "grpc.max_connection_age_ms": _ms(own.max_connection_age_s),
        "grpc.max_connection_age_grace_ms": _ms(own.max_connection_age_grace_s),
        "grpc.keepalive_time_ms": _ms(own.keepalive_time_s),
        "grpc.keepalive_timeout_ms": _ms(own.keepalive_timeout_s),
        "grpc.http2.min_ping_interval_without_data_ms": _ms(own.min_client_ping_interval_s),
        "grpc.max_concurrent_streams": own.max_concurrent_streams,
        "grpc.max_metadata_size": own.max_metadata_bytes,
        "grpc.absolute_max_metadata_size": own.max_metadata_bytes,
    }
    arguments += [(name, value) for name, value in optional.items() if value is not None]
    return list({**dict(arguments), **own.channel_arguments}.items())


def _length(size_bytes: int) -> int:
    """Return a length as grpcio's 32-bit integer; what does not fit is no limit."""
    return size_bytes if size_bytes <= _INT32_MAX else _UNLIMITED


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else max(int(seconds * 1000), 1)
