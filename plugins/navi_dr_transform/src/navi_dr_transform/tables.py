"""The frozen form of a feature map, which kernels search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from navi_dr_transform import wire
from navi_dr_transform.feature_map import Columns

__all__ = ["Int64Array", "freeze"]

Int64Array: TypeAlias = NDArray[np.int64]


def freeze(columns: Columns, widths: Mapping[int, int]) -> Int64Array:
    """Freeze columns into an open-addressing hash table.

    Parameters
    ----------
    columns
        Where every scalar feature goes.
    widths
        Index of a tensor -> its columns; what lies outside is left out, so that no lookup can leave it.

    Returns
    -------
    table
        (2 * slots,) int64, read-only; slots is a power of two and at least twice the entries. Slot s
        holds its key in [2s] and ``tensor << wire.KIND_SHIFT | column`` in [2s + 1], -1 where it is empty. An id
        is searched from slot ``(id * wire.GOLDEN >> 32) & (slots - 1)`` on, until it or an empty slot is met.
    """
    entries = [
        (feature_id, (int(place.tensor) << wire.KIND_SHIFT) | place.column)
        for (_, feature_id), places in columns.items()
        for place in places
        if place.column < widths.get(place.tensor, 0)
    ]
    slots = 2
    while slots < 2 * len(entries):
        slots *= 2
    table = np.full(2 * slots, -1, dtype=np.int64)
    for feature_id, value in entries:
        slot = ((feature_id * wire.GOLDEN) >> 32) & (slots - 1)
        while table[2 * slot + 1] >= 0:
            slot = (slot + 1) & (slots - 1)
        table[2 * slot] = feature_id
        table[2 * slot + 1] = value
    table.flags.writeable = False
    return table
