"""Hooks only: what this package adds to a navi host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from navi_core import hookimpl

if TYPE_CHECKING:
    from navi_core import Transport

__all__ = ["navi_register_transports"]


@hookimpl
def navi_register_transports() -> Sequence[type[Transport]]:
    """Register the transport ``envoy``."""
    from navi_envoy.transport import EnvoyTransport  # noqa: PLC0415 - imported when asked for

    return [EnvoyTransport]
