"""The OpenAPI document: what a host offers with its configuration, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import validate

from navi_core.authorization import Authorization
from navi_core.clock import ManualClock
from navi_core.config.records import AuthSettings
from navi_core.contracts.service import Call, HttpRoute, Operation, Response, Service
from navi_core.contracts.service_context import ServiceContext, ServiceOptions
from navi_core.openapi import VERBS, compose, described_operations, resolve, route_of
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry
from navi_core.routing import HostRouter
from navi_core.services.openapi.service import OpenApiService

ROOT = Path(__file__).parents[2]
SETTINGS = [{}, {"oip": {"compat": "triton"}}]


@pytest.fixture(scope="module")
def kinds():
    registry = Registry(discover(environ={"NAVI_PLUGINS": ""}))
    return list(registry.services().values())


def built(kinds, *, openapi=dict, **tables):
    options = ServiceOptions(tables=tables, metrics_paths=("/metrics", "/monitoring/prometheus/metrics"))
    context = ServiceContext(
        plane=None, admin=None, now=ManualClock().now, new_signal=None, options=options, openapi=openapi
    )
    return [kind.create(context) for kind in kinds]


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("secret\n")
    return str(file)


def operations_of(document):
    return {
        (verb, path): item[verb] for path, item in document["paths"].items() for verb in VERBS if verb in item
    }


# --- every route, and nothing else ------------------------------------------------------------------------


@pytest.mark.parametrize("tables", SETTINGS)
def test_every_route_of_every_service_is_described_and_vice_versa(kinds, tables):
    services = built(kinds, **tables)
    document = compose(services, Authorization(allow_admin=True))
    router = HostRouter(services, authorization=Authorization(allow_admin=True))
    reached = set()
    for each in described_operations(document):
        found = router.http(each.verb, each.path, "").route
        assert found is not None, each.path
        assert found.advertised
        assert not found.fallback
        reached.add((found.verb, found.pattern))
    advertised = {
        (route.verb, route.pattern)
        for route in router.http_routes()
        if route.advertised and not route.fallback
    }
    assert reached == advertised
    assert len(reached) > 20


def test_refusals_by_name_are_not_advertised(kinds):
    services = built(kinds)
    routes = [route for service in services for route in service.http_routes()]
    hidden = [route.pattern.pattern for route in routes if not route.advertised]
    assert any("systemsharedmemory" in pattern for pattern in hidden)
    text = json.dumps(compose(services, Authorization(allow_admin=True)))
    assert "sharedmemory" not in text
    assert "trace/setting" not in text
    assert route_of(routes, "GET", "/v2/logging") is None


@pytest.mark.parametrize("tables", SETTINGS)
def test_the_document_is_valid(kinds, tables):
    validate(compose(built(kinds, **tables), Authorization()))


def test_the_committed_documents_are_made_from_their_sources():
    spec = importlib.util.spec_from_file_location("build_openapi", ROOT / "tools" / "build_openapi.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main(["--check"]) == 0, "run tools/build_openapi.py"
    assert {path.stem for path in tool.SOURCES.glob("*.yaml")} == set(tool.TARGETS)
    validate(yaml.safe_load((ROOT / "specs" / "openapi.yaml").read_text()))


def test_a_source_that_changed_is_found(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("build_openapi", ROOT / "tools" / "build_openapi.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    stale = tmp_path / "openapi.yaml"
    stale.write_text("openapi: 3.0.3\n")
    monkeypatch.setattr(tool, "DOCUMENT", stale)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "document", lambda: "made\n")
    monkeypatch.setattr(tool, "parts", lambda: iter([]))
    assert tool.main(["--check"]) == 1
    assert "openapi.yaml" in capsys.readouterr().err
    assert stale.read_text() == "openapi: 3.0.3\n"
    assert tool.main([]) == 0
    assert stale.read_text() == "made\n"


# --- what this host offers ----------------------------------------------------------------------------------


def test_without_admin_there_are_no_admin_operations(kinds):
    document = compose(built(kinds), Authorization())
    paths = document["paths"]
    assert "/v2/repository/index" in paths
    assert not [path for path in paths if path.endswith("load")]


def test_only_services_of_the_host_are_there(kinds):
    some = [kind for kind in kinds if kind.name in ("proton", "openapi")]
    document = compose(built(some), Authorization())
    assert set(document["paths"]) == {"/predict", "/models", "/ready", "/openapi.json"}
    assert [tag["name"] for tag in document["tags"]] == ["proton", "openapi"]
    assert not [name for name in document["components"]["schemas"] if name.startswith("oip")]


def test_tokens_are_asked_for_where_the_host_does(kinds, tokens):
    settings = AuthSettings(admin_token_file=tokens)
    found = operations_of(compose(built(kinds), Authorization(allow_admin=True, settings=settings)))
    load = found["post", "/v2/repository/models/{model}/load"]
    predict = found["post", "/v1/models/{model}:predict"]
    assert load["security"] == [{"bearer": []}]
    assert "401" in load["responses"]
    assert "security" not in predict
    assert "401" not in predict["responses"]
    found = operations_of(
        compose(built(kinds), Authorization(settings=AuthSettings(infer_token_file=tokens)))
    )
    assert found["post", "/v1/models/{model}:predict"]["security"] == [{"bearer": []}]
    assert not [key for key, each in found.items() if key[0] == "get" and "security" in each]
    assert "securitySchemes" not in compose(built(kinds), Authorization())["components"]


def test_inference_may_say_how_long_its_client_waits(kinds):
    found = operations_of(compose(built(kinds), Authorization()))
    timeout = {"$ref": "#/components/parameters/host.RequestTimeout"}
    saying = {path for (_, path), each in found.items() if timeout in each.get("parameters", ())}
    assert {"/v1/models/{model}:predict", "/v2/models/{model}/infer", "/predict"} <= saying
    assert not saying & {"/v1/models", "/v2/repository/index", "/healthz/live"}


def test_the_metrics_page_is_where_it_is_configured(kinds):
    paths = compose(built(kinds), Authorization())["paths"]
    assert {"/metrics", "/monitoring/prometheus/metrics"} <= set(paths)


def test_triton_has_no_bodies_of_health(kinds):
    document = compose(built(kinds, oip={"compat": "triton"}), Authorization(allow_admin=True))
    found = operations_of(document)
    live = found["get", "/v2/health/live"]["responses"]
    assert "content" not in live["200"]
    assert "503" not in live
    assert "content" not in found["post", "/v2/repository/models/{model}/load"]["responses"]["200"]
    assert "content" in found["post", "/v2/models/{model}/infer"]["responses"]["200"]


def test_early_answers_stand_beside_the_services_own(kinds):
    document = compose(built(kinds), Authorization())
    found = operations_of(document)
    predict = found["post", "/predict"]["responses"]
    refused = resolve(document, predict["400"])["content"]
    assert set(refused) == {"text/plain", "application/json"}  # Proton's word, and the transport's
    assert predict["413"] == {"$ref": "#/components/responses/host.413"}
    ready = found["get", "/healthz/ready"]["responses"]
    assert set(ready) == {"200", "400", "500", "503", "504"}


# --- descriptions that others wrote -------------------------------------------------------------------------


class Strange(Service):
    """A service whose description is given to it."""

    name = "a stranger/s"

    def __init__(self, described, verb="GET", path="/x"):
        self.described = described
        self.verb, self.path = verb, path

    @classmethod
    def create(cls, context):
        raise NotImplementedError

    async def answer(self, call):
        return Response(status=200)

    def http_routes(self):
        pattern = re.compile(re.escape(self.path))
        return [HttpRoute(verb=self.verb, pattern=pattern, handler=self.answer, operation=Operation.READ)]

    def openapi(self):
        if isinstance(self.described, Exception):
            raise self.described
        return self.described


ANSWERS = {"200": {"description": "fine"}}


@pytest.mark.parametrize(
    "described",
    [
        OSError("no such file"),
        [],
        {"paths": []},
        {"paths": {"/x": {"get": {}}}},
        {"paths": {"/x": {"get": {"responses": {"400": {"$ref": "#/components/responses/None"}}}}}},
        {"paths": {"/x": {"parameters": [{"$ref": "#/nothing"}], "get": {"responses": ANSWERS}}}},
        {"paths": {"/{x}": {"get": {"responses": ANSWERS}}}},
    ],
)
def test_a_broken_description_costs_the_others_nothing(kinds, described, caplog):
    document = compose([Strange(described), *built(kinds)], Authorization())
    assert document == compose(built(kinds), Authorization())


def test_names_of_two_services_do_not_clash():
    def described(path, kind):
        schema = {"schema": {"$ref": "#/components/schemas/Answer"}}
        answers = {"200": {"description": "fine", "content": {"application/json": schema}}}
        operation = {"operationId": "get", "responses": answers}
        return {"paths": {path: {"get": operation}}, "components": {"schemas": {"Answer": {"type": kind}}}}

    one, two = Strange(described("/x", "string")), Strange(described("/y", "number"), path="/y")
    two.name = "two"
    document = compose([one, two], Authorization())
    validate(document)
    found = operations_of(document)
    for path, kind in (("/x", "string"), ("/y", "number")):
        operation = found["get", path]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert resolve(document, schema) == {"type": kind}
    assert {each["operationId"] for each in found.values()} == {"a_stranger_s_get", "two_get"}


def test_of_two_that_describe_one_operation_the_first_is_reached():
    described = {"paths": {"/x": {"get": {"summary": "first", "responses": ANSWERS}}}}
    other = {"paths": {"/x": {"get": {"summary": "second", "responses": ANSWERS}}}}
    found = operations_of(compose([Strange(described), Strange(other)], Authorization()))
    assert found["get", "/x"]["summary"] == "first"


def test_what_no_route_takes_is_left_out():
    described = {"paths": {"/x": {"post": {"responses": ANSWERS}}, "/y": {"get": {"responses": ANSWERS}}}}
    assert compose([Strange(described)], Authorization())["paths"] == {}


# --- served -------------------------------------------------------------------------------------------------


async def test_the_document_is_made_once_and_served():
    made = []

    def openapi():
        made.append(1)
        return {"openapi": "3.0.3"}

    [service] = built([OpenApiService], openapi=openapi)
    assert not made
    route, _ = service.http_routes()
    for _ in range(2):
        response = await route.handler(Call(path="/openapi.json"))
        assert (response.status, json.loads(response.body)) == (200, {"openapi": "3.0.3"})
        assert response.headers == (("content-type", "application/json"),)
    assert len(made) == 1
    assert route.operation is Operation.READ
