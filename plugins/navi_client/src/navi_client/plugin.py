"""What this package adds to navi: its protocols, for ``navi-host predict`` and ``navi-host models``.

Only navi imports this module; everything else of the package works without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from navi_core import hookimpl

if TYPE_CHECKING:
    from navi_core import RemoteClient

__all__ = ["navi_register_clients"]


@hookimpl
def navi_register_clients() -> Sequence[type[RemoteClient]]:
    """Register a client for each protocol, over gRPC."""
    from navi_client.remote import (  # noqa: PLC0415 - imported when asked for
        OipClient,
        ProtonClient,
        TfServingClient,
    )

    return [TfServingClient, OipClient, ProtonClient]
