"""What each stage of a small request costs, each one repeated by itself: microseconds of processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import onnxruntime as ort
from in_process import REF, request, small_body

from navi_core.batching.contexts import LoneContext
from navi_core.batching.queue import BatchPolicy, BatchQueue, Entry
from navi_core.errors import ErrorCode

BURSTS = 40
TIMES = 500


def cost(call: Callable[[], Any], times: int = TIMES) -> float:
    """Return microseconds of processor time of one call: the best burst."""
    best = float("inf")
    for _ in range(BURSTS):
        started = time.process_time()
        for _ in range(times):
            call()
        best = min(best, time.process_time() - started)
    return best / times * 1e6


def bare_session(path: str) -> Callable[[], Any]:
    """Return the shortest call that ONNX Runtime offers for the model."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(path, settings)
    options = ort.RunOptions()
    array = small_body()
    return lambda: session.run(["y"], {"x": array}, options)


def stages(host, model_file: str) -> dict[str, float]:
    """Return stage -> microseconds, for a host whose model has answered some requests."""
    plane = host.plane
    record = plane.manager.acquire(REF)
    batcher = record.batcher
    array = small_body()
    asked = request(array)
    prepared = batcher.prepare(asked)
    servable, pool = batcher.loaded.servable, batcher._pool  # noqa: SLF001 - parts of it are measured
    metrics, tally = batcher.lane("").metrics, plane._tallies.of("mlp", 1)  # noqa: SLF001 - the same
    queue: BatchQueue[None] = BatchQueue(BatchPolicy())

    def resolve() -> None:
        with plane.acquire(REF):
            pass

    def through_queue() -> None:
        queue.offer(Entry(None, prepared.key, 1, 110, 0.0, None, 0))
        queue.take(0.0)

    def record_it() -> None:
        metrics.ran_at_once(1, "free_worker", 1e-5)
        metrics.request_finished("tf_serving", "grpc", "Predict", ErrorCode.OK, "", 1e-4, 1)
        metrics.encoded(1e-5)
        tally.succeeded(
            num_rows=1,
            batch_rows=1,
            total_seconds=1e-4,
            prepare_seconds=1e-5,
            queue_seconds=0.0,
            run_seconds=1e-5,
            now_ms=time.time_ns() // 1_000_000,
        )
        tally.encoded(1e-5)

    gate = batcher.lane("").gates.of(prepared.size_bytes)

    def whole() -> None:
        """Do all that the data plane does for a request that runs at once."""
        while not gate.is_open:  # a long run on a busy machine closes it for a moment
            gate.ran_elsewhere(1e-5, time.monotonic() + 60)
        with plane.acquire(REF) as handle:
            steps = handle.infer(request(array))
            try:
                steps.send(None)
            except StopIteration as stop:
                stop.value.release()

    context = LoneContext(1, {}, None, pool)
    inputs, outputs = prepared.inputs, prepared.outputs
    found = {
        "session.run, bare": cost(bare_session(model_file)),
        "the servable's run, that included": cost(
            lambda: servable.run("serving_default", inputs, outputs, context)
        ),
        "make the request": cost(lambda: request(array)),
        "resolve the version, take and give back its handle": cost(resolve),
        "check and plan": cost(lambda: batcher.prepare(asked)),
        "queue (not on this way): offer and take": cost(through_queue),
        "count: metrics and statistics": cost(record_it),
    }
    found["the whole way"] = cost(whole)
    plane.manager.release(record)
    return found
