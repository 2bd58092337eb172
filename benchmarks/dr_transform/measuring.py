"""Bursts that take turns: what stands beside each other in the table ran beside each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case
from contenders import CPP, MEMCPY, NAVI, SLOW, Call, World
from generator import Generator

CLOCKS = {"wall": time.perf_counter_ns, "processor": time.thread_time_ns}
DISTINCT = 16
"""Requests of a ring that differ; the others are copies of them in memory of their own."""


def last_cache_bytes() -> int:
    """Return the size of the largest cache that Linux names, 32 MiB where it names none."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20}[text[-1]])
    return max(sizes, default=32 << 20)


def make_ring(case: Case, world: World, seed: int) -> tuple[list[bytes], list[list[np.ndarray]]]:
    """Return requests and their rows: one of each for warm caches, else twice the last cache of them."""
    generator = Generator(case, seed)
    first = generator.payload()
    size = 1
    if case.cache == "ring":
        size = max(3, 2 * last_cache_bytes() // (len(first) + case.records * world.row_size_bytes) + 1)
    distinct = [first, *(generator.payload() for _ in range(min(size, DISTINCT) - 1))]
    payloads = distinct + [
        bytes(bytearray(distinct[index % len(distinct)])) for index in range(len(distinct), size)
    ]
    return payloads, [world.allocate(case.records) for _ in payloads]


def verify(calls: Mapping[str, Call], out: Sequence[Sequence[np.ndarray]]) -> None:
    """Have everybody convert the first requests of the ring and compare, bit by bit."""
    for index in range(min(3, len(out))):
        expected = None
        for name, call in calls.items():
            if name == MEMCPY:
                continue
            for tensor in out[index]:
                tensor.fill(-7)
            call(index)
            got = [tensor.tobytes() for tensor in out[index]]
            if expected is None:
                expected = got
            elif expected != got:
                raise SystemExit(f"request {index}: the tensors of {NAVI} and of {name} differ")


def measure(
    case: Case, world: World, *, rounds: int, burst_ms: float, clock: Callable[[], int], seed: int
) -> dict[str, Any]:
    """Return nanoseconds per record of every contender: each round's, their median and least."""
    payloads, out = make_ring(case, world, seed)
    calls = world.contenders(case, payloads, out)
    verify(calls, out)
    repeats = {name: _repeats(call, len(out), burst_ms) for name, call in calls.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    position = dict.fromkeys(calls, 0)
    for number in range(rounds):
        for name, call in calls.items():
            if name in SLOW and number >= max(1, rounds // 5):
                continue
            count, at = repeats[name], position[name]
            begun = clock()
            for step in range(at, at + count):
                call(step % len(out))
            taken[name].append((clock() - begun) / count / case.records)
            position[name] = at + count
    return {
        "case": case.name,
        "request_bytes": len(payloads[0]),
        "row_bytes": world.row_size_bytes,
        "ring": len(payloads),
        "ns_per_record": {
            name: {
                "median": statistics.median(each),
                "least": min(each),
                "rounds": [round(n, 1) for n in each],
            }
            for name, each in taken.items()
        },
        "times_cpp": _ratio(taken, CPP, NAVI),
        "times_memcpy": _ratio(taken, NAVI, MEMCPY),
    }


def _repeats(call: Call, ring: int, burst_ms: float) -> int:
    """Return how many calls make a burst, after as many as warm things up."""
    begun = time.perf_counter_ns()
    count = 0
    while (passed := time.perf_counter_ns() - begun) < burst_ms * 1e6 or count < min(ring, 3):
        call(count % ring)
        count += 1
        if passed > 1e9:
            break
    return max(1, round(burst_ms * 1e6 * count / max(passed, 1)))


def _ratio(taken: Mapping[str, Sequence[float]], upper: str, lower: str) -> float | None:
    """Return the median of the rounds' ratios."""
    if upper not in taken:
        return None
    return statistics.median(a / b for a, b in zip(taken[upper], taken[lower], strict=True))
