"""What navi-graphserver registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from navi_core import hookimpl

if TYPE_CHECKING:
    import click

    from navi_core import Runtime, Service


@hookimpl
def navi_register_runtimes() -> Sequence[type[Runtime]]:
    """Register the runtime ``samediff``."""
    from navi_graphserver.runtime import GraphRuntime  # noqa: PLC0415 - imported when asked for

    return [GraphRuntime]


@hookimpl
def navi_register_services() -> Sequence[type[Service]]:
    """Register the service ``graphserver``."""
    from navi_graphserver.service.service import GraphInferenceService  # noqa: PLC0415 - imported when asked for

    return [GraphInferenceService]


@hookimpl
def navi_register_commands() -> Sequence[click.Command]:
    """Register ``navi-host graphserver``."""
    from navi_graphserver.commands import graphserver  # noqa: PLC0415 - imported when asked for

    return [graphserver]
