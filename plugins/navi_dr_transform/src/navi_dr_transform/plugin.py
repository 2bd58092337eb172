"""What navi-dr-transform registers. Imports neither Numba nor Thrift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from navi_core import hookimpl

if TYPE_CHECKING:
    import click

    from navi_core import Converter, Service, Transport


@hookimpl
def navi_register_converters() -> Sequence[type[Converter]]:
    """Register the converter ``bpr`` (also ``home``)."""
    from navi_dr_transform.converter import BprConverter  # noqa: PLC0415 - imported when asked for

    return [BprConverter]


@hookimpl
def navi_register_services() -> Sequence[type[Service]]:
    """Register the service ``thrift_prediction``."""
    from navi_dr_transform.thrift_service.service import ThriftPredictionService  # noqa: PLC0415 - imported when asked for

    return [ThriftPredictionService]


@hookimpl
def navi_register_transports() -> Sequence[type[Transport]]:
    """Register the transport ``thrift``."""
    from navi_dr_transform.thrift_service.transport import ThriftTransport  # noqa: PLC0415 - imported when asked for

    return [ThriftTransport]


@hookimpl
def navi_register_commands() -> Sequence[click.Command]:
    """Register ``navi-host transform``, ``navi-host compile`` and ``navi-host demo``."""
    from navi_dr_transform.commands import demo, transform  # noqa: PLC0415 - imported when asked for
    from navi_dr_transform.compile_command import compile_kernels  # noqa: PLC0415 - see above

    return [transform, compile_kernels, demo]


@hookimpl
def navi_plugin_status() -> Mapping[str, str]:
    """Say whether the kernels would be loaded or compiled."""
    from navi_dr_transform.kernel_cache import cache_state  # noqa: PLC0415 - reads the kernels' sources

    return {"kernel_cache": str(cache_state())}
