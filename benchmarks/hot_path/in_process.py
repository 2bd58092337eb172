"""The data plane in process, no socket: microseconds a request, with 1, 16 and 64 callers in a closed loop."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from navi_core import InferenceRequest, ModelRef

REF = ModelRef("mlp")


def request(array) -> InferenceRequest:
    """Return what the gRPC service makes of a small Predict."""
    return InferenceRequest(
        inputs={"x": array}, body_bytes=110, service="tf_serving", transport="grpc", method="Predict"
    )


def small_body():
    """One row as a view of a body: read-only."""
    return np.frombuffer(np.full(16, 0.5, np.float32).tobytes(), np.float32).reshape(1, 16)


async def ask(plane, array) -> None:
    """Do what a service does between decoding and encoding."""
    handle = plane.acquire(REF)
    with handle:
        answer = await handle.infer(request(array))
    answer.release()


async def caller(plane, array, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)  # a request comes in a turn of the loop, not in the one that answered the last
        await ask(plane, array)


async def rate(host, in_flight: int, num_requests: int) -> tuple[float, float]:
    """Return microseconds a request: by the clock, and of processor time on all threads."""
    array = small_body()
    started, cpu_started = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(host.plane, array, num_requests // in_flight) for _ in range(in_flight)))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return wall / num_requests * 1e6, cpu / num_requests * 1e6
