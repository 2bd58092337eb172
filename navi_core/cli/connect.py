"""The client for an endpoint; the library that it needs is imported when it is needed."""

from __future__ import annotations

from contextlib import AbstractContextManager

from navi_core.cli.endpoint import Client, Endpoint

__all__ = ["connect"]


def connect(endpoint: Endpoint) -> AbstractContextManager[Client]:
    """Return a client for an endpoint."""
    if endpoint.protocol == "grpc":
        from navi_core.cli.client_grpc import GrpcClient  # noqa: PLC0415 - only who speaks gRPC imports it

        return GrpcClient(endpoint)
    from navi_core.cli.client_rest import RestClient  # noqa: PLC0415 - see above

    return RestClient(endpoint)
