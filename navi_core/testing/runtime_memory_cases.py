"""The part of the runtime suite about memory: what was loaded and closed is given back."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from navi_core.contracts.runtime import Servable
from navi_core.testing.memory import MemoryCases
from navi_core.testing.runtime_cases import RuntimeCases

__all__ = ["RuntimeMemoryCases"]


class RuntimeMemoryCases(RuntimeCases, MemoryCases):
    """What holds over many loads."""

    def test_memory_of_load_and_unload_cycles(
        self, tmp_path: Path, memory_cycles: int, record_property: Callable[[str, object], None]
    ) -> None:
        """Load, run once, close, again and again: nothing is kept, and memory does not grow.

        ``--navi-memory-cycles`` says how often; the slope of memory is judged from 41 cycles on.
        """
        artifact = self.pair_model(tmp_path)
        runtime = self.make_runtime()
        options = self.load_options()
        kept: list[weakref.ref[Servable]] = []

        def cycle() -> None:
            servable = runtime.load(artifact, options)
            try:
                self._check_pair(servable, self._pair(8))
            finally:
                servable.close()
            try:
                kept[:] = [weakref.ref(servable)]
            except TypeError:  # a class with __slots__ may allow no weak references
                kept.clear()

        self._repeat(cycle, memory_cycles, record_property)
        if any(servable() is not None for servable in kept):
            pytest.fail("a servable that was closed and let go of is still alive: something keeps it")
