"""The plugins that come with navi-core, registered through the same hooks as everybody's.

The classes are imported when they are asked for, and import no gRPC, HTTP or kernel library
themselves: that is left to the moment when one of them is started.
"""

from __future__ import annotations

from collections.abc import Sequence

from navi_core.contracts.transport import Transport
from navi_core.hookspecs import hookimpl

__all__ = ["navi_register_transports"]


@hookimpl
def navi_register_transports() -> Sequence[type[Transport]]:
    """Register the gRPC transport."""
    from navi_core.transports.grpc.transport import GrpcTransport  # noqa: PLC0415 - imported when asked for

    return [GrpcTransport]
