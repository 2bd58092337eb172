"""A lone request over grpcio: its median, beside a bare echo and the framework's run."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import grpc
from servers import PREDICT, Server, body, echo, navi, pin_client
from stages import bare_session


def median_us(server: Server, seconds: float) -> tuple[float, float]:
    """Return the median of a blocking client that asks again as soon as it is answered, and the server's own time."""
    times = []
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(PREDICT)
        message = body()
        for _ in range(200):
            call(message)
        processor_s = server.processor_s()
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            call(message)
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6, (server.processor_s() - processor_s) / len(times) * 1e6


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
    rounds_of: dict[str, list[tuple[float, float]]] = {"echo": [], "navi": []}
    with echo() as bare, navi(folder) as ours:
        for _ in range(rounds):
            for name, server in (("echo", bare), ("navi", ours)):
                rounds_of[name].append(median_us(server, seconds))
            (echo_us, echo_cpu_us), (navi_us, navi_cpu_us) = rounds_of["echo"][-1], rounds_of["navi"][-1]
            print(
                f"echo {echo_us:.0f} us ({echo_cpu_us:.0f} of the server's processor time), "
                f"navi {navi_us:.0f} ({navi_cpu_us:.0f}): "
                f"{navi_us / (echo_us + framework_us):.2f} of echo and run",
                flush=True,
            )
    ratios = sorted(
        ours / (bare + framework_us)
        for (bare, _), (ours, _) in zip(rounds_of["echo"], rounds_of["navi"], strict=True)
    )
    found = {"run_us": framework_us, "ratio": statistics.median(ratios)}
    for name, pairs in rounds_of.items():
        found[f"{name}_us"] = statistics.median(wall for wall, _ in pairs)
        found[f"{name}_processor_us"] = statistics.median(cpu for _, cpu in pairs)
    print(
        f"the framework's run {framework_us:.1f} us, echo {found['echo_us']:.0f}, navi {found['navi_us']:.0f}; "
        f"navi / (echo + run): {found['ratio']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
        f"processor time: echo {found['echo_processor_us']:.0f}, navi {found['navi_processor_us']:.0f}"
    )
    return found
