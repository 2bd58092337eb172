"""Large bodies of the REST API are read and written elsewhere than on the loop."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import numpy as np
import pytest
from calls import body_of, call_http
from fake_plane import context_of

from navi_core.contracts.service_context import OFF_LOOP_BYTES
from navi_core.errors import ErrorCode
from navi_core.services.tf_serving.service import TfServingService

ROWS = OFF_LOOP_BYTES // 8
LARGE = json.dumps({"instances": [[1.5, 2.5]] * ROWS}).encode()


@pytest.fixture
def noted(plane):
    """A service, and how often it asked for work to be done elsewhere."""
    calls = []

    async def run_off_loop(work):
        calls.append(work)
        return await asyncio.to_thread(work)

    context = dataclasses.replace(context_of(plane), run_off_loop=run_off_loop)
    return TfServingService.create(context), calls


async def post(service, body, verb="predict"):
    return await call_http(service, "POST", f"/v1/models/m:{verb}", body)


async def test_small_bodies_stay_on_the_loop(noted):
    service, calls = noted
    assert (await post(service, b'{"instances": [[1, 2]]}')).status == 200
    assert not calls


async def test_large_bodies_do_not(noted, plane):
    service, calls = noted
    response = await post(service, LARGE)
    assert response.status == 200
    assert len(calls) == 3  # parsed, decoded, encoded
    (request,) = plane.requests
    np.testing.assert_array_equal(request.inputs["x"], np.full((ROWS, 2), [1.5, 2.5], np.float32))
    assert body_of(response).startswith(b'{"predictions":[{"y":[3.0,5.0],"z":0},')
    assert (plane.open_handles, plane.num_released, plane.num_counted) == (0, 1, 1)


async def test_large_examples_do_not(noted):
    service, calls = noted
    examples = [{"x": "a" * OFF_LOOP_BYTES}]
    body = json.dumps({"signature_name": "scores", "examples": examples}).encode()
    assert (await post(service, body, "classify")).status == 200
    assert len(calls) == 1


async def test_errors_come_back(noted, plane):
    service, calls = noted
    response = await post(service, LARGE[:-10])
    assert (response.status, len(calls)) == (400, 1)
    assert body_of(response).startswith(b'{"error":"JSON Parse error: ')
    assert (plane.open_handles, plane.num_counted) == (0, 1)


async def test_a_client_that_goes_meanwhile_is_counted(plane):
    started = asyncio.Event()

    async def never(_work):
        started.set()
        await asyncio.Event().wait()

    service = TfServingService.create(dataclasses.replace(context_of(plane), run_off_loop=never))
    task = asyncio.create_task(post(service, LARGE))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ((ref, error, _),) = plane.refusals
    assert (ref.name, error.code, plane.open_handles) == ("m", ErrorCode.CANCELLED, 0)
