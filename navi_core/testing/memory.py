"""What a cycle of loading and unloading leaves behind, measured on this process."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import pytest

__all__ = ["DEFAULT_LIMIT_BYTES", "MEMORY_PROPERTY", "MemoryCases", "resident_bytes", "slope_bytes"]

MEMORY_PROPERTY: Final = "navi_memory"
"""The report property that holds what a case measured; pytest's summary shows it."""

DEFAULT_LIMIT_BYTES: Final = 100_000

_WARM_CYCLES: Final = 20
_STATM: Final = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Return the resident memory of this process; None: this system does not say."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def slope_bytes(readings: Sequence[int]) -> float:
    """Return the least-squares slope of equally spaced readings: bytes for each step.

    Parameters
    ----------
    readings
        At least two, in bytes.
    """
    x = np.arange(len(readings), dtype=np.float64)
    x -= x.mean()
    return float(x @ np.asarray(readings, dtype=np.float64) / (x @ x))


class MemoryCases:
    """Cycles of taking and giving back, and the memory that they may cost.

    Attributes
    ----------
    memory_slope_limit_bytes
        After 20 cycles, the least-squares slope of resident memory over the rest is at most this.
    memory_slope_reason
        The upstream issue that is to blame for a limit above 100 KB.
    """

    memory_slope_limit_bytes: ClassVar[int] = DEFAULT_LIMIT_BYTES
    memory_slope_reason: ClassVar[str] = ""

    def _repeat(
        self, cycle: Callable[[], None], cycles: int, record_property: Callable[[str, object], None]
    ) -> None:
        """Run ``cycle`` so many times and judge the memory where the cycles are enough to tell."""
        limit, reason = self.memory_slope_limit_bytes, self.memory_slope_reason
        if limit > DEFAULT_LIMIT_BYTES and not reason:
            pytest.fail(
                f"memory_slope_limit_bytes = {limit} is above {DEFAULT_LIMIT_BYTES}: name the upstream issue "
                "in memory_slope_reason"
            )
        readings: list[int] = []
        gc.collect()
        gc.freeze()  # a framework's half a million objects are none of the cycles': collecting stays quick
        try:
            for _ in range(cycles):
                cycle()
                gc.collect()
                reading = resident_bytes()
                if reading is not None:
                    readings.append(reading)
        finally:
            gc.unfreeze()
        if cycles <= 2 * _WARM_CYCLES:
            return
        if not readings:
            pytest.skip(f"resident memory is read from {_STATM}, which {sys.platform} does not have")
        slope = slope_bytes(readings[_WARM_CYCLES:])
        shown = (
            f"{slope / 1000:+.1f} KB a cycle over cycles {_WARM_CYCLES} to {cycles} (at most {limit / 1000:g}), "
            f"{readings[-1] / 1e6:.0f} MB in the end"
        )
        if reason:
            shown += f"; {reason}"
        record_property(MEMORY_PROPERTY, f"{type(self).__name__}: {shown}")
        assert slope <= limit, f"resident memory grows with each cycle of load, run and close: {shown}"  # noqa: S101
