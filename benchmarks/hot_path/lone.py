"""A lone request over grpcio: its median, beside a bare echo and the framework's run."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import grpc
from servers import PREDICT, body, echo, navi, pin_client
from stages import bare_session


def median_us(port: int, seconds: float) -> float:
    """Return the median of a blocking client that asks again as soon as it is answered."""
    times = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(PREDICT)
        message = body()
        for _ in range(200):
            call(message)
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            call(message)
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def run_us(model_file: Path) -> float:
    """Return the median of the framework's own call."""
    call = bare_session(str(model_file))
    times = []
    for _ in range(5000):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, float]:
    """Measure in turns, print and return the medians."""
    pin_client()
    framework_us = run_us(folder / "1" / "model.onnx")
    pairs = []
    with echo() as bare, navi(folder) as ours:
        for _ in range(rounds):
            pairs.append((median_us(bare, seconds), median_us(ours, seconds)))
            ratio = pairs[-1][1] / (pairs[-1][0] + framework_us)
            print(
                f"echo {pairs[-1][0]:.0f} us, navi {pairs[-1][1]:.0f} us: {ratio:.2f} of echo and run",
                flush=True,
            )
    ratios = sorted(ours / (bare + framework_us) for bare, ours in pairs)
    found = {
        "run_us": framework_us,
        "echo_us": statistics.median(bare for bare, _ in pairs),
        "navi_us": statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(ratios),
    }
    print(
        f"the framework's run {found['run_us']:.1f} us, echo {found['echo_us']:.0f} us, navi {found['navi_us']:.0f} us; "
        f"navi / (echo + run): {found['ratio']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    return found
