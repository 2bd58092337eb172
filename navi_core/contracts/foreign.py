"""ForeignServer: a server that hosts navi. It owns process, port and event loop, and imports an application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from navi_core.contracts.transport import Address, TlsFiles

__all__ = ["AsgiApplication", "AsgiHosting", "ForeignServer", "LaunchPlan"]

_Event: TypeAlias = MutableMapping[str, Any]
AsgiApplication: TypeAlias = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[_Event]], Callable[[_Event], Awaitable[None]]],
    Awaitable[None],
]
"""An ASGI 3 application: scope, receive, send."""


@runtime_checkable
class AsgiHosting(Protocol):
    """What a transport of the hosting ``hosts_us`` has besides: the application that its server calls."""

    app: AsgiApplication


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """What a foreign server is started with.

    Parameters
    ----------
    app
        The ASGI application to import, ``module:attribute``. Its lifespan builds the host: a server that ends
        when the start-up fails, and does not listen before it is over.
    host, port
        Where to listen; port 0: any free one.
    tls
        None: plain text.
    reuse_port
        Other servers share the port; if not, a port that is taken is an error.
    options
        An instance of the transport's ``options_type``; None: the defaults.
    environ
        For the server's process, beside what this one has.
    pass_fds
        File descriptors that the server's process inherits under the same numbers.
    log_format
        How the server's own log shall look.
    """

    app: str
    host: str = "127.0.0.1"
    port: int = 0
    tls: TlsFiles | None = None
    reuse_port: bool = False
    options: msgspec.Struct | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    log_format: Literal["console", "json"] = "console"


class ForeignServer(ABC):
    """One server process, seen from the process that started it. It must not outlive that.

    Used on one event loop.
    """

    @abstractmethod
    async def start(self) -> Sequence[Address]:
        """Start it; returns the addresses once connections are accepted, however long the application takes.

        Raises
        ------
        ConfigError
            An address or the TLS files cannot be used.
        NaviError
            It does not start.
        """

    @abstractmethod
    async def begin_drain(self) -> None:
        """Ask clients to leave, with each answer or at once; the application refuses new work at the same time.

        New connections are taken still, so that their requests are refused in words.
        """

    @abstractmethod
    async def drain(self, timeout_s: float) -> None:
        """Take no new connection and let open ones end without a reset; returns when they have, or time is up.

        The application has been drained before: nothing of its runs any more.
        """

    @abstractmethod
    async def stop(self) -> None:
        """End it, at once but in order: the application's lifespan shut-down runs. Idempotent."""

    @abstractmethod
    async def wait(self) -> str:
        """Wait until it has ended, for whatever reason, and return how, in words."""
