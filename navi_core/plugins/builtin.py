"""The plugins that come with navi-core, registered through the same hooks as everybody's.

The classes are imported when they are asked for, and import no gRPC, HTTP or kernel library
themselves: that is left to the moment when one of them is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from navi_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from navi_core.contracts.client import RemoteClient
    from navi_core.contracts.converter import Converter
    from navi_core.contracts.service import Service
    from navi_core.contracts.source import ModelSource
    from navi_core.contracts.transport import Transport

__all__ = [
    "navi_register_clients",
    "navi_register_converters",
    "navi_register_services",
    "navi_register_sources",
    "navi_register_transports",
]


@hookimpl
def navi_register_converters() -> Sequence[type[Converter]]:
    """Register the converter for tensorflow.Example messages."""
    from navi_core.converters.tf_example.converter import (  # noqa: PLC0415 - imported when asked for
        TfExampleConverter,
    )

    return [TfExampleConverter]


@hookimpl
def navi_register_transports() -> Sequence[type[Transport]]:
    """Register gRPC and HTTP."""
    from navi_core.transports.grpc.transport import GrpcTransport  # noqa: PLC0415 - imported when asked for
    from navi_core.transports.http.transport import HttpTransport  # noqa: PLC0415 - see above

    return [GrpcTransport, HttpTransport]


@hookimpl
def navi_register_services() -> Sequence[type[Service]]:
    """Register the protocols, and what there is beside them: health, reflection, OpenAPI, and operators' pages."""
    from navi_core.services.health import HealthService  # noqa: PLC0415 - imported when asked for
    from navi_core.services.oip.service import OipService  # noqa: PLC0415 - see above
    from navi_core.services.openapi.service import OpenApiService  # noqa: PLC0415 - see above
    from navi_core.services.operations import OperationsService  # noqa: PLC0415 - see above
    from navi_core.services.proton.service import ProtonService  # noqa: PLC0415 - see above
    from navi_core.services.reflection.service import ReflectionService  # noqa: PLC0415 - see above
    from navi_core.services.tf_serving.service import TfServingService  # noqa: PLC0415 - see above

    return [
        TfServingService,
        OipService,
        ProtonService,
        HealthService,
        ReflectionService,
        OperationsService,
        OpenApiService,
    ]


@hookimpl
def navi_register_sources() -> Sequence[type[ModelSource]]:
    """Register the source that watches directories."""
    from navi_core.sources.filesystem import FilesystemSource  # noqa: PLC0415 - imported when asked for

    return [FilesystemSource]


@hookimpl
def navi_register_clients() -> Sequence[type[RemoteClient]]:
    """Register the clients that ask over HTTP with what Python brings."""
    from navi_core.clients.oip_http import OipHttpClient  # noqa: PLC0415 - imported when asked for
    from navi_core.clients.proton_http import ProtonHttpClient  # noqa: PLC0415 - see above
    from navi_core.clients.tf_serving_http import TfServingHttpClient  # noqa: PLC0415 - see above

    return [TfServingHttpClient, OipHttpClient, ProtonHttpClient]
