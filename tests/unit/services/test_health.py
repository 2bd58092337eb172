from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.clock import ManualClock
from navi_core.contracts.service import Call, Operation, RpcKind
from navi_core.contracts.service_context import ServiceContext
from navi_core.errors import ModelNotFoundError
from navi_core.services.health import HealthService
from navi_core.wire import grpc_health

PREFIX = "/grpc.health.v1.Health/"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


class Signal:
    def __init__(self):
        self._event = asyncio.Event()

    def set(self):
        self._event.set()

    async def wait(self):
        await self._event.wait()
        self._event.clear()


class Plane:
    """Only what health asks for."""

    def __init__(self, **ready):
        self.ready = ready
        self.draining = False
        self.callbacks = []

    def models(self):
        return list(self.ready)

    def is_ready(self, model=None):
        if model is None:
            return not self.draining and all(self.ready.values())
        if model not in self.ready:
            raise ModelNotFoundError(model)
        return not self.draining and self.ready[model]

    def on_change(self, callback):
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def change(self, **ready):
        self.ready.update(ready)
        for callback in list(self.callbacks):
            callback()


def service(plane, rpc_services=("grpc.health.v1.Health", "tensorflow.serving.PredictionService")):
    context = ServiceContext(
        plane=plane,
        admin=None,
        now=ManualClock().now,
        new_signal=Signal,
        rpc_services=lambda: rpc_services,
    )
    return HealthService.create(context)


def request(name):
    return Call(path="", body=grpc_health.HealthCheckRequest(service=name).SerializeToString())


async def check(health, name):
    return await health.rpc_methods()[PREFIX + "Check"].handler(request(name))


async def watch(health, name):
    response = await health.rpc_methods()[PREFIX + "Watch"].handler(request(name))
    return response.stream


def test_the_methods_are_those_of_the_protocol():
    methods = service(Plane()).rpc_methods()
    assert {path: method.kind for path, method in methods.items()} == {
        PREFIX + "Check": RpcKind.UNARY,
        PREFIX + "Watch": RpcKind.SERVER_STREAM,
        PREFIX + "List": RpcKind.UNARY,
    }
    assert {method.operation for method in methods.values()} == {Operation.READ}
    assert HealthService.descriptor_set


@pytest.mark.parametrize(
    "name",
    [
        "",
        "grpc.health.v1.Health",
        "tensorflow.serving.PredictionService",
        "PredictionService",
        "model/ranker",
    ],
)
async def test_check_of_what_is_known(name):
    plane = Plane(ranker=True)
    health = service(plane)
    assert (await check(health, name)).body == SERVING
    plane.draining = True
    assert (await check(health, name)).body == NOT_SERVING


async def test_a_service_is_ready_when_all_models_are_a_model_by_itself():
    health = service(Plane(ranker=True, loading=False))
    assert (await check(health, "")).body == NOT_SERVING
    assert (await check(health, "model/ranker")).body == SERVING
    assert (await check(health, "model/loading")).body == NOT_SERVING


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "ModelService",
        "tensorflow.serving.ModelService",
        "ranker",
        "model/Ranker",
        "model/",
        "model",
    ],
)
async def test_check_of_an_unknown_name_is_not_found(name):
    response = await check(service(Plane(ranker=True)), name)
    assert response.status == 5
    assert name in response.message


async def test_a_model_may_be_named_like_a_service():
    health = service(Plane(PredictionService=False, ranker=True))
    assert (await check(health, "model/PredictionService")).body == NOT_SERVING
    assert (await check(health, "PredictionService")).body == NOT_SERVING  # the host's, not the model's
    listed = await health.rpc_methods()[PREFIX + "List"].handler(Call(path=""))
    assert {"PredictionService", "model/PredictionService"} <= set(
        grpc_health.HealthListResponse.FromString(listed.body).statuses
    )


async def test_short_names_exist_only_beside_their_services():
    health = service(Plane(), rpc_services=("tensorflow.serving.ModelService",))
    assert (await check(health, "ModelService")).body == SERVING
    assert (await check(health, "PredictionService")).status == 5


@given(st.binary(min_size=1, max_size=20))
def test_any_request_is_answered(body):
    health = service(Plane())
    for method in ("Check", "Watch"):
        handler = health.rpc_methods()[PREFIX + method].handler
        response = asyncio.run(handler(Call(path="", body=memoryview(body))))
        assert response.status in (0, 3, 5)


async def test_a_malformed_request_is_refused():
    for method in ("Check", "Watch"):
        handler = service(Plane()).rpc_methods()[PREFIX + method].handler
        for body in (b"\x0a\xff", b"\x0a\x01\xff"):
            response = await handler(Call(path="", body=body))
            assert response.status == 3
            assert "HealthCheckRequest" in response.message


async def test_watch_tells_the_status_now_and_each_change_once():
    plane = Plane(ranker=False)
    stream = await watch(service(plane), "model/ranker")
    assert await anext(stream) == NOT_SERVING
    following = asyncio.ensure_future(anext(stream))
    plane.change(other=True)  # something else changed
    await asyncio.sleep(0)
    assert not following.done()
    plane.change(ranker=True)
    assert await following == SERVING
    plane.draining = True
    plane.change()
    assert await anext(stream) == NOT_SERVING
    assert len(plane.callbacks) == 1
    await stream.aclose()
    assert plane.callbacks == []


async def test_watch_of_an_unknown_name_stays_open_until_it_is_known():
    plane = Plane()
    stream = await watch(service(plane), "model/later")
    assert await anext(stream) == SERVICE_UNKNOWN
    plane.change(later=False)
    assert await anext(stream) == NOT_SERVING
    plane.change(later=True)
    assert await anext(stream) == SERVING
    del plane.ready["later"]
    plane.change()
    assert await anext(stream) == SERVICE_UNKNOWN
    await stream.aclose()


async def test_a_change_between_two_looks_is_not_lost():
    plane = Plane(ranker=True)
    stream = await watch(service(plane), "model/ranker")
    assert await anext(stream) == SERVING
    plane.change(ranker=False)
    plane.change(ranker=True)
    following = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not following.done()  # the same status as before is not told again
    plane.change(ranker=False)
    assert await following == NOT_SERVING
    await stream.aclose()


async def test_list_names_everything():
    response = (
        await service(Plane(ranker=True, loading=False)).rpc_methods()[PREFIX + "List"].handler(Call(path=""))
    )
    statuses = grpc_health.HealthListResponse.FromString(response.body).statuses
    assert {name: each.status for name, each in statuses.items()} == {
        "": 2,
        "grpc.health.v1.Health": 2,
        "tensorflow.serving.PredictionService": 2,
        "PredictionService": 2,
        "model/ranker": 1,
        "model/loading": 2,
    }
