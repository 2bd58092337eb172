from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

# Tests are no package (importlib mode): their shared fakes lie beside them.
sys.path.insert(0, str(Path(__file__).parent))

from small_plane import SmallPlane

from navi_core.clock import ManualClock
from navi_core.contracts.service import Call
from navi_core.contracts.service_context import ServiceContext, ServiceOptions
from navi_core.routing import HostRouter
from navi_core.services.proton.service import ProtonService


@pytest.fixture
def plane():
    return SmallPlane()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make_service(plane, clock):
    def make(**options):
        return ProtonService.create(
            ServiceContext(
                plane=plane, admin=None, now=clock.now, new_signal=None, options=ServiceOptions(**options)
            )
        )

    return make


def body_of(response):
    if isinstance(response.body, bytes | memoryview):
        return bytes(response.body)
    return b"".join(response.body)


@pytest.fixture
def ask(make_service):
    """Calls as transports make them; each answer with its body in one piece."""

    def answered(response):
        return SimpleNamespace(
            status=response.status,
            message=response.message,
            body=body_of(response),
            headers=dict(response.headers),
            trailers=dict(response.trailers),
            on_written=response.on_written,
        )

    async def rpc(body, **call):
        path = "/predict.Predictor/Predict"
        handler = make_service().rpc_methods()[path].handler
        return answered(await handler(Call(path=path, body=body, transport="grpc", **call)))

    async def http(verb, path, body=b"", content_type="application/json", **call):
        match = HostRouter([make_service()]).http(verb, path, "")
        assert match.route is not None
        metadata = {"content-type": content_type} if content_type else {}
        return answered(
            await match.route.handler(
                Call(path=path, verb=verb, body=body, metadata=metadata, transport="http", **call)
            )
        )

    return SimpleNamespace(rpc=rpc, http=http)
