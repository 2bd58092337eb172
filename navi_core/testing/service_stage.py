"""A service on the suite's stage: its handlers are found and called as a transport does it, without one."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from navi_core.answering_ahead import AnswerAhead
from navi_core.authorization import Authorization
from navi_core.budget import MemoryBudget
from navi_core.clock import ManualClock
from navi_core.contracts.service import (
    Call,
    Handler,
    HttpRoute,
    Operation,
    Response,
    RpcKind,
    Service,
    StreamError,
)
from navi_core.contracts.service_context import ServiceContext
from navi_core.routing import HostRouter
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.testing.service_plane import LoopSignal, ProbeAdmin, ProbePlane
from navi_core.types import Bytes

__all__ = ["MODEL", "UNKNOWN_MODEL", "Reply", "Sample", "Stage", "Target"]

MODEL: Final = "known_model"
UNKNOWN_MODEL: Final = "unknown_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A request that needs more than a body.

    Parameters
    ----------
    body
        The message, or the HTTP body.
    metadata
        Header or metadata name, in lower case -> value.
    """

    body: bytes = b""
    metadata: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A handler and how it is reached.

    Parameters
    ----------
    where
        ``/package.Service/Method``, or ``VERB /path?query``.
    handler, operation, kind
        As the service registered them; ``kind`` is None for HTTP.
    match
        HTTP: the groups of the route's pattern.
    """

    where: str
    handler: Handler
    operation: Operation
    kind: RpcKind | None = None
    match: Mapping[str, str] = field(default_factory=dict)

    def call(self, sample: Sample, deadline: float | None = None) -> Call:
        """Return a call of the handler, as a transport would make it."""
        verb, _, target = self.where.partition(" ") if self.kind is None else ("", "", self.where)
        path, _, query = target.partition("?") if self.kind is None else (target, "", "")
        streams = self.kind is not None and self.kind.streams_requests
        return Call(
            path=path,
            verb=verb,
            query=query,
            match=self.match,
            body=b"" if streams else sample.body,
            messages=_one_message(sample.body) if streams else _one_message(),
            metadata=sample.metadata,
            deadline=deadline,
            peer="suite",
            transport="suite",
            wire_size_bytes=len(sample.body),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How a call ended.

    Parameters
    ----------
    is_rpc
        Whether ``status`` is a gRPC status number, or an HTTP status.
    status
        The status.
    text
        RPC: the status text. HTTP: the body, where the status is an error.
    body
        The message or body; of a stream, its first message.
    """

    is_rpc: bool
    status: int
    text: str
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether it is an answer, and no error."""
        return self.status == 0 if self.is_rpc else 200 <= self.status < 300

    @property
    def is_not_found(self) -> bool:
        """Whether it says that there is no such thing."""
        return self.status == (5 if self.is_rpc else 404)

    @property
    def blames_the_server(self) -> bool:
        """Whether it says that the server has a bug."""
        return self.status in ((2, 13, 15) if self.is_rpc else (500,))


async def _one_message(*messages: Bytes) -> AsyncIterator[Bytes]:
    for message in messages:
        yield message


class Stage:
    """A service with the probe's data plane behind it.

    Attributes
    ----------
    context, service, plane, admin, clock, router
        See their names.
    """

    def __init__(
        self,
        make: Callable[[ServiceContext], Service],
        signature: Signature,
        model: str = MODEL,
        signature_name: str = DEFAULT_SIGNATURE,
    ) -> None:
        self.plane = ProbePlane(model, signature, signature_name)
        self.admin = ProbeAdmin(self.plane)
        self.clock = ManualClock()
        self.context = ServiceContext(
            plane=self.plane,
            admin=self.admin,
            now=self.clock.now,
            new_signal=LoopSignal,
            answer_ahead=AnswerAhead(MemoryBudget()),
            rpc_services=lambda: self.router.rpc_services(),  # noqa: PLW0108 - made from the service
            descriptor_sets=self._descriptor_sets,
        )
        self.service = make(self.context)
        self.router = HostRouter([self.service], authorization=Authorization(allow_admin=True))

    def _descriptor_sets(self) -> Mapping[str, bytes]:
        own = self.service.descriptor_set
        return {} if own is None else {self.service.name: own}

    def target(self, where: str) -> Target:
        """Return the handler that the router finds.

        Raises
        ------
        LookupError
            There is none.
        """
        if where.startswith("/"):
            own = self.service.rpc_methods().get(where)
            method = None if own is None else self.router.rpc(where, own.protocol)
            if method is None:
                raise LookupError(
                    f"the service has no RPC {where}: it has {', '.join(self.router.rpc_paths())}"
                )
            return Target(where=where, handler=method.handler, operation=method.operation, kind=method.kind)
        route, groups = self.route(where)
        if route is None:
            raise LookupError(f"no route of the service takes {where}")
        return Target(where=where, handler=route.handler, operation=route.operation, match=groups)

    def route(self, where: str) -> tuple[HttpRoute | None, Mapping[str, str]]:
        """Return the route that takes ``VERB /path?query``, and its groups."""
        verb, _, target = where.partition(" ")
        path, _, query = target.partition("?")
        found = self.router.http(verb, path, query)
        return found.route, found.groups

    async def ask(self, target: Target, sample: Sample, deadline: float | None = None) -> Reply:
        """Call a handler and read its answer, as a transport does."""
        response = await target.handler(target.call(sample, deadline))
        try:
            return await _read(target, response)
        finally:
            if response.on_written is not None:
                response.on_written()


async def _read(target: Target, response: Response) -> Reply:
    """Read an answer; of a stream the first message, then the client has enough."""
    status, text = response.status, response.message
    assert type(status) is int, f"{target.where}: expected an int as status, got {status!r}"
    body = b""
    if response.stream is not None:
        try:
            body = bytes(await anext(response.stream, b""))
        except StreamError as error:
            status, text = error.status, error.message
        finally:
            close = getattr(response.stream, "aclose", None)
            if close is not None:
                await close()
    elif isinstance(response.body, bytes | bytearray | memoryview):
        body = bytes(response.body)
    else:
        body = b"".join(bytes(piece) for piece in response.body)
    for name, value in (*response.headers, *response.trailers):
        assert name == name.lower(), f"{target.where}: header names are in lower case, got {name!r}"
        wanted = bytes if name.endswith("-bin") else str
        assert isinstance(value, wanted), f"{target.where}: header {name}: expected {wanted}, got {value!r}"
    is_rpc = target.kind is not None
    if is_rpc:
        assert 0 <= status <= 16, f"{target.where}: expected a gRPC status, got {status}"
    else:
        assert 200 <= status <= 599, f"{target.where}: expected an HTTP status, got {status}"
        text = body.decode("utf-8", "replace") if status >= 400 else ""
    return Reply(is_rpc=is_rpc, status=status, text=text, body=body)
