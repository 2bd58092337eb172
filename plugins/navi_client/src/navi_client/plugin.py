"""What this package adds to navi: its protocols, for ``navi-host predict`` and ``navi-host models``.

Only navi imports this module; everything else of the package works without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from navi_client.remote import OipClient, ProtonClient, TfServingClient
from navi_core import RemoteClient, hookimpl

__all__ = ["navi_register_clients"]


@hookimpl
def navi_register_clients() -> Sequence[type[RemoteClient]]:
    """Register a client for each protocol, over gRPC."""
    return [TfServingClient, OipClient, ProtonClient]
