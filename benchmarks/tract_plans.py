"""What tract gains from knowing the sizes: a plan for one number of rows beside one for any.

Also what it takes to make each: a plan is made on the way of the first request that needs it. The two plans take
turns as in ``runtimes.py``; the ratio is that of the plan for any number of rows to the other.

    python benchmarks/tract_plans.py [--bursts 100] [--clock wall|processor]
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import tract
from runtimes import CLOCKS, compare, store_onnx, weights_of

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def cases(folder):
    """Yield a name, a file, the input's type, and shapes without rows with their numbers of rows."""
    for widths, rows in (
        ((16, 32, 4), (1, 64)),
        ((256, 512, 512, 64), (1, 64)),
        ((1024, 2048, 2048, 64), (1, 16)),
    ):
        label = "-".join(map(str, widths))
        path = folder / label
        path.mkdir()
        store_onnx(weights_of(widths), path)
        yield label, path / "model.onnx", (widths[0],), rows
    yield "SqueezeNet, light", LIGHT / "light_squeezenet.onnx", (3, 224, 224), (1, 4)


def plan(path, rows, shape):
    begun = time.perf_counter()
    read = tract.onnx().load(path)
    read.set_input_fact(0, ",".join(map(str, (rows, *shape, "f32"))))
    made = read.into_model().into_runnable()
    return made, time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bursts", type=int, default=100, help="of about 2 ms each, for every case and side")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    print(
        "model                 rows   any number, us   this number, us    ratio   middle 80 %      made in, ms"
    )
    with tempfile.TemporaryDirectory() as folder:
        for label, path, shape, numbers in cases(Path(folder)):
            for rows in numbers:
                x = np.random.default_rng(0).normal(size=(rows, *shape)).astype(np.float32)
                symbolic, _ = plan(path, "N", shape)
                exact, _ = plan(path, rows, shape)
                took = statistics.median(plan(path, rows, shape)[1] for _ in range(5))
                ours, theirs = (functools.partial(each.run, [x]) for each in (symbolic, exact))
                result = compare(ours, theirs, arguments.bursts, CLOCKS[arguments.clock])
                print(
                    f"{label:20} {rows:5} {result['ours_us']:16.1f} {result['theirs_us']:17.1f} "
                    f"{result['ratio']:8.2f}   {result['ratio_p10']:.2f} to {result['ratio_p90']:.2f} "
                    f"{took * 1e3:14.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
