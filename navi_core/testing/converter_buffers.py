"""Tensors for a converter to fill, and how they are compared."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from navi_core.contracts.converter import BoundConverter, Plan
from navi_core.tensors import DType, numpy_dtype
from navi_core.types import Array, NamedArrays

__all__ = ["PATTERNS", "Buffers", "fill_alone", "payloads_of", "same", "with_payload"]

_GUARD_ROWS = 2
PATTERNS = (0x55, 0xAA)


@dataclass(frozen=True, slots=True)
class Buffers:
    """Tensors to fill, each inside a larger array whose other rows nobody may touch."""

    whole: dict[str, Array]
    inner: dict[str, Array]

    @classmethod
    def allocate(cls, plan: Plan, pattern: int, *, num_rows: int | None = None) -> Buffers:
        """Return tensors for a plan, every byte of which is ``pattern``."""
        rows = plan.num_rows if num_rows is None else num_rows
        whole: dict[str, Array] = {}
        for name, row in plan.rows.items():
            shape = (rows + 2 * _GUARD_ROWS, *row.shape)
            if row.dtype is DType.STRING:
                whole[name] = np.full(shape, bytes([pattern]) * 3, dtype=object)
            else:
                whole[name] = np.empty(shape, dtype=numpy_dtype(row.dtype))
                whole[name].reshape(-1).view(np.uint8)[:] = pattern
        return cls(whole, {name: array[_GUARD_ROWS : _GUARD_ROWS + rows] for name, array in whole.items()})

    def check_guards(self, pattern: int) -> None:
        """See that the rows around the tensors are what they were."""
        for name, array in self.whole.items():
            end = array.shape[0] - _GUARD_ROWS
            for where, guard in (("before", array[:_GUARD_ROWS]), ("after", array[end:])):
                untouched = (
                    all(item == bytes([pattern]) * 3 for item in guard.flat)
                    if array.dtype == object
                    else bool((_bytes_of(guard) == pattern).all())
                )
                assert untouched, f"fill wrote to rows {where} its own in '{name}'"


def _bytes_of(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def same(left: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    """Tell whether both hold the same bits (strings: the same items) under the same names."""
    if left.keys() != right.keys():
        return False
    for name, ours in left.items():
        theirs = right[name]
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return False
        if ours.dtype == object:
            if ours.tolist() != theirs.tolist():
                return False
        elif not np.array_equal(_bytes_of(ours), _bytes_of(theirs)):
            return False
    return True


def fill_alone(bound: BoundConverter, inputs: NamedArrays, pattern: int = PATTERNS[0]) -> dict[str, Array]:
    """Plan and fill one request inside guard rows, check the guards and return the tensors."""
    plan = bound.plan(inputs)
    buffers = Buffers.allocate(plan, pattern)
    bound.fill(plan, buffers.inner)
    buffers.check_guards(pattern)
    return buffers.inner


def payloads_of(inputs: NamedArrays) -> Iterator[tuple[str, int, bytes]]:
    """Yield input name, flat index and bytes of every payload of a request."""
    for name, array in inputs.items():
        if array.dtype == object:
            for index, payload in enumerate(array.flat):
                yield name, index, payload


def with_payload(inputs: NamedArrays, name: str, index: int, payload: bytes) -> NamedArrays:
    """Return a request with another payload in one place."""
    changed = inputs[name].copy()
    changed.reshape(-1)[index] = payload
    return {**inputs, name: changed}
