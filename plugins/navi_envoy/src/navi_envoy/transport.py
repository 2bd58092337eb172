"""EnvoyTransport: gRPC and HTTP on one port, carried by Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from navi_core import AsgiTransport
from navi_envoy.options import EnvoyOptions

if TYPE_CHECKING:
    from navi_core import ForeignServer, LaunchPlan

__all__ = ["EnvoyTransport"]


class EnvoyTransport(AsgiTransport):
    """Envoy listens and speaks HTTP/1.1, HTTP/2, HTTP/3 and gRPC-Web; the ASGI application inside answers.

    Its methods run inside Envoy's process, on the event loop that Envoy's Python module owns; only
    :meth:`launch` is called outside.
    """

    name: ClassVar[str] = "envoy"
    default_port: ClassVar[int] = 8500
    options_type = EnvoyOptions

    def launch(self, plan: LaunchPlan) -> ForeignServer:
        """Return Envoy, not started yet."""
        from navi_envoy.server import EnvoyServer  # noqa: PLC0415 - not needed inside Envoy, nor to list plugins

        return EnvoyServer(plan)
