from __future__ import annotations

import re

import pytest

from navi_core.authorization import Authorization
from navi_core.contracts.service import Call, HttpRoute, Operation, Response, RpcKind, RpcMethod, Service
from navi_core.contracts.transport import HttpMatch
from navi_core.errors import DrainingError, ErrorCode, NaviError, PluginConflictError
from navi_core.routing import HostRouter


async def answer(call):
    return Response(status=0, body=call.path.encode())


def rpc(operation=Operation.INFER, handler=answer, **more):
    return RpcMethod(kind=RpcKind.UNARY, handler=handler, operation=operation, **more)


def route(verb, pattern, *, operation=Operation.INFER, handler=answer, **more):
    return HttpRoute(verb=verb, pattern=re.compile(pattern), handler=handler, operation=operation, **more)


def service(service_name, *, rpcs=None, routes=()):
    class Fake(Service):
        name = service_name

        def rpc_methods(self):
            return rpcs or {}

        def http_routes(self):
            return routes

        @classmethod
        def create(cls, context):
            return cls()

    return Fake()


async def test_rpc_methods_are_found_by_their_exact_path():
    router = HostRouter([service("one", rpcs={"/a.B/C": rpc()}), service("two", rpcs={"/a.D/E": rpc()})])
    assert router.rpc_paths() == ("/a.B/C", "/a.D/E")
    assert router.rpc_services() == ("a.B", "a.D")
    assert router.rpc("/a.b/c") is None
    assert router.rpc("a.B/C") is None
    response = await router.rpc("/a.B/C").handler(Call(path="/a.B/C"))
    assert response.body == b"/a.B/C"


def test_rpc_methods_are_for_transports_of_their_protocol_alone():
    router = HostRouter([service("one", rpcs={"/a.B/C": rpc(), "/a.D/E": rpc(protocol="smoke")})])
    assert router.rpc("/a.B/C").protocol == "grpc"
    assert router.rpc("/a.B/C", "smoke") is None
    assert router.rpc("/a.D/E") is None
    assert router.rpc("/a.D/E", "smoke").protocol == "smoke"
    assert router.rpc_paths() == ("/a.B/C", "/a.D/E")
    assert router.rpc_services() == ("a.B",)  # reflection and health are asked over gRPC


def test_two_services_with_one_rpc_clash_and_both_are_named():
    with pytest.raises(PluginConflictError, match=r"'one' and 'two'.*/a\.B/C"):
        HostRouter([service("one", rpcs={"/a.B/C": rpc()}), service("two", rpcs={"/a.B/C": rpc()})])


def test_two_services_with_one_route_clash_but_fallbacks_queue_up():
    same = [route("GET", "/metrics")]
    with pytest.raises(PluginConflictError, match=r"'one' and 'two'.*GET /metrics"):
        HostRouter([service("one", routes=same), service("two", routes=same)])
    fallback = [route("*", ".*", fallback=True)]
    router = HostRouter([service("one", routes=fallback), service("two", routes=fallback)])
    assert router.http("GET", "/", "").route is not None


def test_the_first_matching_route_wins_and_groups_come_raw():
    first = route("GET", "/v1/(?P<name>[^/]+)(?:/(?P<rest>.*))?")
    router = HostRouter([service("one", routes=[first, route("GET", "/v1/x")])])
    match = router.http("GET", "/v1/x", "")
    assert match.route.pattern is first.pattern
    assert match.groups == {"name": "x"}
    assert router.http("GET", "/v1/a%2Fb", "q=1").groups == {"name": "a%2Fb"}


def test_a_path_must_match_as_a_whole():
    router = HostRouter([service("one", routes=[route("GET", "/v1")])])
    assert router.http("GET", "/v1/", "").route is None
    assert router.http("GET", "/v1", "ignored=1").route is not None


def test_with_query_matches_path_and_query_together():
    router = HostRouter([service("one", routes=[route("GET", r"/v1\?x=.*", with_query=True)])])
    assert router.http("GET", "/v1", "x=1").route is not None
    assert router.http("GET", "/v1", "").route is None


def test_another_verb_only_gives_the_allowed_verbs():
    routes = [route("GET", "/v1"), route("POST", "/v1"), route("DELETE", "/other")]
    router = HostRouter([service("one", routes=routes)])
    match = router.http("PUT", "/v1", "")
    assert match.route is None
    assert match.allowed == ("GET", "POST")
    assert router.http("GET", "/nowhere", "").allowed == ()


def test_every_verb_star_and_fallback_after_all_others():
    fallback = route("*", "/v1.*", fallback=True)
    router = HostRouter(
        [service("one", routes=[fallback, route("GET", "/v1")]), service("two", routes=[route("*", "/v1/y")])]
    )
    assert router.http("PATCH", "/v1/y", "").route.pattern.pattern == "/v1/y"
    assert router.http("GET", "/v1", "").route.pattern.pattern == "/v1"
    # a fallback that matches comes before "wrong verb"
    assert router.http("POST", "/v1", "").route.pattern is fallback.pattern
    assert router.http("GET", "/v2", "").route is None


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("allow_admin", [False, True])
@pytest.mark.parametrize("draining", [False, True])
async def test_the_gate_is_keyed_by_operation(operation, allow_admin, draining):
    router = HostRouter(
        [service("one", rpcs={"/a.B/C": rpc(operation)}, routes=[route("GET", "/x", operation=operation)])],
        authorization=Authorization(allow_admin=allow_admin),
    )
    handlers = [router.rpc("/a.B/C").handler, router.http("GET", "/x", "").route.handler]
    if draining:
        router.begin_drain()
    assert router.is_draining == draining
    for handler in handlers:
        if operation is Operation.ADMIN and not allow_admin:
            with pytest.raises(NaviError, match="--admin") as refused:
                handler(Call(path="/x"))
            assert refused.value.code is ErrorCode.PERMISSION_DENIED
        elif draining and operation is not Operation.READ:
            with pytest.raises(DrainingError, match=r"^draining$"):
                handler(Call(path="/x"))
        else:
            assert (await handler(Call(path="/x"))).body == b"/x"


async def test_refusals_are_raised_by_the_call_and_what_a_handler_raises_by_the_await():
    async def broken(call):
        raise DrainingError("from the service")

    handler = HostRouter([service("one", rpcs={"/a.B/C": rpc(handler=broken)})]).rpc("/a.B/C").handler
    awaitable = handler(Call(path="/a.B/C"))
    with pytest.raises(DrainingError, match="from the service"):
        await awaitable


def test_paths_are_looked_up_once_unless_they_are_long():
    looked_up = []

    class Watched:
        pattern, flags = "/a/(?P<rest>.*)", 0

        def fullmatch(self, target):
            looked_up.append(target)
            return re.fullmatch(self.pattern, target)

    watched = HttpRoute(verb="GET", pattern=Watched(), handler=answer, operation=Operation.READ)
    router = HostRouter([service("one", routes=[watched])])
    for path in ("/a/b", "/a/" + "c" * 1000):
        looked_up.clear()
        matches = [router.http("GET", path, "") for _ in range(3)]
        assert [match.groups["rest"] for match in matches] == [path.removeprefix("/a/")] * 3
        assert len(looked_up) == (1 if len(path) < 100 else 3)
    assert router.http("POST", "/a/b", "").allowed == ("GET",)
    assert router.http("GET", "/b", "") == HttpMatch(route=None)
