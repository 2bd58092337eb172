"""Requests of a case, from a seed."""

from __future__ import annotations

import numpy as np
from cases import Case
from mapping import AUTHOR, BINARY, CONTINUOUS, DISCRETE, EMBEDDING_IDS, IDS, USER, USER_ENG, WIDTHS
from writer import Record, write_request

OTHERS = {BINARY: 30, DISCRETE: 40}
"""Features of a record beside the continuous ones."""
KEPT = 0.8
"""Share of a request's features that each record has: candidates of one request have much in common."""


def java_order(ids: np.ndarray) -> np.ndarray:
    """Return ids in the order in which Java's HashMap<Long, ...> of so many entries gives them.

    The bucket is that of ``HashMap.hash(Long.hashCode())`` in a table of the next power of two that holds the
    entries at a load of 3/4; within a bucket the order of insertion stays.
    """
    folded = ids.view(np.uint64) ^ (ids.view(np.uint64) >> np.uint64(32))
    low = folded.astype(np.uint32)
    spread = low ^ (low >> np.uint32(16))
    capacity = 16
    while len(ids) > 0.75 * capacity:
        capacity *= 2
    return ids[np.argsort(spread & np.uint32(capacity - 1), kind="stable")]


class Generator:
    """Makes requests of one case; the same seed makes the same."""

    def __init__(self, case: Case, seed: int = 0) -> None:
        self.case = case
        self.random = np.random.default_rng([seed, *case.name.encode()])

    def request(self) -> tuple[list[Record], Record | None]:
        """Return a request's records and its common one."""
        case = self.case
        if case.order == "fixed":
            pools = {tensor: self._pool(tensor, count) for tensor, count in self._counts(1.0).items()}
        else:
            pools = {tensor: self._pool(tensor, count) for tensor, count in self._counts(1 / KEPT).items()}
        records = [self._record(pools, self._counts(1.0), (AUTHOR,)) for _ in range(case.records)]
        common = None
        if case.common:
            halves = self._counts(0.5)
            own = {tensor: self._pool(tensor, count) for tensor, count in halves.items()}
            common = self._record(own, halves, (USER, USER_ENG))
        return records, common

    def payload(self) -> bytes:
        """Return a request's bytes."""
        return write_request(*self.request(), compact=self.case.compact, raw=self.case.raw)

    def _counts(self, times: float) -> dict[int, int]:
        counts = {CONTINUOUS: self.case.features, **OTHERS}
        return {tensor: max(1, round(times * count)) for tensor, count in counts.items()}

    def _pool(self, tensor: int, count: int) -> np.ndarray:
        """Pick ids, some of which no tensor knows."""
        unknown = round(self.case.unknown * count)
        known = self.random.choice(IDS[tensor], count - unknown, replace=False)
        strange = self.random.integers(-(2**63), 2**63, unknown, dtype=np.int64)
        return self.random.permutation(np.concatenate([known, strange]))

    def _keys(self, pool: np.ndarray, count: int) -> np.ndarray:
        if self.case.order == "fixed":
            return pool
        if self.case.order == "shuffled":
            return self.random.permutation(pool)[:count]
        kept = np.sort(self.random.permutation(len(pool))[:count])
        return java_order(pool[kept])

    def _record(self, pools: dict[int, np.ndarray], counts: dict[int, int], embeddings: tuple) -> Record:
        keys = {tensor: self._keys(pool, counts[tensor]) for tensor, pool in pools.items()}
        size = len(keys[CONTINUOUS])
        # of very different sizes, as counters and ratios are
        values = self.random.standard_normal(size) * np.exp(2.0 * self.random.standard_normal(size))
        return Record(
            binary=keys[BINARY],
            continuous=(keys[CONTINUOUS], values),
            discrete=(keys[DISCRETE], self.random.integers(0, 1000, len(keys[DISCRETE]))),
            tensors=[
                (EMBEDDING_IDS[tensor - USER], self.random.standard_normal(WIDTHS[tensor], dtype=np.float32))
                for tensor in embeddings
            ],
        )
