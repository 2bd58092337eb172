"""What navi-dr-transform registers. Imports neither Numba nor Thrift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from navi_core import hookimpl
from navi_dr_transform.commands import demo, transform
from navi_dr_transform.compile_command import compile_kernels
from navi_dr_transform.converter import BprConverter

if TYPE_CHECKING:
    import click

    from navi_core import Converter


@hookimpl
def navi_register_converters() -> Sequence[type[Converter]]:
    """Register the converter ``bpr`` (also ``home``)."""
    return [BprConverter]


@hookimpl
def navi_register_commands() -> Sequence[click.Command]:
    """Register ``navi-host transform``, ``navi-host compile`` and ``navi-host demo``."""
    return [transform, compile_kernels, demo]
