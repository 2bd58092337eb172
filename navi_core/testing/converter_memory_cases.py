"""The part of the converter suite about memory: what was bound and let go of is given back."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import pytest

from navi_core.contracts.converter import BoundConverter
from navi_core.testing.converter_buffers import fill_alone
from navi_core.testing.converter_cases import ConverterCases
from navi_core.testing.memory import MemoryCases
from navi_core.types import NamedArrays

__all__ = ["ConverterMemoryCases"]


class ConverterMemoryCases(ConverterCases, MemoryCases):
    """What holds over many loads."""

    def test_memory_of_bind_and_unbind_cycles(
        self,
        bind: Callable[[], BoundConverter],
        good_inputs: Sequence[NamedArrays],
        memory_cycles: int,
        record_property: Callable[[str, object], None],
    ) -> None:
        """Bind, fill, let go, again and again: nothing is kept, and memory does not grow.

        ``--navi-memory-cycles`` says how often; the slope of memory is judged from 41 cycles on.
        """
        kept: list[weakref.ref[BoundConverter]] = []

        def cycle() -> None:
            bound = bind()
            for inputs in good_inputs:
                fill_alone(bound, inputs)
            try:
                kept[:] = [weakref.ref(bound)]
            except TypeError:  # a class with __slots__ may allow no weak references
                kept.clear()

        self._repeat(cycle, memory_cycles, record_property)
        if any(bound() is not None for bound in kept):
            pytest.fail("a bound converter that was let go of is still alive: something keeps it")
