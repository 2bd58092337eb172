"""Kernels' memory beside guard pages: what they read ends at one, and what they write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from guard import Guarded, array_at_end
from mutations import MAX_BYTES
from navi_dr_transform import _kernels, _report, wire
from navi_dr_transform._accelerate import entry_point
from navi_dr_transform._memory import rows_of
from navi_dr_transform.reports import Reported
from navi_dr_transform.tables import NUM_COUNTERS
from navi_dr_transform.thrift_service import _scan, scanner
from outcomes import MAX_ROWS, REPORTS


def guarded_copy(array: Any) -> Any:
    """Return a copy whose last element is the last before a guard page."""
    copy = array_at_end(Guarded(array.nbytes), array.shape, array.dtype)
    copy[...] = array
    return copy


class GuardedReports:
    """Room for the values that are counted; called, it is empty."""

    def __init__(self) -> None:
        REPORTS.lookups = guarded_copy(REPORTS.lookups)
        REPORTS.bounds = guarded_copy(REPORTS.bounds)
        made = REPORTS.new()
        self._reported = Reported(guarded_copy(made.counts), guarded_copy(made.sums))

    def __call__(self) -> Reported:
        """Return it."""
        self._reported.counts[...] = 0
        self._reported.sums[...] = 0
        return self._reported


class GuardedScan(scanner.Scan):
    """A scan whose state is flush against a guard page."""

    __slots__ = ()
    _kept = guarded_copy(np.zeros(_scan.STATE_SIZE, np.int64))
    _bytes = Guarded(MAX_BYTES)

    def __init__(self, wire_type: int, offset: int, limit: int) -> None:
        super().__init__(wire_type, offset, limit)
        self._kept[...] = self._state
        self._state = self._kept

    @classmethod
    def prefix(cls, payload: Any, stop: int) -> Any:
        """Return the first bytes of a request, the last of them flush against a guard page."""
        view = cls._bytes.last(stop)
        view[:] = payload[:stop]
        return view


class GuardedRows:
    """Rows for a target's tensors, each tensor's last row flush against a guard page."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        workspace = decoder._borrow()  # noqa: SLF001 - what calls get: there is one
        workspace.scratch = guarded_copy(workspace.scratch)
        decoder._workspaces.append(workspace)  # noqa: SLF001
        self._regions = {
            index: Guarded(MAX_ROWS * width * decoder.dtype(index).itemsize)
            for index, width in decoder.widths.items()
            if decoder.dtype(index).kind != "O"
        }

        self._made: dict[int, dict[int, Any]] = {}

    def __call__(self, rows: int) -> dict[int, Any]:
        """Return rows; they hold what the request before left."""
        if rows not in self._made:
            self._made[rows] = {
                index: array_at_end(self._regions[index], (rows, width), self._decoder.dtype(index))
                if index in self._regions
                else np.empty((rows, width), object)
                for index, width in self._decoder.widths.items()
            }
        return self._made[rows]


class Direct:
    """A decoder's kernels without the decoder, which takes most of the time of a small request.

    Parameters
    ----------
    decoder
        A ``Decoder``.
    reported
        Room for the values that are counted.
    """

    def __init__(self, decoder: Any, reported: Reported) -> None:
        frozen = decoder._frozen  # noqa: SLF001 - what it gives to its kernels
        self._form = decoder._form  # noqa: SLF001
        self._plan = guarded_copy(frozen.plan)
        self._displacements = guarded_copy(frozen.displacements)
        self._defaults = [guarded_copy(row) for row in frozen.defaults]
        self._template = [guarded_copy(row) for row in frozen.defaults]
        self._regions = [Guarded(MAX_ROWS * row.nbytes) for row in frozen.defaults]
        self._scratch = guarded_copy(np.zeros(frozen.scratch_size, np.int64))
        self._counters = guarded_copy(np.zeros(NUM_COUNTERS, np.int64))
        self._not_counted = self._counters[:0]
        self._reported = (REPORTS.lookups, REPORTS.bounds, reported.counts.reshape(-1), reported.sums)
        self._one_row = (rows_of(self._defaults), rows_of(self._template))
        self._rows: dict[int, Any] = {}
        self._measure, self._fill, self._report = map(
            entry_point, (_kernels.measure, _kernels.fill, _report.report)
        )

    def __call__(self, payload: Any, span: Sequence[int], *, counted: bool) -> None:
        """Convert a request; if it is refused, with what was measured of another."""
        status, _, *found = self._measure(payload, self._form, self._plan, self._scratch)
        if status == wire.OK:
            span = found
        if span[0] <= MAX_ROWS:
            counters = self._counters if counted else self._not_counted
            rows = self._rows_of(span[0])
            self._fill(
                payload,
                *span,
                self._plan,
                self._displacements,
                *self._one_row,
                rows,
                0,
                self._scratch,
                counters,
            )
            self._report(payload, *span, self._plan, self._scratch, *self._reported)

    def _rows_of(self, count: int) -> Any:
        if count not in self._rows:
            self._rows[count] = rows_of(
                [
                    array_at_end(region, (count, row.shape[1]), row.dtype)
                    for region, row in zip(self._regions, self._defaults, strict=True)
                ]
            )
        return self._rows[count]
