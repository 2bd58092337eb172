"""Decoder: built once for a layout, a feature map and widths, then reused for every request.

The boundary to the kernels: what goes in is checked and made exact here, and a kernel's status becomes a
DecodeError here. Thread-safe: a decoder never changes after it was built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from navi_core import Array, DecodeError, numpy_dtype
from navi_dr_transform import _kernels, wire
from navi_dr_transform.feature_map import FeatureMap
from navi_dr_transform.layout import HOME, Layout, Source
from navi_dr_transform.tables import Int64Array, freeze

__all__ = ["Decoder", "Measured"]

_NOT_WANTED: Final[Mapping[np.dtype[Any], Array]] = {
    np.dtype(np.float32): np.empty((0, 0), dtype=np.float32),
    np.dtype(np.int64): np.empty((0, 0), dtype=np.int64),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Payloads whose every length was read.

    Parameters
    ----------
    payloads
        BatchPredictionRequests.
    spans
        Of each: number of records, offset of the first one, offset of the common features or -1.
    row_ends
        (payloads,) int64, non-decreasing: the row after each payload's last.
    """

    payloads: Sequence[bytes]
    spans: Sequence[tuple[int, int, int]]
    row_ends: Int64Array

    @property
    def num_rows(self) -> int:
        """Rows of all payloads together."""
        return int(self.row_ends[-1]) if len(self.row_ends) else 0


class Decoder:
    """Turns BatchPredictionRequests into the tensors of a layout.

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
    """

    def __init__(
        self, layout: Layout, features: FeatureMap, widths: Mapping[int, int], *, exact_embeddings: bool
    ) -> None:
        self.layout = layout
        if len(layout.tensors) != len(HOME.tensors):
            msg = f"layout: expected the {len(HOME.tensors)} tensors of '{HOME.name}', got {len(layout.tensors)}"
            raise ValueError(msg)
        self.widths = {
            index: widths[index] for index in range(len(layout.tensors)) if widths.get(index, 0) > 0
        }
        embeddings = [index for index, each in enumerate(layout.tensors) if each.source is Source.TENSOR]
        self._table = freeze(features.columns, self.widths)
        self._embedding_ids = np.array([features.embeddings[index] for index in embeddings], np.int64)
        self._embedding_widths = np.array([self.widths.get(index, 0) for index in embeddings], np.int64)
        self._exact = int(exact_embeddings)

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
            BatchPredictionRequests, each a bare struct in TBinaryProtocol; bytes after it are ignored.

        Raises
        ------
        DecodeError
            A payload is malformed or an embedding too short (or too long); with its index and the offset.
        """
        spans = []
        row_ends = np.empty(len(payloads), dtype=np.int64)
        num_rows = 0
        for index, payload in enumerate(payloads):
            status, offset, *span = _kernels.measure(
                payload, self._embedding_ids, self._embedding_widths, self._exact
            )
            if status != wire.OK:
                raise _refusal(status, index, offset)
            spans.append((span[0], span[1], span[2]))
            num_rows += span[0]
            row_ends[index] = num_rows
        return Measured(payloads, spans, row_ends)

    def allocate(self, num_rows: int) -> dict[int, Array]:
        """Return uninitialised arrays of so many rows for the wanted tensors."""
        return {index: np.empty((num_rows, width), self.dtype(index)) for index, width in self.widths.items()}

    def fill(self, measured: Measured, out: Mapping[int, Array]) -> None:
        """Write every row of every wanted tensor, defaults included. Releases the GIL.

        Parameters
        ----------
        measured
            What ``measure`` answered.
        out
            Index of a tensor -> (num_rows, width) array of the tensor's type, C-contiguous, **written**; one for every
            wanted tensor.

        Raises
        ------
        DecodeError
            A payload changed since it was measured.
        ValueError
            An array is not as described.
        """
        tensors = tuple(
            self._checked(index, out.get(index), measured.num_rows)
            for index in range(len(self.layout.tensors))
        )
        first_row = 0
        for index, (payload, span) in enumerate(zip(measured.payloads, measured.spans, strict=True)):
            status, offset = _kernels.fill(
                payload, *span, self._table, self._embedding_ids, self._exact, tensors, first_row
            )
            if status != wire.OK:
                raise _refusal(status, index, offset)
            first_row += span[0]

    def _checked(self, index: int, array: Array | None, num_rows: int) -> Array:
        """Return the array that the kernel gets for a tensor; an empty one where it is not wanted."""
        dtype = self.dtype(index)
        if index not in self.widths:
            return _NOT_WANTED[dtype]
        shape = (num_rows, self.widths[index])
        if array is None or array.shape != shape or array.dtype != dtype or not array.flags.carray:
            got = "nothing" if array is None else f"{array.dtype} {array.shape}, {array.flags.carray=}"
            msg = f"{self.layout.tensors[index].name}: expected a writeable C-contiguous {dtype} {shape}, got {got}"
            raise ValueError(msg)
        return array


def _refusal(status: int, payload: int, offset: int) -> DecodeError:
    return DecodeError(f"BatchPredictionRequest: {wire.STATUS_TEXTS[status]}", offset=offset, row=payload)
