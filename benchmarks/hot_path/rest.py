"""A lone request over REST: its median, beside a bare aiohttp echo, with and without the framework's run."""

from __future__ import annotations

import socket
import statistics
import time
from pathlib import Path

from lone import run_us
from rest_requests import message
from servers import Server, echo, navi, pin_client


def median_us(port: int, server: Server, form: str, seconds: float) -> tuple[float, float]:
    """Return the median of a blocking client that asks again as soon as it is answered, and the server's own time."""
    asked, times = message(form), []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def call() -> None:
            connection.sendall(asked)
            answer = connection.recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
            assert head.startswith(b"HTTP/1.1 200"), head

        for _ in range(300):
            call()
        processor_s = server.processor_s()
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            call()
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6, (server.processor_s() - processor_s) / len(times) * 1e6


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, float]:
    """Measure in turns, print and return the medians."""
    pin_client()
    framework_us = run_us(folder / "1" / "model.onnx")
    found: dict[str, list[tuple[float, float]]] = {"echo": [], "v1": [], "v2": []}
    with echo("aiohttp") as bare, navi(folder) as ours:
        for _ in range(rounds):
            found["echo"].append(median_us(bare.port, bare, "v1", seconds))
            for form in ("v1", "v2"):
                found[form].append(median_us(ours.rest_port, ours, form, seconds))
            (bare_us, bare_cpu_us), *navis = (pairs[-1] for pairs in found.values())
            shown = ", ".join(
                f"{form} {wall:.0f} ({cpu:.0f}): {wall / (bare_us + framework_us):.2f}"
                for form, (wall, cpu) in zip(("v1", "v2"), navis, strict=True)
            )
            print(
                f"echo {bare_us:.0f} us ({bare_cpu_us:.0f} of the server's processor time), {shown}",
                flush=True,
            )
    result = {"run_us": framework_us}
    for name, pairs in found.items():
        result[f"{name}_us"] = statistics.median(wall for wall, _ in pairs)
        result[f"{name}_processor_us"] = statistics.median(cpu for _, cpu in pairs)
    for form in ("v1", "v2"):
        ratios = sorted(
            ours / (bare + framework_us)
            for (bare, _), (ours, _) in zip(found["echo"], found[form], strict=True)
        )
        result[f"{form}_ratio"] = statistics.median(ratios)
        print(
            f"{form}: {result[f'{form}_us']:.0f} us, echo {result['echo_us']:.0f}, run {framework_us:.1f}; "
            f"navi / (echo + run): {result[f'{form}_ratio']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    return result
