"""The protocols by the names that a client is given."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from navi_client.protocols.base import WireProtocol
from navi_client.protocols.oip import OpenInference
from navi_client.protocols.proton import Proton
from navi_client.protocols.tf_serving import TfServing

__all__ = ["PROTOCOLS", "ProtocolName", "protocol_of"]

ProtocolName: TypeAlias = Literal["tf_serving", "oip", "proton"]

PROTOCOLS: Final[dict[str, type[WireProtocol]]] = {
    protocol.name: protocol for protocol in (TfServing, OpenInference, Proton)
}
"""Name -> protocol."""


def protocol_of(name: str, max_tensor_bytes: int) -> WireProtocol:
    """Return a protocol.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got '{name}'")
    return PROTOCOLS[name](max_tensor_bytes)
