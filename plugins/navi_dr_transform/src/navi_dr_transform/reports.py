"""Feature reports: the features whose values are observed, and where kernels count them.

Navi's rule (of its 2.0.45): a value of ``continuousFeatures`` whose id is asked for as continuous is
observed there, else, if it is asked for as discrete, there; common features once for each request. Navi never sees
``discreteFeatures``, because it builds no such tensor; here those that are asked for as discrete are observed too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOUNDS", "Reported", "Reports"]

_Int64Array: TypeAlias = NDArray[np.int64]

BOUNDS: Final = (
    *(float(value) for value in range(0, 201, 10)),
    *(250.0, 300.0, 500.0, 1000.0, 10000.0, 100000.0),
)
"""Inclusive upper bounds of the buckets, Navi's; ``+Inf`` comes by itself."""


@dataclass(slots=True)
class Reported:
    """Observed values.

    Parameters
    ----------
    counts
        (rows, bounds + 1) int64, C-contiguous: values by bucket, not accumulated.
    sums
        (rows,) float64: sums of the finite values.
    """

    counts: _Int64Array
    sums: NDArray[np.float64]


class Reports:
    """The features that are reported; each has a row in :class:`Reported`.

    Parameters
    ----------
    continuous, discrete
        Feature ids; of one that is in both, values of ``continuousFeatures`` count as continuous.

    Attributes
    ----------
    rows
        ``continuous`` and ``discrete`` -> feature id -> row.
    lookups
        (N,) int64, read-only: number of ids of continuousFeatures and of discreteFeatures; then, of either
        part, the ids, increasing, and their rows (``_report``).
    bounds
        (bounds,) float64, read-only.
    """

    def __init__(self, continuous: Iterable[int] = (), discrete: Iterable[int] = ()) -> None:
        found: dict[str, dict[int, int]] = {"continuous": {}, "discrete": {}}
        for kind, ids in (("continuous", continuous), ("discrete", discrete)):
            for feature_id in sorted(set(ids)):
                found[kind][feature_id] = sum(map(len, found.values()))
        self.rows: Mapping[str, Mapping[int, int]] = found
        parts = ({**found["discrete"], **found["continuous"]}, found["discrete"])
        lookups = [len(rows) for rows in parts]
        for rows in parts:
            lookups += [*sorted(rows), *(rows[feature_id] for feature_id in sorted(rows))]
        self.lookups: _Int64Array = np.array(lookups, np.int64)
        self.lookups.flags.writeable = False
        self.bounds: NDArray[np.float64] = np.array(BOUNDS)
        self.bounds.flags.writeable = False

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def new(self) -> Reported:
        """Return room for values, none observed yet."""
        return Reported(np.zeros((len(self), len(BOUNDS) + 1), np.int64), np.zeros(len(self)))
