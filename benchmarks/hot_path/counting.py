"""Metrics, logs and observers, with and without, over grpcio: requests a second in interleaved rounds.

Both servers stand beside each other, and the one that is not asked does nothing. ``uncounted.py`` is the one without.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path

import grpc.aio
from servers import PREDICT, Server, body, navi, pin_client

IN_FLIGHT = 16


async def rate(server: Server, seconds: float) -> tuple[float, float]:
    """Return requests a second of a closed loop, and a second of the server's processor time."""
    message, count = body(), 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(PREDICT)
        await asyncio.gather(*(call(message) for _ in range(100)))
        processor_s = server.processor_s()
        end = time.perf_counter() + seconds

        async def caller() -> None:
            nonlocal count
            while time.perf_counter() < end:
                await call(message)
                count += 1

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        return count / seconds, count / (server.processor_s() - processor_s)


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, float]:
    """Measure in turns, print and return by how much a server that counts is slower."""
    pin_client()
    os.environ.pop("NAVI_DEBUG_BUFFERS", None)
    ratios = []
    with navi(folder) as counting:
        inner = folder.parent / "again"
        inner.mkdir()
        (inner / "mlp").symlink_to(folder)
        with navi(inner / "mlp", is_counting=False) as uncounted:
            for number in range(rounds):
                turns = [counting, uncounted] if number % 2 else [uncounted, counting]
                found = {server: asyncio.run(rate(server, seconds)) for server in turns}
                (with_it, with_it_cpu), (without, without_cpu) = found[counting], found[uncounted]
                ratios.append((with_it / without, with_it_cpu / without_cpu))
                print(
                    f"with {with_it:,.0f}/s, without {without:,.0f}/s: {ratios[-1][0] - 1:+.1%}; "
                    f"a second of processor time {with_it_cpu:,.0f}, {without_cpu:,.0f}: {ratios[-1][1] - 1:+.1%}",
                    flush=True,
                )
    result = {}
    for name, each in zip(("by the clock", "by processor time"), zip(*ratios, strict=True), strict=True):
        result[name] = statistics.median(each)
        print(
            f"median of {rounds} rounds, {name}: {result[name] - 1:+.1%} "
            f"(from {min(each) - 1:+.1%} to {max(each) - 1:+.1%})"
        )
    return result
