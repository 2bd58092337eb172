"""The half of the service suite about what a service registers."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from navi_core.contracts.service import HttpRoute, Operation, RpcKind, RpcMethod, Service
from navi_core.plugins.kinds import KINDS, problem_of_class
from navi_core.routing import HostRouter
from navi_core.testing.imports import assert_import_light
from navi_core.testing.registries import registry_of
from navi_core.testing.service_cases import ServiceCases, methods_and_routes
from navi_core.testing.service_stage import Stage

__all__ = ["ShapeCases"]

_PATH: Final = re.compile(r"/[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*/[A-Za-z_][A-Za-z0-9_]*")
_VERB: Final = re.compile(r"[A-Z]+|\*")

_SOCKETS_AND_LOOPS: Final = frozenset(
    [
        "aiohttp",
        "anyio",
        "asyncio",
        "concurrent",
        "gevent",
        "grpc",
        "http",
        "multiprocessing",
        "select",
        "selectors",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "threading",
        "tornado",
        "trio",
        "twisted",
        "uvicorn",
        "uvloop",
        "websockets",
    ]
)


class ShapeCases(ServiceCases):
    """What holds before anything is called."""

    def test_plugin_module_imports_no_transport_and_no_framework(self) -> None:
        """Listing plugins stays quick."""
        if not self.plugin_module:
            pytest.skip("plugin_module is not set")
        assert_import_light(self.plugin_module, self.heavy_modules)

    def test_class_can_be_registered(self) -> None:
        """The class is one that the host takes: its name is a word, nothing abstract is left."""
        kind = type(self._stage().service)
        assert not (problem := problem_of_class(kind, KINDS["service"])), problem

    def test_every_handler_says_what_it_does(self) -> None:
        """Each has an operation (infer, read, admin), which authorisation and draining go by."""
        found = list(methods_and_routes(self._stage().service))
        assert found, "a service has RPC methods, HTTP routes, or both"
        for where, each in found:
            assert isinstance(each.operation, Operation), f"{where}: operation is {each.operation!r}"
            assert callable(each.handler), where
            if isinstance(each, HttpRoute):
                assert _VERB.fullmatch(each.verb), f"{where}: expected a verb in capitals, or *"
                assert isinstance(each.pattern, re.Pattern), f"{where}: expected a compiled pattern"
            else:
                assert isinstance(each.kind, RpcKind), f"{where}: kind is {each.kind!r}"

    def test_rpc_paths_are_well_formed(self) -> None:
        """A path is ``/package.Service/Method``."""
        for path in self._stage().service.rpc_methods():
            assert _PATH.fullmatch(path), f"expected /package.Service/Method, got {path!r}"

    def test_rpcs_are_those_of_the_descriptors(self) -> None:
        """Where there is a descriptor set, every RPC is in it, and streams as it says."""
        service = self._stage().service
        if service.descriptor_set is None:
            pytest.skip("the service has no descriptor set")
        described = dict(_described(service.descriptor_set))
        for path, method in service.rpc_methods().items():
            assert path in described, f"{path} is not in the descriptor set, which has {', '.join(described)}"
            assert method.kind is described[path], f"{path}: the descriptor set says {described[path]}"

    def test_http_routes_do_not_clash(self) -> None:
        """No route is registered twice, none is one of navi's own, and each can be reached."""
        stage = self._stage()
        routes = [route for route in stage.service.http_routes() if not route.fallback]
        keys = [
            (route.verb, route.pattern.pattern, route.pattern.flags, route.with_query) for route in routes
        ]
        assert len(set(keys)) == len(keys), "a route is registered twice"
        HostRouter([*_own_services(stage), stage.service])  # raises, naming both
        reached = set()
        for where in self.samples(self.model):
            if not where.startswith("/"):
                route, _ = stage.route(where)
                assert route is not None, f"no route takes the sample {where}"
                reached.add((route.verb, route.pattern))
        for route in routes:
            where = f"{route.verb} {route.pattern.pattern}"
            assert (route.verb, route.pattern) in reached, (
                f"no sample reaches the route {where}: samples() lacks one, or an earlier route takes it"
            )

    def test_every_rpc_has_a_sample(self) -> None:
        """What is not asked for is not tested; None says that there is no such request."""
        stage = self._stage()
        lacking = [path for path in stage.router.rpc_paths() if path not in self.samples(self.model)]
        assert not lacking, f"samples() lacks {', '.join(lacking)}"

    def test_handlers_know_no_socket_and_no_event_loop(self) -> None:
        """A service awaits only the data plane, so that any transport can carry it."""
        service = self._stage().service
        modules = {type(service).__module__}
        modules |= {module for _, each in methods_and_routes(service) for module in _modules_of(each)}
        for module in sorted(modules):
            source = inspect.getsource(sys.modules[module])
            wrong = sorted(set(_imported(ast.parse(source))) & _SOCKETS_AND_LOOPS)
            assert not wrong, f"{module} imports {', '.join(wrong)}"


def _own_services(stage: Stage) -> Iterator[Service]:
    """Yield navi's own services, built, without the one under test."""
    registry = registry_of()
    for name in registry.services():
        kind = registry.service(name)
        if name != stage.service.name and not isinstance(stage.service, kind):
            yield kind.create(stage.context)


def _described(descriptor_set: bytes) -> Iterator[tuple[str, RpcKind]]:
    from google.protobuf import descriptor_pb2  # noqa: PLC0415 - few services have descriptors

    kinds = {
        (False, False): RpcKind.UNARY,
        (False, True): RpcKind.SERVER_STREAM,
        (True, False): RpcKind.CLIENT_STREAM,
        (True, True): RpcKind.BIDI,
    }
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file:
        for service in file.service:
            full = f"{file.package}.{service.name}" if file.package else service.name
            for method in service.method:
                yield f"/{full}/{method.name}", kinds[method.client_streaming, method.server_streaming]


def _modules_of(each: RpcMethod | HttpRoute) -> Iterator[str]:
    for owner in (each.handler, type(each.handler)):
        module = getattr(owner, "__module__", "")
        if module in sys.modules and module not in sys.stdlib_module_names:
            yield module


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level names of what a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
