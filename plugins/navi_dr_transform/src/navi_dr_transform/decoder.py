"""Decoder: built once for a layout, a feature map and widths, then reused for every request.

The boundary to the kernels: what goes in is checked and made exact here, and a kernel's status becomes a
DecodeError here. Thread-safe: what a decoder changes is memory that one call has for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from navi_core import Array, DecodeError, numpy_dtype
from navi_dr_transform import _kernels, _report, _rows, wire
from navi_dr_transform._accelerate import entry_point
from navi_dr_transform._memory import rows_of
from navi_dr_transform.feature_map import FeatureMap
from navi_dr_transform.layout import Layout
from navi_dr_transform.refusals import refusal_text
from navi_dr_transform.reports import Reported, Reports
from navi_dr_transform.tables import NUM_COUNTERS, Int64Array, freeze

__all__ = ["Decoder", "Form", "Measured"]

Form: TypeAlias = Literal["batch", "prediction", "record"]
"""Which struct a payload is: BatchPredictionRequest, PredictionRequest or a DataRecord alone."""

_FORMS: Final[Mapping[str, tuple[int, str]]] = {
    "batch": (wire.BATCH, "BatchPredictionRequest"),
    "prediction": (wire.PREDICTION, "PredictionRequest"),
    "record": (wire.RECORD, "DataRecord"),
}

_NOT_COUNTED: Final = np.empty(0, np.int64)

# a small request notices what a check of types costs that were checked before
_measure: Final = entry_point(_kernels.measure)
_fill: Final = entry_point(_kernels.fill)
_set_rows: Final = entry_point(_rows.set_rows)
_report_values: Final = entry_point(_report.report)


@dataclass(slots=True)
class Measured:
    """Payloads whose every length was read. Not to be changed; frozen, it would take three times as long to make.

    Parameters
    ----------
    payloads
        The requests.
    spans
        Of each: number of records, offset of the first one, offset of the common features or -1.
    row_ends
        (payloads,) int64, non-decreasing: the row after each payload's last.

    num_rows
        Rows of all payloads together.
    """

    payloads: Sequence[bytes]
    spans: Sequence[tuple[int, int, int]]
    row_ends: Int64Array
    num_rows: int


class _Workspace:
    """Memory that a call of a kernel has for itself, kept from call to call: fresh pages would cost more."""

    def __init__(self, scratch_size: int, defaults: Sequence[Array]) -> None:
        self.scratch = np.zeros(scratch_size, np.int64)
        self._template = [np.empty_like(row) for row in defaults]
        self.template = rows_of(self._template)
        self.rows = rows_of(self._template)
        """Memory for what ``set_rows`` says about the tensors of a call."""


class Decoder:
    """Turns requests into the tensors of a layout.

    Parameters
    ----------
    layout
        Names and types of the tensors.
    features
        Where every feature goes.
    widths
        Index of a tensor -> columns; the tensors that are wanted. The others are neither made nor written.
    exact_embeddings
        Refuse embeddings that are longer than their tensor is wide, instead of taking their first values.
    form
        Which struct a payload is. Its records may be CompactDataRecords: their fields' types say so.
    """

    def __init__(
        self,
        layout: Layout,
        features: FeatureMap,
        widths: Mapping[int, int],
        *,
        exact_embeddings: bool,
        form: Form = "batch",
    ) -> None:
        self.layout = layout
        self.widths = {
            index: widths[index] for index in range(len(layout.tensors)) if widths.get(index, 0) > 0
        }
        self._columns = [(index, width, self.dtype(index)) for index, width in self.widths.items()]
        self._has_strings = any(dtype.hasobject for _, _, dtype in self._columns)
        self._form, self.struct = _FORMS[form]
        self._frozen = freeze(layout, features, self.widths, exact=exact_embeddings)
        self._defaults = rows_of(self._frozen.defaults)
        self._row_sizes = np.array([row.nbytes for row in self._frozen.defaults], np.int64)
        self._workspaces: list[_Workspace] = []

    @property
    def row_size_bytes(self) -> int:
        """Bytes that one row of all wanted tensors takes."""
        return sum(width * self.dtype(index).itemsize for index, width in self.widths.items())

    def dtype(self, index: int) -> np.dtype[Any]:
        """Return the element type of a tensor."""
        return numpy_dtype(self.layout.tensors[index].dtype)

    def measure(self, payloads: Sequence[bytes]) -> Measured:
        """Read every length, fill nothing.

        Parameters
        ----------
        payloads
            Requests, each a bare struct in TBinaryProtocol; bytes after it are ignored. Read in place, here and when
            they are filled in: nobody may change the bytes of a mutable one (a ``bytearray``, a view of one) while a
            call lasts, for a kernel checks a length and then trusts it. Between the calls they may change, which
            ``fill`` notices or not, but it stays inside the payload.

        Raises
        ------
        DecodeError
            A payload is malformed or an embedding too short (or too long); with its index and the offset.
        """
        spans: list[tuple[int, int, int]] = []
        ends: list[int] = []
        num_rows = 0
        workspace = self._borrow()
        try:
            for payload in payloads:
                if payload.__class__ is not bytes:
                    _check_view(payload)
                status, offset, num_records, records, common = _measure(
                    payload, self._form, self._frozen.plan, workspace.scratch
                )
                if status != wire.OK:
                    raise self._refusal(status, payload, len(spans), offset)
                spans.append((num_records, records, common))
                num_rows += num_records
                ends.append(num_rows)
        finally:
            self._workspaces.append(workspace)
        return Measured(payloads, spans, np.array(ends, np.int64), num_rows)

    def allocate(self, num_rows: int) -> dict[int, Array]:
        """Return uninitialised arrays of so many rows for the wanted tensors."""
        return {index: np.empty((num_rows, width), self.dtype(index)) for index, width in self.widths.items()}

    def fill(self, measured: Measured, out: Mapping[int, Array], counters: Int64Array | None = None) -> None:
        """Write every row of every wanted tensor, defaults included. Releases the GIL.

        Parameters
        ----------
        measured
            What ``measure`` answered.
        out
            Index of a tensor -> (num_rows, width) array of the tensor's type, C-contiguous, **written**; one for every
            wanted tensor.
        counters
            (``tables.NUM_COUNTERS``,) int64: what came is **added** (``tables.Counter``). None: nothing is counted,
            at no cost.

        Raises
        ------
        DecodeError
            A payload changed since it was measured.
        ValueError
            An array is not as described.
        """
        arrays = self._checked(out, measured.num_rows)
        written = _spans_for_strings(arrays) if self._has_strings else arrays
        counted = _NOT_COUNTED if counters is None else _checked_counters(counters)
        frozen = self._frozen
        first_row = 0
        workspace = self._borrow()
        try:
            _set_rows(workspace.rows, written, self._row_sizes, measured.num_rows)
            for index, (payload, span) in enumerate(zip(measured.payloads, measured.spans, strict=True)):
                status, offset = _fill(
                    payload,
                    *span,
                    frozen.plan,
                    frozen.displacements,
                    self._defaults,
                    workspace.template,
                    workspace.rows,
                    first_row,
                    workspace.scratch,
                    counted,
                )
                if status != wire.OK:
                    raise self._refusal(status, payload, index, offset)
                first_row += span[0]
        finally:
            self._workspaces.append(workspace)
        if self._has_strings:
            for index, array, spans in zip(self.widths, arrays, written, strict=True):
                if spans is not array:
                    _cut_strings(measured, spans, array, self.layout.tensors[index].default)

    def report(self, measured: Measured, reports: Reports, reported: Reported) -> None:
        """Observe the values of features that are reported. Releases the GIL.

        Parameters
        ----------
        measured
            What ``measure`` answered.
        reports
            Which features.
        reported
            What ``reports.new`` gave, **added to**.

        Raises
        ------
        DecodeError
            A payload changed since it was measured.
        """
        counts = reported.counts.reshape(-1)
        workspace = self._borrow()
        try:
            for index, (payload, span) in enumerate(zip(measured.payloads, measured.spans, strict=True)):
                status, offset = _report_values(
                    payload,
                    *span,
                    self._frozen.plan,
                    workspace.scratch,
                    reports.lookups,
                    reports.bounds,
                    counts,
                    reported.sums,
                )
                if status != wire.OK:
                    raise self._refusal(status, payload, index, offset)
        finally:
            self._workspaces.append(workspace)

    def _borrow(self) -> _Workspace:
        """Return memory that no other call has; appending to and popping from a list are atomic."""
        try:
            return self._workspaces.pop()
        except IndexError:
            return _Workspace(self._frozen.scratch_size, self._frozen.defaults)

    def _checked(self, out: Mapping[int, Array], num_rows: int) -> list[Array]:
        """Return the arrays of the tensors, if they are as kernels need them: they write through addresses."""
        arrays = []
        for index, width, dtype in self._columns:
            array = out.get(index)
            shape = (num_rows, width)
            if (
                array is None
                or array.shape != shape
                or (array.dtype is not dtype and array.dtype != dtype)
                or not array.flags.carray
            ):
                got = "nothing" if array is None else f"{array.dtype} {array.shape}, {array.flags.carray=}"
                msg = f"{self.layout.tensors[index].name}: expected a writeable C-contiguous {dtype} {shape}, got {got}"
                raise ValueError(msg)
            arrays.append(array)
        return arrays

    def _refusal(self, status: int, payload: bytes, index: int, offset: int) -> DecodeError:
        return DecodeError(
            f"{self.struct}: {refusal_text(status, payload, offset)}", offset=offset, row=index
        )


def _checked_counters(counters: Int64Array) -> Int64Array:
    if counters.shape != (NUM_COUNTERS,) or counters.dtype != np.int64 or not counters.flags.carray:
        msg = f"counters: expected a writeable int64 ({NUM_COUNTERS},), got {counters.dtype} {counters.shape}"
        raise ValueError(msg)
    return counters


def _check_view(payload: Any) -> None:
    """Refuse what is not bytes one after the other: kernels read on from where they begin."""
    view = memoryview(payload)
    if view.format != "B" or not view.c_contiguous:
        msg = f"expected a payload of bytes, got a view of format {view.format!r}, {view.c_contiguous=}"
        raise ValueError(msg)


def _spans_for_strings(arrays: Sequence[Array]) -> list[Array]:
    """Return what kernels write: of strings, where they lie."""
    return [
        np.empty((array.shape[0], 2 * array.shape[1]), np.int64) if array.dtype.hasobject else array
        for array in arrays
    ]


def _cut_strings(measured: Measured, spans: Int64Array, out: Array, default: Any) -> None:
    """Write the strings that spans point to, or the default where none came."""
    out[...] = default
    first_row = 0
    for payload, end_row in zip(measured.payloads, measured.row_ends.tolist(), strict=True):
        of_payload = spans[first_row:end_row].reshape(end_row - first_row, out.shape[1], 2)
        for row, column in np.argwhere(of_payload[:, :, 0] >= 0).tolist():
            offset, length = of_payload[row, column].tolist()
            out[first_row + row, column] = bytes(payload[offset : offset + length])
        first_row = end_row
