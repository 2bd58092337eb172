"""The kernel of feature reports: counts the values of a few features into buckets.

A pass of its own over a request, made only where features are reported: fields are passed over in one step each,
and the elements of two of them are looked at. So it costs those nothing who report nothing.
"""

from __future__ import annotations

from typing import Any, Final

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import INT, INTS, PAYLOAD, SCRATCH, answers, inner, kernel, types
from navi_dr_transform._memory import get, read_f32, read_f64, read_i64
from navi_dr_transform._walk import walk_record

__all__ = ["report"]

BOUNDS: Final = types.Array(types.float64, 1, "C", readonly=True)
SUMS: Final = types.Array(types.float64, 1, "C")

NUM_CONTINUOUS: Final = 0  # of the lookups: ids of continuousFeatures, then of discreteFeatures
NUM_DISCRETE: Final = 1
LOOKUPS_AT: Final = 2  # ids, increasing, then their rows; of either part


@inner
def find_row(lookups: Any, first: int, count: int, feature_id: int) -> int:
    """Return the row of a reported feature; -1 when it is not reported."""
    low = first
    high = first + count
    while low < high:
        middle = (low + high) >> 1
        if get(lookups, middle) < feature_id:
            low = middle + 1
        else:
            high = middle
    if low < first + count and get(lookups, low) == feature_id:
        return get(lookups, low + count)
    return wire.ABSENT


@inner
def observe(row: int, value: float, bounds: Any, counts: Any, sums: Any) -> None:
    """Count a value in the first bucket whose bound is not below it; what is no number, in the last one."""
    low = wire.BEGIN
    high = len(bounds)
    while low < high:
        middle = (low + high) >> 1
        if bounds[middle] >= value:
            high = middle
        else:
            low = middle + 1
    counts[row * (len(bounds) + 1) + low] += 1
    if value - value == 0.0:  # finite
        sums[row] += value


@inner
def report_record(
    payload: bytes, offset: int, plan: Any, scratch: Any, lookups: Any, bounds: Any, counts: Any, sums: Any
) -> tuple[int, int]:
    """Observe the reported features of one record."""
    status, offset = walk_record(payload, offset, plan, scratch)
    if status != wire.OK:
        return status, offset
    first = LOOKUPS_AT + wire.BEGIN
    for field in range(wire.RECORD_CONTINUOUS, wire.RECORD_DISCRETE + 1):
        is_continuous = field == wire.RECORD_CONTINUOUS
        num_ids = get(lookups, NUM_CONTINUOUS if is_continuous else NUM_DISCRETE)
        if num_ids > 0:
            span = _plan.FIELDS_AT + _plan.FIELD_SPAN * field
            kind = get(scratch, span)
            size = 12 if kind == wire.ID_FLOATS else 16
            begin = get(scratch, span + 2)
            for at in range(begin, begin + size * get(scratch, span + 1), size):
                row = find_row(lookups, first, num_ids, read_i64(payload, at))
                if row >= 0:
                    if kind == wire.ID_DOUBLES:
                        value = read_f64(payload, at + 8)
                    elif kind == wire.ID_FLOATS:
                        value = float(read_f32(payload, at + 8))
                    else:
                        value = float(read_i64(payload, at + 8))
                    observe(row, value, bounds, counts, sums)
        first += 2 * num_ids
    return status, offset


@kernel(answers(2)(PAYLOAD, INT, INT, INT, INTS, SCRATCH, INTS, BOUNDS, SCRATCH, SUMS))
def report(
    payload: bytes,
    num_records: int,
    records: int,
    common: int,
    plan: Any,
    scratch: Any,
    lookups: Any,
    bounds: Any,
    counts: Any,
    sums: Any,
) -> tuple[int, int]:
    """Observe the reported features of a request: common ones once, each record's own once.

    Parameters
    ----------
    payload
        The request.
    num_records, records, common
        As ``measure`` answered for it.
    plan
        (N,) int64. The frozen layout.
    scratch
        (``Frozen.scratch_size``,) int64. **Written**; one thread at a time.
    lookups
        (M,) int64. Number of ids of continuousFeatures and of discreteFeatures, then, of either part, the ids,
        increasing, and their rows.
    bounds
        (B,) float64, increasing: inclusive upper bounds of the buckets but the last one.
    counts
        (rows * (B + 1),) int64. **Added to.**
    sums
        (rows,) float64: sums of the finite values. **Added to.**

    Returns
    -------
    status, offset
        ``wire.OK`` and the byte after the last record; else what is wrong and where it stopped.

    Notes
    -----
    Source: Navi's feature reports (navi 2.0.45). Never raises. Releases the GIL.
    """
    if records < 0:
        return wire.TRUNCATED, records
    if common >= 0:
        status, offset = report_record(payload, common, plan, scratch, lookups, bounds, counts, sums)
        if status != wire.OK:
            return status, offset
    offset = records
    for _ in range(num_records):
        status, offset = report_record(payload, offset, plan, scratch, lookups, bounds, counts, sums)
        if status != wire.OK:
            return status, offset
    return wire.OK, offset
