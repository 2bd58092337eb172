"""How long serving stands still while a large model loads.

A host runs in this process with a small model, which one caller asks in a closed loop while a ticker on the event
loop wakes every millisecond. Then a second model with 250 MB of weights appears and is loaded. The script
prints the largest gap between two ticks and the slowest answer of the small model, without and with the load.

    python benchmarks/load_gap.py [--megabytes 250]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from navi_core import Host, HostConfig, ModelConfig


def write_model(folder: Path, num_weights: int) -> None:
    """Write y = x + (sum of nothing), with ``num_weights`` float32 weights that must be read."""
    weights = np.random.default_rng(0).random((1, num_weights), dtype=np.float32)
    nodes = [
        helper.make_node("ReduceMin", ["weights"], ["least"], keepdims=0),
        helper.make_node("Sub", ["least", "least"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y")]
    graph = helper.make_graph(
        nodes, "g", tensors[:1], tensors[1:], [numpy_helper.from_array(weights, "weights")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    staging = folder.with_name(f".{folder.name}")
    staging.mkdir(parents=True)
    onnx.save(model, staging / "model.onnx")
    staging.rename(folder)


class Watch:
    """A ticker and a caller, each noting its longest wait."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._stop = asyncio.Event()
        self.largest_gap_ms = 0.0
        self.slowest_ms = 0.0
        self.num_answers = 0

    async def tick(self) -> None:
        last = time.perf_counter()
        while not self._stop.is_set():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.largest_gap_ms = max(self.largest_gap_ms, (now - last) * 1000 - 1)
            last = now

    async def ask(self) -> None:
        x = np.ones((4, 2), np.float32)
        while not self._stop.is_set():
            started = time.perf_counter()
            await self._host.predict("small", {"x": x})
            self.slowest_ms = max(self.slowest_ms, (time.perf_counter() - started) * 1000)
            self.num_answers += 1

    async def over(self, work) -> dict[str, float]:
        watchers = [asyncio.create_task(self.tick()), asyncio.create_task(self.ask())]
        started = time.perf_counter()
        await work
        seconds = time.perf_counter() - started
        self._stop.set()
        await asyncio.gather(*watchers)
        return {
            "seconds": round(seconds, 3),
            "largest_gap_ms": round(self.largest_gap_ms, 2),
            "slowest_answer_ms": round(self.slowest_ms, 2),
            "answers": self.num_answers,
        }


async def measure(root: Path) -> dict[str, dict[str, float]]:
    config = HostConfig(models=(ModelConfig(path=str(root / "small"), stable_ms=0),))
    async with Host(config) as host:
        quiet = await Watch(host).over(asyncio.sleep(2))
        large = ModelConfig(path=str(root / "large"), stable_ms=0)
        loading = await Watch(host).over(host.admin.load(large))
        return {"without a load": quiet, "while it loads": loading}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=250)
    size = parser.parse_args().megabytes * 250_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_model(root / "small" / "1", 10)
        write_model(root / "large" / "1", size)
        print(json.dumps(asyncio.run(measure(root)), indent=2))


if __name__ == "__main__":
    main()
