"""What navi-graphserver registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from navi_core import hookimpl
from navi_graphserver.commands import graphserver
from navi_graphserver.runtime import GraphRuntime
from navi_graphserver.service.service import GraphInferenceService

if TYPE_CHECKING:
    import click

    from navi_core import Runtime, Service


@hookimpl
def navi_register_runtimes() -> Sequence[type[Runtime]]:
    """Register the runtime ``samediff``."""
    return [GraphRuntime]


@hookimpl
def navi_register_services() -> Sequence[type[Service]]:
    """Register the service ``graphserver``."""
    return [GraphInferenceService]


@hookimpl
def navi_register_commands() -> Sequence[click.Command]:
    """Register ``navi-host graphserver``."""
    return [graphserver]
