"""Hooks only: what this package adds to a navi host."""

from __future__ import annotations

from collections.abc import Sequence

from navi_core import Transport, hookimpl
from navi_envoy.transport import EnvoyTransport

__all__ = ["navi_register_transports"]


@hookimpl
def navi_register_transports() -> Sequence[type[Transport]]:
    """Register the transport ``envoy``."""
    return [EnvoyTransport]
