"""Every exchange, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from navi_core.clients.exchanges.base import Exchange
from navi_core.clients.exchanges.oip import OipGrpc, OipHttp
from navi_core.clients.exchanges.proton import ProtonGrpc, ProtonHttp
from navi_core.clients.exchanges.tf_serving import TfServingGrpc, TfServingHttp

__all__ = ["EXCHANGES"]

EXCHANGES: Final[Mapping[str, Exchange]] = {
    each.name: each
    for each in (TfServingGrpc(), TfServingHttp(), OipGrpc(), OipHttp(), ProtonGrpc(), ProtonHttp())
}
"""``PROTOCOL+SCHEME`` -> what speaks it."""
