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
from servers import PREDICT, body, navi, pin_client

IN_FLIGHT = 16


async def rate(port: int, seconds: float) -> float:
    """Return requests a second of a closed loop."""
    message, count = body(), 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(PREDICT)
        end = time.perf_counter() + seconds

        async def caller() -> None:
            nonlocal count
            while time.perf_counter() < end:
                await call(message)
                count += 1

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return count / seconds


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, float]:
    """Measure in turns, print and return by how much a server that counts is slower."""
    pin_client()
    os.environ.pop("NAVI_DEBUG_BUFFERS", None)
    ratios = []
    with navi(folder) as with_it:
        inner = folder.parent / "again"
        inner.mkdir()
        (inner / "mlp").symlink_to(folder)
        with navi(inner / "mlp", is_counting=False) as without:
            for number in range(rounds):
                turns = [with_it, without] if number % 2 else [without, with_it]
                found = {port: asyncio.run(rate(port, seconds)) for port in turns}
                ratios.append(found[with_it] / found[without])
                print(
                    f"with {found[with_it]:,.0f}/s, without {found[without]:,.0f}/s: {ratios[-1] - 1:+.1%}",
                    flush=True,
                )
    middle = statistics.median(ratios)
    print(
        f"median of {rounds} rounds: {middle - 1:+.1%} (from {min(ratios) - 1:+.1%} to {max(ratios) - 1:+.1%})"
    )
    return {"ratio": middle, "lowest": min(ratios), "highest": max(ratios)}
