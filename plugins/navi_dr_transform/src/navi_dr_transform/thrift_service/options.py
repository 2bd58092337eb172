"""The settings of the thrift transport and of the PredictionService."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from navi_core import convert_options

__all__ = [
    "PREDICTION_SERVICE",
    "THRIFT",
    "PredictionModelOptions",
    "PredictionOptions",
    "ThriftOptions",
    "read_options",
]

PREDICTION_SERVICE = "thrift.PredictionService"
"""The RPC service whose methods a thrift message without a service's name means."""

THRIFT = "thrift"
"""The protocol of RPCs whose messages are thrift's arguments and results: gRPC does not carry them."""

_Seconds = Annotated[float, Meta(gt=0, le=1e6)]
_Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class ThriftOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[transports.thrift.options]``.

    Attributes
    ----------
    service
        The RPC service that is carried: a message's method is this service's.
    call_timeout_ms
        A call's deadline, for thrift messages bring none; 0: none.
    idle_timeout_s
        Close a connection on which no message has begun for so long.
    message_timeout_s, min_message_bytes_per_s
        A message may take this time to come, and longer as far as it comes at this rate.
    write_timeout_s
        Cut a connection whose client does not read its answer for so long.
    max_connections
        Connections beyond these are closed at once.
    """

    service: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")] = (
        PREDICTION_SERVICE
    )
    call_timeout_ms: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    idle_timeout_s: _Seconds = 600.0
    message_timeout_s: _Seconds = 60.0
    min_message_bytes_per_s: _Count = 1024
    write_timeout_s: _Seconds = 60.0
    max_connections: _Count = 4096


class PredictionOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[service_options.thrift_prediction]``.

    Attributes
    ----------
    model
        The model of calls that name none; empty: the only one that is served.
    signature
        Its signature; empty: the default one.
    """

    model: str = ""
    signature: str = ""


class PredictionModelOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model says to the service, in its ``[service_options.thrift_prediction]``.

    Attributes
    ----------
    response_features
        Output -> the features that its columns become in predictions, by name or id. An output that is not named is
        one feature of its own name.
    """

    response_features: dict[str, tuple[str | int, ...]] = {}


def read_options(table: Mapping[str, Any]) -> PredictionOptions:
    """Read the service's table of the configuration.

    Raises
    ------
    ConfigError
        An unknown key or a wrong value; the path says which.
    """
    options: PredictionOptions = convert_options(
        PredictionOptions, table, "service_options.thrift_prediction"
    )
    return options
