"""HostRouter: where transports find the handlers of every service, authorised and drained in one place.

This is the only authorisation check of the host: it is keyed by what a handler does
(:class:`~navi_core.contracts.service.Operation`), not by its path, and every transport and every
alias passes through it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Protocol, TypeVar

from navi_core.access_log import AccessLog
from navi_core.authorization import Authorization
from navi_core.contracts.service import (
    GRPC,
    Call,
    Handler,
    HttpRoute,
    Operation,
    Response,
    RpcMethod,
    Service,
)
from navi_core.contracts.transport import HttpMatch
from navi_core.errors import DrainingError, PluginConflictError
from navi_core.types import Bytes

__all__ = ["Admission", "HostRouter"]

_NO_SUCH_PATH: Final = HttpMatch(route=None)
_EVERY_VERB: Final = "*"

_MAX_KEPT: Final = 256
_MAX_KEPT_CHARACTERS: Final = 256
"""So many matches are kept, of paths that are no longer than this."""


class Admission(Protocol):
    """Lets requests in, or has them wait for a moment."""

    @property
    def is_up(self) -> bool:
        """Whether they wait."""
        ...

    async def passed(self) -> None:
        """Wait until they do not."""
        ...

    def each(self, messages: AsyncIterator[Bytes]) -> AsyncIterator[Bytes]:
        """Yield a stream's messages, each when it may be answered."""
        ...


@dataclass(slots=True)
class _Gate:
    """Whether handlers may still run; shared by all handlers of one router."""

    is_draining: bool = False


class HostRouter:
    """The services of one host, behind one door.

    Implements :class:`~navi_core.contracts.transport.Router`.

    Parameters
    ----------
    services
        Their HTTP routes are tried in this order.
    authorization
        Who may do what; None: everybody everything but ADMIN operations.
    admission
        Asked before every INFER and READ operation; None: they all come in at once.
    access_log
        Writes a line for every call; None: nobody does, which costs nothing.

    Raises
    ------
    PluginConflictError
        Two services offer one RPC, or one HTTP route; the text names both.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        authorization: Authorization | None = None,
        admission: Admission | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self._gate: Final = _Gate()
        authorization = authorization or Authorization()
        self._rpcs: Final[dict[str, RpcMethod]] = {}
        self._routes: Final[list[HttpRoute]] = []
        self._fallbacks: Final[list[HttpRoute]] = []
        owners: dict[object, str] = {}
        for service in services:
            for path, method in service.rpc_methods().items():
                _claim(owners, path, f"the RPC {path}", service.name)
                handler = _guard(
                    self._gate,
                    authorization,
                    _admitted(method, admission, streams=method.kind.streams_requests),
                )
                self._rpcs[path] = replace(method, handler=_logged(handler, access_log, service.name))
            for route in service.http_routes():
                handler = _guard(self._gate, authorization, _admitted(route, admission))
                guarded = replace(route, handler=_logged(handler, access_log, service.name))
                if route.fallback:
                    self._fallbacks.append(guarded)
                    continue
                key = (route.verb, route.pattern.pattern, route.pattern.flags, route.with_query)
                _claim(owners, key, f"the route {route.verb} {route.pattern.pattern}", service.name)
                self._routes.append(guarded)
        # clients ask for the same few paths over and over
        self._kept: Final = lru_cache(maxsize=_MAX_KEPT)(self._match)

    @property
    def is_draining(self) -> bool:
        """True once :meth:`begin_drain` was called."""
        return self._gate.is_draining

    def begin_drain(self) -> None:
        """Refuse INFER operations from now on; what runs, runs on."""
        self._gate.is_draining = True

    def rpc(self, path: str, protocol: str = GRPC) -> RpcMethod | None:
        """Return the method at ``/package.Service/Method``; None: no such method of that protocol."""
        method = self._rpcs.get(path)
        return method if method is not None and method.protocol == protocol else None

    def rpc_paths(self) -> Sequence[str]:
        """Return every RPC path, of every protocol, in the order of the services."""
        return tuple(self._rpcs)

    def rpc_services(self) -> Sequence[str]:
        """Return the name of every RPC service (``package.Service``) that gRPC carries, each once."""
        paths = (path for path, method in self._rpcs.items() if method.protocol == GRPC)
        return tuple(dict.fromkeys(path.rpartition("/")[0].removeprefix("/") for path in paths))

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return every HTTP route in the order in which they are tried."""
        return (*self._routes, *self._fallbacks)

    def http(self, verb: str, path: str, query: str) -> HttpMatch:
        """Match a raw path and query.

        The first route that matches wins, fallback routes after all others. A path that matches
        with other verbs only gives those verbs.
        """
        if len(path) + len(query) <= _MAX_KEPT_CHARACTERS:
            return self._kept(verb, path, query)
        return self._match(verb, path, query)

    def _match(self, verb: str, path: str, query: str) -> HttpMatch:
        target = f"{path}?{query}" if query else path
        allowed: list[str] = []
        for route, groups in _matching(self._routes, path, target):
            if route.verb in (verb, _EVERY_VERB):
                return HttpMatch(route=route, groups=groups)
            allowed.append(route.verb)
        for route, groups in _matching(self._fallbacks, path, target):
            if route.verb in (verb, _EVERY_VERB):
                return HttpMatch(route=route, groups=groups)
        return HttpMatch(route=None, allowed=tuple(sorted(set(allowed)))) if allowed else _NO_SUCH_PATH


def _matching(
    routes: Sequence[HttpRoute], path: str, target: str
) -> Iterator[tuple[HttpRoute, dict[str, str]]]:
    for route in routes:
        found = route.pattern.fullmatch(target if route.with_query else path)
        if found is not None:
            yield route, {name: text for name, text in found.groupdict().items() if text is not None}


def _claim(owners: dict[object, str], key: object, what: str, service: str) -> None:
    owner = owners.setdefault(key, service)
    if owner != service:
        raise PluginConflictError(
            f"services '{owner}' and '{service}' both offer {what}: disable one of them"
        )


_Target = TypeVar("_Target", RpcMethod, HttpRoute)


def _admitted(target: _Target, admission: Admission | None, *, streams: bool = False) -> _Target:
    """Have a handler's calls wait where they have to, before they begin."""
    if admission is None or target.operation is Operation.ADMIN:
        return target
    handler = target.handler

    async def later(call: Call) -> Response:
        await admission.passed()
        return await handler(call)

    def admitted(call: Call) -> Awaitable[Response]:
        if streams:
            call.messages = admission.each(call.messages)
        return later(call) if admission.is_up else handler(call)

    return replace(target, handler=admitted)


def _logged(handler: Handler, access_log: AccessLog | None, service: str) -> Handler:
    return handler if access_log is None else access_log.wrapped(handler, service)


def _guard(gate: _Gate, authorization: Authorization, target: RpcMethod | HttpRoute) -> Handler:
    """Wrap a handler.

    The wrapper is a plain function that returns the handler's awaitable: a refusal is raised when it
    is called and everything a handler raises comes later, so transports can tell the two apart, and
    the way of a request has no coroutine more than it needs.
    """
    handler, operation = target.handler, target.operation
    if operation is Operation.READ:
        return handler
    check = authorization.check_of(operation)

    def unchecked(call: Call) -> Awaitable[Response]:
        if gate.is_draining:
            raise DrainingError
        return handler(call)

    def checked(call: Call) -> Awaitable[Response]:
        assert check is not None  # noqa: S101 - it is chosen for that
        check(call)
        return unchecked(call)

    return unchecked if check is None else checked
