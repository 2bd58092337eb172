"""Long documents of Proton's REST API are read and written elsewhere than on the loop."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import numpy as np
import pytest

from navi_core.clock import ManualClock
from navi_core.contracts.service import Call
from navi_core.contracts.service_context import OFF_LOOP_BYTES, ServiceContext
from navi_core.errors import ErrorCode
from navi_core.services.proton.service import ProtonService

NUM_VALUES = OFF_LOOP_BYTES // 4
LONG = json.dumps(
    {"model_name": "m", "data": {"v": 1, "dim": [NUM_VALUES // 2, 2], "data": [1.5] * NUM_VALUES}}
).encode()
SHORT = b'{"model_name": "m", "data": {"v": 1, "dim": [1, 2], "data": [1.5, 2.5]}}'


def service_of(plane, run_off_loop):
    context = ServiceContext(plane=plane, admin=None, now=ManualClock().now, new_signal=None)
    return ProtonService.create(dataclasses.replace(context, run_off_loop=run_off_loop))


async def post(service, body):
    [route] = [each for each in service.http_routes() if each.verb == "POST"]
    call = Call(
        path="/predict",
        verb="POST",
        body=body,
        metadata={"content-type": "application/json"},
        transport="http",
    )
    return await route.handler(call)


@pytest.mark.parametrize(("body", "expected"), [(SHORT, 0), (LONG, 2)], ids=["short", "long"])
async def test_only_long_documents_leave_the_loop(plane, body, expected):
    calls = []

    async def run_off_loop(work):
        calls.append(work)
        return await asyncio.to_thread(work)

    response = await post(service_of(plane, run_off_loop), body)

    assert response.status == 200
    assert len(calls) == expected  # read, written
    answer = json.loads(response.body)["data"]
    np.testing.assert_array_equal(answer["data"][:2], np.multiply(json.loads(body)["data"]["data"][:2], 2))
    assert plane.num_counted == 1


async def test_a_client_that_goes_meanwhile_is_counted(plane):
    started = asyncio.Event()

    async def never(_work):
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(post(service_of(plane, never), LONG))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [(_, error, _)] = plane.refusals
    assert error.code is ErrorCode.CANCELLED
