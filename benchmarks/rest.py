"""JSON of the REST API: what decoding and encoding 64 x 1,000 floats costs, beside orjson and NumPy doing no more.

Decoding stands beside ``orjson.loads`` and ``numpy.array``; it may take 1.5 times as long. Encoding stands beside
orjson's NumPy mode; it may take 2 times as long. Both are the best of several runs, side by side in one process. Exits
with 1 when a row misses its aim.

``--loop`` shows instead how long an event loop stands still meanwhile, with the work on the loop and on a thread: the
parsers hold the interpreter's lock, so a thread helps only by half.

    python benchmarks/rest.py [--rows 64] [--columns 1000] [--loop]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from navi_core.signature import TensorSpec
from navi_core.tensors import DType
from navi_core.wire.json_predictions import encode_predictions
from navi_core.wire.tensor_json import decode_json_request

DECODE_AIM, ENCODE_AIM = 1.5, 2.0
REPEATS = 40


def best_ms(*calls: Callable[[], Any]) -> list[float]:
    """Return the best time of each call in milliseconds; they take turns, so that noise meets all of them."""
    best = [float("inf")] * len(calls)
    for _ in range(REPEATS):
        for index, call in enumerate(calls):
            started = time.perf_counter()
            call()
            best[index] = min(best[index], time.perf_counter() - started)
    return [seconds * 1000 for seconds in best]


def decode_rows(x: np.ndarray) -> list[tuple[str, list[float], float]]:
    """Measure the decoder on the same numbers, written in several ways."""
    numpy_mode = orjson.OPT_SERIALIZE_NUMPY
    bodies = {
        "float32 digits": orjson.dumps({"instances": x}, option=numpy_mode),
        "float64 digits": json.dumps({"instances": x.astype(float).tolist()}).encode(),
        "integers": json.dumps({"instances": (x * 1000).astype(int).tolist()}).encode(),
        "columns": orjson.dumps({"inputs": {"x": x}}, option=numpy_mode),
        "rows with names": orjson.dumps({"instances": [{"x": row} for row in x]}, option=numpy_mode),
    }
    specs = {"x": TensorSpec(name="x", dtype=DType.FLOAT32, shape=("batch", x.shape[1]))}

    def plainly(body: bytes) -> np.ndarray:
        document = orjson.loads(body)
        values = document["instances"] if "instances" in document else document["inputs"]["x"]
        return np.array([row["x"] for row in values] if type(values[0]) is dict else values, dtype=np.float32)

    found = []
    for name, body in bodies.items():
        decoded = decode_json_request(body, lambda _: specs).inputs["x"]
        np.testing.assert_array_equal(decoded, plainly(body))
        times = best_ms(
            lambda body=body: plainly(body), lambda body=body: decode_json_request(body, lambda _: specs)
        )
        found.append((f"decode, {name} ({len(body) / 1e6:.2f} MB)", times, DECODE_AIM))
    return found


def encode_rows(x: np.ndarray) -> list[tuple[str, list[float], float]]:
    """Measure the encoder."""
    found = []
    for dtype in (np.float32, np.float64):
        y = x.astype(dtype)
        for form, row_form in (("rows", True), ("columns", False)):
            key = "predictions" if row_form else "outputs"
            times = best_ms(
                lambda y=y, key=key: orjson.dumps({key: y}, option=orjson.OPT_SERIALIZE_NUMPY),
                lambda y=y, row_form=row_form: encode_predictions({"y": y}, row_form=row_form),
            )
            found.append((f"encode, {np.dtype(dtype).name}, {form}", times, ENCODE_AIM))
    several = {"y": x, "score": x[:, 0].copy()}
    times = best_ms(
        lambda: orjson.dumps(
            {
                "predictions": [
                    {"y": row, "score": score} for row, score in zip(x, several["score"], strict=True)
                ]
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        ),
        lambda: encode_predictions(several, row_form=True),
    )
    found.append(("encode, two outputs, rows", times, ENCODE_AIM))
    return found


async def longest_gap_ms(job: Callable[[], Any], *, on_thread: bool) -> float:
    """Return how long the loop stands still, at most, while a job is done."""
    gaps = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    gaps.clear()
    if on_thread:
        await asyncio.to_thread(job)
    else:
        job()
    await asyncio.sleep(0.005)
    ticker.cancel()
    return max(gaps) * 1000


def show_gaps(x: np.ndarray) -> None:
    """Print how long a loop stands still."""
    with_nan = x.copy()
    with_nan[-1, -1] = np.nan
    body = encode_predictions({"y": x}, row_form=True).replace(b"predictions", b"instances")
    loose = encode_predictions({"y": with_nan}, row_form=True).replace(b"predictions", b"instances")
    specs = {"x": TensorSpec(name="x", dtype=DType.FLOAT32, shape=None)}
    jobs = {
        "decode": lambda: decode_json_request(body, lambda _: specs),
        "decode, with NaN": lambda: decode_json_request(loose, lambda _: specs),
        "encode": lambda: encode_predictions({"y": x}, row_form=True),
        "encode, with NaN": lambda: encode_predictions({"y": with_nan}, row_form=True),
    }
    print(
        f"{x.shape[0]} x {x.shape[1]} floats, {len(body) / 1e6:.1f} MB; longest stand-still in milliseconds"
    )
    print(f"{'':20} {'on the loop':>12} {'on a thread':>12}")
    for name, job in jobs.items():
        times = [
            min(asyncio.run(longest_gap_ms(job, on_thread=on_thread)) for _ in range(5))
            for on_thread in (False, True)
        ]
        print(f"{name:20} {times[0]:12.0f} {times[1]:12.0f}")


def main() -> int:
    """Measure, print a table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--loop", action="store_true")
    arguments = parser.parse_args()
    x = np.random.default_rng(0).normal(size=(arguments.rows, arguments.columns)).astype(np.float32)
    if arguments.loop:
        show_gaps(x)
        return 0
    print(f"{arguments.rows} x {arguments.columns} floats; milliseconds")
    print(f"{'':40} {'plainly':>8} {'navi':>8} {'ratio':>6} {'aim':>5}")
    missed = False
    for name, (plain, navi), aim in (*decode_rows(x), *encode_rows(x)):
        missed |= navi > plain * aim
        print(f"{name:40} {plain:8.2f} {navi:8.2f} {navi / plain:6.2f} {aim:5.1f}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
