"""The ways to run a session of ONNX Runtime: microseconds of processor time, for a small model and one with much data.

Every way ends with arrays of the caller's own, as an answer needs them: an output that the next run writes into
again has to be copied first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from model import write_model
from stages import cost

SHAPES = {"16-32-4, 1 row": ((16, 32, 4), 1), "1024-8-1024, 256 rows": ((1024, 8, 1024), 256)}
"""Name -> widths and rows: hardly any data, and a megabyte in and out with hardly anything to compute."""


def ways(path: Path, num_rows: int, widths: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Return what does one run, by the name of the way."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), settings)
    options = ort.RunOptions()
    array = np.full((num_rows, widths[0]), 0.5, np.float32)
    out_shape = (num_rows, widths[-1])

    def with_values() -> Any:
        value = ort.OrtValue.ortvalue_from_numpy(array)
        [found] = session.run_with_ort_values(["y"], {"x": value}, options)
        return found.numpy()

    def newly_bound(binding: ort.IOBinding) -> Any:
        out = np.empty(out_shape, np.float32)
        binding.bind_input("x", "cpu", 0, np.float32, array.shape, array.ctypes.data)
        binding.bind_output("y", "cpu", 0, np.float32, out_shape, out.ctypes.data)
        session.run_with_iobinding(binding, options)
        return out

    kept = session.io_binding()
    kept_out = np.empty(out_shape, np.float32)
    kept.bind_input("x", "cpu", 0, np.float32, array.shape, array.ctypes.data)
    kept.bind_output("y", "cpu", 0, np.float32, out_shape, kept_out.ctypes.data)

    def bound_once() -> Any:
        session.run_with_iobinding(kept, options)
        return kept_out.copy()

    again = session.io_binding()
    bare = session._sess  # noqa: SLF001 - what the wrapper costs is asked
    return {
        "`session.run`": lambda: session.run(["y"], {"x": array}, options),
        "the same without its Python wrapper (private)": lambda: bare.run(["y"], {"x": array}, options),
        "`run_with_ort_values`": with_values,
        "IO binding, made for the run": lambda: newly_bound(session.io_binding()),
        "IO binding, kept and bound anew": lambda: newly_bound(again),
        "IO binding, bound once, its output copied": bound_once,
    }


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Measure, print and return microseconds by way and shape."""
    found: dict[str, dict[str, float]] = {}
    for name, (widths, num_rows) in SHAPES.items():
        path = write_model(folder / f"rows{num_rows}", widths)
        for way, call in ways(path, num_rows, widths).items():
            found.setdefault(way, {})[name] = round(cost(call, 500 if num_rows == 1 else 20), 2)
    print(f"| one run | {' | '.join(SHAPES)} |\n|---{'|---' * len(SHAPES)}|")
    for way, times in found.items():
        print(f"| {way} | {' | '.join(f'{value:.1f}' for value in times.values())} |")
    return found
