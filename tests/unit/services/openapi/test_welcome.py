"""The page at ``/``."""

from __future__ import annotations

import json

import pytest

from navi_core import Host, HostConfig
from navi_core.contracts.service import Call
from navi_core.services.openapi.welcome import welcome

DOCUMENT = {
    "info": {"title": "navi", "version": "1.2.3"},
    "tags": [{"name": "one", "description": "First."}],
    "paths": {
        "/a": {
            "summary": "of the path",
            "parameters": [],
            "get": {"tags": ["one"], "summary": "A", "responses": {}},
            "post": {"tags": ["one"], "responses": {}},
        },
        "/a/{name}": {"get": {"tags": ["one"], "summary": "One of them", "responses": {}}},
        "/b": {"get": {"tags": ["untold"], "responses": {}}},
    },
}


def test_it_has_every_route_and_links_to_those_that_a_browser_can_open():
    assert welcome(DOCUMENT, ("z.Z", "a.A")) == {
        "name": "navi",
        "version": "1.2.3",
        "links": {"/a": "A", "/b": ""},
        "services": {
            "one": {"description": "First.", "http": ["GET /a", "POST /a", "GET /a/{name}"]},
            "untold": {"description": "", "http": ["GET /b"]},
        },
        "grpc": ["a.A", "z.Z"],
    }


@pytest.mark.parametrize("services", [None, ("openapi", "operations")])
async def test_a_host_answers_with_it(services):
    async with Host(HostConfig(services=services, metrics_paths=("/my/metrics",))) as host:
        route = host.router.http("GET", "/", "").route
        answer = await route.handler(Call(path="/", verb="GET"))
        page = json.loads(answer.body)
        assert (answer.status, dict(answer.headers)["content-type"]) == (200, "application/json")
        assert {"/openapi.json", "/my/metrics", "/healthz/ready"} <= set(page["links"])
        for path in page["links"]:
            assert host.router.http("GET", path, "").route is not None
        assert ("oip" in page["services"]) == ("inference.GRPCInferenceService" in page["grpc"])
        assert ("oip" in page["services"]) == (services is None)
