"""The cases: what a request holds, in which order, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

RECORDS = (1, 64, 512)
FEATURES = (100, 500, 1000, 2000)
ORDERS = ("producer", "shuffled")
CACHES = ("warm", "ring")


@dataclass(frozen=True)
class Case:
    """A shape of requests, and how they are given.

    Parameters
    ----------
    records
        In one request; Twitter's home timeline sends 64.
    features
        Continuous features of a record. It has 30 binary and 40 discrete ones and one embedding of 200 beside
        them; the common record half as many of each, and two embeddings.
    order
        ``producer``: the order of Java's HashMap, which Twitter's writers have; ``shuffled``: another one in
        every record; ``fixed``: the same keys in the same order in every record.
    cache
        ``warm``: one request into the same rows again and again; ``ring``: requests and rows that together are
        at least twice as large as the last cache, in turn.
    common
        Whether there is a common record.
    unknown
        Share of a record's features that no tensor has a column for.
    compact
        CompactDataRecords: continuous values are 32 bits.
    raw
        Embeddings are RawTypedTensors of floats, as Twitter's own writers make; else FloatTensors (of doubles).
    """

    records: int
    features: int
    order: str = "producer"
    cache: str = "warm"
    common: bool = True
    unknown: float = 0.05
    compact: bool = False
    raw: bool = False

    @property
    def name(self) -> str:
        """What ``--case`` takes."""
        extra = [
            *(["compact"] if self.compact else []),
            *(["raw"] if self.raw else []),
            *([] if self.common else ["alone"]),
            *([] if self.unknown == Case.unknown else [f"unknown{round(100 * self.unknown)}"]),
        ]
        return "-".join([f"{self.records}x{self.features}", self.order, self.cache, *extra])


USUAL = Case(64, 500)
GRID = [
    Case(records, features, order, cache)
    for records, features, order, cache in product(RECORDS, FEATURES, ORDERS, CACHES)
]
VARIANTS = [
    # the shape that the kernels were first tried on
    *(Case(100, 500, order, cache) for order, cache in product(ORDERS, CACHES)),
    replace(USUAL, order="fixed"),
    replace(USUAL, common=False),
    replace(USUAL, unknown=0.5),
    replace(USUAL, raw=True),
    *(replace(USUAL, compact=True, order=order, cache=cache) for order, cache in product(ORDERS, CACHES)),
]
ALL = GRID + VARIANTS
QUICK = [
    *(Case(64, 500, order, cache) for order, cache in product(ORDERS, CACHES)),
    *(Case(100, 500, order, cache) for order, cache in product(ORDERS, CACHES)),
    Case(1, 500, "shuffled"),
    Case(512, 100, "shuffled", "ring"),
    *VARIANTS[4:],
]


def find(pattern: str) -> list[Case]:
    """Return the cases whose names begin with the pattern."""
    return [case for case in ALL if case.name == pattern] or [
        case for case in ALL if case.name.startswith(pattern)
    ]
