"""AsgiApp: the application that a foreign server imports."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar

from navi_core.contracts.transport import Router, TransportOptions
from navi_core.transports.asgi.channel import Channel, Receive, Scope, Send
from navi_core.transports.asgi.http import HttpExchange
from navi_core.transports.asgi.options import AsgiOptions
from navi_core.transports.asgi.rpc import RpcExchange, is_grpc
from navi_core.transports.asgi.skin import Skin
from navi_core.transports.early_errors import RETRY_AFTER_S, http_error_body

__all__ = ["AsgiApp"]

_log = logging.getLogger(__name__)


class AsgiApp:
    """A plain ASGI 3 application: RPCs (gRPC over HTTP/2 with trailers) and HTTP on one port.

    It is not bound to a host at first: a foreign server imports it before there is one. Its lifespan
    start-up builds the host, and the host binds it. Requests that come before are told to come again.
    All of it runs on the server's event loop.

    Parameters
    ----------
    name
        The transport's name, for ``call.transport``.
    on_startup, on_shutdown
        Run in the server's lifespan; what ``on_startup`` raises is handed to the server as the reason
        why it must not serve.
    """

    def __init__(
        self,
        name: str,
        *,
        on_startup: Callable[[], Awaitable[None]] | None = None,
        on_shutdown: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._name = name
        self._on_startup = on_startup
        self._on_shutdown = on_shutdown
        self._skin: Skin | None = None

    def bind(self, router: Router, options: TransportOptions) -> Skin:
        """Serve what ``router`` has from now on; returns what runs and how."""
        own = options.options
        self._skin = skin = Skin(
            router, options, own if isinstance(own, AsgiOptions) else AsgiOptions(), self._name
        )
        return skin

    _asgi_single_callable: ClassVar[bool] = True
    """Servers that cannot see a coroutine function here are told by this name (of asgiref) that ASGI 3 is meant."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Answer one scope, as ASGI has it.

        No coroutine function, so that what answers is awaited by the server itself.
        """
        skin = self._skin
        if scope["type"] != "http":
            return self._other(scope, receive, send)
        if skin is None:
            return _refuse_early(send)
        channel = Channel(receive, send, skin.watch)
        if scope["method"] == "POST":
            for name, value in scope["headers"]:
                if name == b"content-type":  # names are in lower case, says ASGI
                    if is_grpc(value):
                        return RpcExchange(skin, scope, channel).run()
                    break
        return HttpExchange(skin, scope, channel).run()

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._live(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1003})
            case other:
                raise NotImplementedError(f"ASGI scope: expected http or lifespan, got {other!r}")

    async def _live(self, receive: Receive, send: Send) -> None:
        stages = {"lifespan.startup": self._on_startup, "lifespan.shutdown": self._on_shutdown}
        for stage, hook in stages.items():
            event = await receive()
            if event["type"] != stage:
                raise RuntimeError(f"ASGI lifespan: expected {stage}, got {event['type']}")
            try:
                if hook is not None:
                    await hook()
            except Exception as error:
                _log.exception("%s failed", stage)
                await send({"type": f"{stage}.failed", "message": str(error)})
                return
            await send({"type": f"{stage}.complete"})


async def _refuse_early(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", RETRY_AFTER_S.encode()),
        # a gRPC client takes 503 for UNAVAILABLE
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": http_error_body("starting"), "more_body": False})
