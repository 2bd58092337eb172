"""What all requests of one ASGI application share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from navi_core.contracts.service import Call
from navi_core.contracts.transport import Router, TransportOptions
from navi_core.transports.asgi.channel import Scope
from navi_core.transports.asgi.disconnects import DisconnectWatch
from navi_core.transports.asgi.options import AsgiOptions
from navi_core.transports.http_rules import AnswerCompression, watch_deadline
from navi_core.transports.in_flight import InFlight, RunningCall

__all__ = ["Skin", "peer_of"]


@dataclass(slots=True)
class Skin:
    """The router and the settings, and what runs.

    Parameters
    ----------
    router, options, own
        As the transport got them.
    name
        The transport's name, for ``call.transport``.
    """

    router: Router
    options: TransportOptions
    own: AsgiOptions
    name: str
    calls: InFlight = field(default_factory=InFlight)
    is_draining: bool = False
    watch: DisconnectWatch = field(init=False)
    compression: AnswerCompression = field(init=False)

    def __post_init__(self) -> None:
        own = self.own
        self.watch = DisconnectWatch(own.disconnect_poll_ms / 1000.0)
        self.compression = AnswerCompression(
            own.compression == "gzip", own.compression_min_bytes, own.compression_level
        )

    def watch_deadline(self, call: Call, running: RunningCall) -> asyncio.TimerHandle | None:
        """Interrupt a call some time after its deadline: no foreign server does it."""
        return watch_deadline(call, running, self.options.now())


def peer_of(scope: Scope) -> str:
    """Return the client's address, for logs; empty where the server does not know it."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""
