"""Long documents of the REST API are read and written elsewhere than on the loop."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import numpy as np
import pytest
from oip_calls import body_of, call_http, tensor
from oip_plane import context_of

from navi_core.contracts.service_context import OFF_LOOP_BYTES
from navi_core.errors import ErrorCode
from navi_core.services.oip.service import OipService

PATH = "/v2/models/m/infer"
ROWS = OFF_LOOP_BYTES // 8
VALUES = np.full((ROWS, 2), [1.5, 2.5], np.float32)
LARGE = json.dumps({"id": "7", "inputs": [tensor("x", "FP32", VALUES.shape, VALUES.tolist())]}).encode()
OUTPUT = {"outputs": [{"name": "y"}]}


@pytest.fixture
def noted(plane):
    """A service, and how often it asked for work to be done elsewhere."""
    calls = []

    async def run_off_loop(work):
        calls.append(work)
        return await asyncio.to_thread(work)

    return OipService.create(dataclasses.replace(context_of(plane), run_off_loop=run_off_loop)), calls


async def test_small_documents_stay_on_the_loop(noted):
    service, calls = noted
    body = json.dumps({"inputs": [tensor("x", "FP32", [1, 2], [1, 2])]}).encode()
    assert (await call_http(service, "POST", PATH, body)).status == 200
    assert not calls


async def test_long_documents_do_not(noted, plane):
    service, calls = noted
    response = await call_http(service, "POST", PATH, LARGE)
    assert response.status == 200
    assert len(calls) == 3  # parsed, decoded, encoded
    (request,) = plane.requests
    np.testing.assert_array_equal(request.inputs["x"], VALUES)
    assert json.loads(body_of(response))["outputs"][0]["data"][:3] == [3.0, 5.0, 3.0]
    assert (plane.open_handles, plane.num_counted) == (0, 1)


async def test_binary_tensors_stay_on_the_loop_however_long_they_are(noted):
    service, calls = noted
    data = VALUES.tobytes()
    document = json.dumps(
        {
            "inputs": [tensor("x", "FP32", VALUES.shape, binary_data_size=len(data))],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = {"inference-header-content-length": str(len(document))}
    response = await call_http(service, "POST", PATH, document + data, headers)
    assert response.status == 200
    assert body_of(response)
    assert not calls


async def test_errors_come_back(noted, plane):
    service, calls = noted
    response = await call_http(service, "POST", PATH, LARGE[:-10])
    assert (response.status, len(calls)) == (400, 1)
    assert b"failed to parse" in body_of(response)
    assert plane.num_counted == 1


@pytest.mark.parametrize(
    ("at", "num_counted"), [(1, 1), (2, 1), (3, 1)], ids=["parsing", "decoding", "encoding"]
)
async def test_a_client_that_goes_meanwhile_is_counted_once(plane, at, num_counted):
    reached = asyncio.Event()
    calls = []

    async def stops(work):
        calls.append(work)
        if len(calls) == at:
            reached.set()
            await asyncio.Event().wait()
        return work()

    service = OipService.create(dataclasses.replace(context_of(plane), run_off_loop=stops))
    task = asyncio.create_task(call_http(service, "POST", PATH, LARGE))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert plane.num_counted == num_counted
    if at < 3:
        ((ref, error, _),) = plane.refusals
        assert (ref is None or ref.name == "m", error.code) == (True, ErrorCode.CANCELLED)
