"""Transport: moves bytes between clients and services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import msgspec

from navi_core.contracts.serve_flags import ServeFlag
from navi_core.contracts.service import GRPC, HttpRoute, RpcMethod

if TYPE_CHECKING:
    from navi_core.contracts.foreign import ForeignServer, LaunchPlan

__all__ = ["Address", "BodyBudget", "HttpMatch", "Router", "TlsFiles", "Transport", "TransportOptions"]


@dataclass(frozen=True, slots=True)
class Address:
    """One place where a transport listens.

    Parameters
    ----------
    scheme
        ``grpc``, ``http``, ``https``, ``unix``...
    host, port
        For a Unix socket ``host`` is the path and ``port`` is 0.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return f"{self.scheme}:{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host  # an IPv6 address, as URLs have it
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpMatch:
    """What the router found for an HTTP request: a route, or why there is none.

    Parameters
    ----------
    route
        The route; None when refused.
    groups
        The pattern's named groups.
    allowed
        The verbs that the path has, when the verb was wrong (405); empty: no such path (404).
    """

    route: HttpRoute | None
    groups: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()


class Router(Protocol):
    """Where transports find handlers. The handlers come wrapped: authorised, refused while draining.

    A refusal is a :class:`~navi_core.errors.NaviError` that is raised when the handler is *called*;
    the transport words it. What the awaitable raises is a bug of the service's.
    """

    def rpc(self, path: str, protocol: str = GRPC) -> RpcMethod | None:
        """Return the method at ``/package.Service/Method``; None: no such method of that protocol."""
        ...

    def http(self, verb: str, path: str, query: str) -> HttpMatch:
        """Match a raw path and query."""
        ...

    def rpc_paths(self) -> Sequence[str]:
        """Return every RPC path, of every protocol."""
        ...


class BodyBudget(Protocol):
    """The process-wide budget of in-flight body bytes."""

    def reserve(self, size_bytes: int) -> AbstractContextManager[None]:
        """Hold ``size_bytes`` until the context is left.

        Raises
        ------
        MemoryBudgetError
            The budget does not allow it now.
        """
        ...

    def take(self, size_bytes: int) -> None:
        """Hold ``size_bytes`` until they are given back: without an object, for what every request does.

        Raises
        ------
        MemoryBudgetError
            The budget does not allow it now.
        """
        ...

    def give_back(self, size_bytes: int) -> None:
        """Hold ``size_bytes`` less; the caller took them before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of a TLS listener.

    Parameters
    ----------
    key, certificate
        The server's own; ``certificate`` may be followed by its chain in ``chain``.
    chain
        More certificates, appended to ``certificate``.
    client_ca
        Clients must show a certificate signed by one of these; None: no client certificates.
    """

    key: Path
    certificate: Path
    chain: Path | None = None
    client_ca: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """The settings that concern every transport.

    Parameters
    ----------
    host, port
        Where to listen; port 0: any free one.
    max_message_bytes
        The largest message, each way (INT32_MAX as in TensorFlow Serving).
    max_inflated_bytes, max_inflate_ratio
        Limits of a compressed request body; the ratio counts from 32 MiB on, for a tensor of one value shrinks as much
        as any bomb.
    budget
        Reserve before reading or keeping a body; release when the answer is written.
    tls
        None: plain text.
    reuse_port
        Several processes share the port.
    options
        An instance of the transport's ``options_type``; None where it has none.
    now
        The monotonic clock, in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    max_message_bytes: int = 2**31 - 1
    max_inflated_bytes: int = 2**31 - 1
    max_inflate_ratio: float = 200.0
    budget: BodyBudget
    tls: TlsFiles | None = None
    reuse_port: bool = False
    options: msgspec.Struct | None = None
    now: Callable[[], float]


class Transport(ABC):
    """Moves bytes. It inflates requests, compresses answers, and carries what services said.

    It has error texts of its own only for what happens before a service is reached: no such
    method, too large, bad compression, budget. One instance per listener.

    Attributes
    ----------
    name
        The word used in configuration and metrics; unique.
    hosting
        ``in_host``: the host starts it. ``hosts_us``: a foreign server owns process and loop and
        imports us; ``launch`` starts that server, and the app inside builds the host.
    carries
        ``rpc``, ``http`` or both.
    rpc_protocol
        How it frames RPCs: it carries the methods of that ``protocol``, and asks the router for them.
    default_port
        The port when the configuration names none.
    options_type
        A ``msgspec.Struct`` (unknown fields forbidden) for its table; None: no options.
    serve_flags
        Flags that ``navi-host serve`` offers for it, of the scope ``host``. Their option is ``port`` or ``host`` of its
        table, or one of its options; a flag that is given starts the transport beside the others.
    """

    name: ClassVar[str]
    hosting: ClassVar[Literal["in_host", "hosts_us"]] = "in_host"
    carries: ClassVar[frozenset[Literal["rpc", "http"]]]
    rpc_protocol: ClassVar[str] = GRPC
    default_port: ClassVar[int]
    options_type: ClassVar[type[msgspec.Struct] | None] = None
    serve_flags: ClassVar[Sequence[ServeFlag]] = ()

    @classmethod  # noqa: B027 - nothing to import is a fine answer
    def prepare(cls) -> None:
        """Import what :meth:`start` will need: for a process that waits until it is needed."""

    @abstractmethod
    async def start(self, router: Router, options: TransportOptions) -> Sequence[Address]:
        """Listen; returns the addresses once connections are accepted.

        Raises
        ------
        ConfigError
            The address cannot be used, or the TLS files cannot.
        """

    @abstractmethod
    async def drain(self, timeout_s: float) -> None:
        """Take no new connection, finish running calls; returns when they have ended or time is up.

        New calls on open connections are answered UNAVAILABLE ``draining``, not reset.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Close what is left, at once. Idempotent."""

    def launch(self, plan: LaunchPlan) -> ForeignServer:
        """Return the foreign server, not started yet (``hosts_us`` only).

        Raises
        ------
        NotImplementedError
            The transport is ``in_host``.
        """
        msg = f"transport '{self.name}' is started by the host, it does not host it ({plan.app})"
        raise NotImplementedError(msg)
