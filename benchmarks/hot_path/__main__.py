"""What navi's Python costs a small request, and where.

    python benchmarks/hot_path                     in process: with 1, 16 and 64 in flight, and by stage
    python benchmarks/hot_path --grpc              a lone request over grpcio, beside an echo
    python benchmarks/hot_path --rest              a lone request over REST, beside an aiohttp echo
    python benchmarks/hot_path --played            REST over HTTP/1.1 and over ASGI, without a socket
    python benchmarks/hot_path --binding           ways to run a session of ONNX Runtime, IO binding among them
    python benchmarks/hot_path --counting          metrics, logs and observers: with and without, over grpcio

The model is a 16-32-4 perceptron in ONNX; a request is one row. In process there is no socket: what is measured is
what lies between a service's decoding and its encoding. Figures are microseconds, the best of several rounds, of
processor time where nothing else is said: that depends least on who else uses the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

import binding
import counting
import lone
import played
import rest
import uvloop
from in_process import rate
from model import write_model
from stages import stages

from navi_core import BatchingSettings, Host, HostConfig, ModelConfig

CONCURRENCY = (1, 16, 64)


async def in_process(folder: Path, rounds: int) -> dict[str, dict]:
    """Return everything that is measured in process."""
    rows: dict[str, dict] = {}
    for name, limit_us in (("on the loop", None), ("on threads", 0)):
        batching = BatchingSettings(max_inline_run_us=limit_us)
        found: dict[int, list[tuple[float, float]]] = {}
        async with Host(HostConfig(models=(ModelConfig(path=str(folder), batching=batching),))) as host:
            for _ in range(rounds + 1):  # the first one warms up
                for in_flight in CONCURRENCY:
                    found.setdefault(in_flight, []).append(await rate(host, in_flight, 3200))
            rows[name] = {
                str(in_flight): dict(
                    zip(
                        ("clock_us", "processor_us"),
                        (round(min(each), 1) for each in zip(*pairs[1:], strict=True)),
                        strict=True,
                    )
                )
                for in_flight, pairs in found.items()
            }
            if limit_us is None:
                measured = stages(host, str(folder / "1" / "model.onnx"))
                rows["stages"] = {name: round(value, 2) for name, value in measured.items()}
    return rows


async def without_sockets(folder: Path, rounds: int) -> dict[str, float]:
    """Return, print what REST requests cost in each skin."""
    # however busy the machine is: what the clock finds too long would go to threads
    batching = BatchingSettings(max_inline_run_us=1_000_000)
    async with Host(HostConfig(models=(ModelConfig(path=str(folder), batching=batching),))) as host:
        found = await played.played(host, rounds)
    print("| played | us |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value} |")
    return found


def show(rows: dict[str, dict]) -> None:
    print(
        "| runs | in flight | by the clock, us a request | of processor time, us a request |\n|---|---|---|---|"
    )
    for name in ("on the loop", "on threads"):
        for in_flight, found in rows[name].items():
            print(f"| {name} | {in_flight} | {found['clock_us']} | {found['processor_us']} |")
    print("\n| stage | us |\n|---|---|")
    for name, value in rows["stages"].items():
        print(f"| {name} | {value:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grpc", action="store_true")
    parser.add_argument("--counting", action="store_true")
    parser.add_argument("--rest", action="store_true")
    parser.add_argument("--played", action="store_true")
    parser.add_argument("--binding", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement over grpcio")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "mlp"
        write_model(folder)
        if arguments.grpc:
            rows = lone.measure(folder, arguments.rounds, arguments.seconds)
        elif arguments.rest:
            rows = rest.measure(folder, arguments.rounds, arguments.seconds)
        elif arguments.played:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows = runner.run(without_sockets(folder, arguments.rounds))
        elif arguments.binding:
            rows = binding.measure(Path(name))
        elif arguments.counting:
            rows = counting.measure(folder, arguments.rounds, arguments.seconds)
        else:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows = runner.run(in_process(folder, arguments.rounds))
            show(rows)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
