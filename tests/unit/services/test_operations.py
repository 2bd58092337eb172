from __future__ import annotations

import json

import pytest

from navi_core.clock import ManualClock
from navi_core.contracts.service import Call, Operation
from navi_core.contracts.service_context import ServiceContext, ServiceOptions
from navi_core.routing import HostRouter
from navi_core.services.operations import OperationsService


class Plane:
    """Only what operations asks for."""

    def __init__(self, *, live=True, **ready):
        self.live = live
        self.ready = ready

    def models(self):
        return list(self.ready)

    def is_live(self):
        return self.live

    def is_ready(self, model=None):
        return all(self.ready.values()) if model is None else self.ready[model]

    async def render_metrics(self, accept=""):
        return f"text/plain; accept={accept}", b"metrics 1\n"


def router(plane, **options):
    context = ServiceContext(
        plane=plane,
        admin=None,
        now=ManualClock().now,
        new_signal=None,
        options=ServiceOptions(**options),
    )
    return HostRouter([OperationsService.create(context)])


async def get(plane, path, metadata=None, **options):
    route = router(plane, **options).http("GET", path, "").route
    assert route.operation is Operation.READ
    return await route.handler(Call(path=path, verb="GET", metadata=metadata or {}))


@pytest.mark.parametrize(("live", "status"), [(True, 200), (False, 503)])
async def test_live(live, status):
    response = await get(Plane(live=live, model=False), "/healthz/live")
    assert response.status == status
    assert json.loads(response.body) == {"status": "live" if live else "not live"}
    assert ("content-type", "application/json") in response.headers


async def test_ready_names_the_models():
    response = await get(Plane(a=True, b=True), "/healthz/ready")
    assert response.status == 200
    assert json.loads(response.body) == {"status": "ready", "models": {"a": True, "b": True}}
    response = await get(Plane(a=True, b=False), "/healthz/ready")
    assert response.status == 503
    assert json.loads(response.body) == {"status": "not ready", "models": {"a": True, "b": False}}


async def test_metrics_on_every_configured_path():
    paths = ("/metrics", "/monitoring/prometheus/metrics", "/metrics", "/a.b")
    for path in paths:
        response = await get(Plane(), path, {"accept": "application/openmetrics-text"}, metrics_paths=paths)
        assert (response.status, response.body) == (200, b"metrics 1\n")
        assert response.headers == (("content-type", "text/plain; accept=application/openmetrics-text"),)
    assert router(Plane(), metrics_paths=paths).http("GET", "/aXb", "").route is None
    assert router(Plane(), metrics_paths=paths).http("POST", "/metrics", "").allowed == ("GET",)
    assert router(Plane(), metrics_paths=()).http("GET", "/metrics", "").route is None
