"""One input of the model, filled from one feature of every example.

A column reads a row's feature as a *cell*: its values as they lie in the message, counted and not decoded.
When a batch is filled, the cells of all rows are decoded at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from navi_core.contracts.converter import RowSpec
from navi_core.errors import DecodeError
from navi_core.tensors import DType, itemsize_bytes
from navi_core.types import Array
from navi_core.wire.example_features import KINDS, bytes_of, float_run_of, int64_run_of, list_of, plain_head
from navi_core.wire.varints import count_varints, decode_varints

__all__ = ["INT_BOUNDS", "BytesColumn", "Column", "FloatColumn", "Int64Column"]

_POINTER_BYTES: Final = 8

INT_BOUNDS: Final = {
    DType.BOOL: (0, 1),
    DType.INT8: (-(2**7), 2**7 - 1),
    DType.INT16: (-(2**15), 2**15 - 1),
    DType.INT32: (-(2**31), 2**31 - 1),
    DType.INT64: (-(2**63), 2**63 - 1),
    DType.UINT8: (0, 2**8 - 1),
    DType.UINT16: (0, 2**16 - 1),
    DType.UINT32: (0, 2**32 - 1),
    DType.UINT64: (0, 2**63 - 1),
    # every integer up to here has its own float
    DType.BFLOAT16: (-(2**8), 2**8),
    DType.FLOAT16: (-(2**11), 2**11),
    DType.FLOAT32: (-(2**24), 2**24),
    DType.FLOAT64: (-(2**53), 2**53),
}
"""Element type -> the smallest and the largest int64 that it holds exactly."""

_SHORT_HEADS: Final = {kind: {4 + size: plain_head(kind, size) for size in range(1, 120)} for kind in KINDS}
"""Kind -> size of a short Feature in bytes -> the four bytes that it begins with, written the plain way."""


class Column(ABC):
    """One input.

    Parameters
    ----------
    name
        The input's name.
    feature
        The feature's.
    dtype
        The input's element type.
    row_shape
        The shape of a row; None for a size that the example gives.
    default
        A row's worth of the input's own dtype, for examples without the feature; None: they are refused.
    """

    kind: ClassVar[int]
    """Which list the feature has: a key of KINDS."""

    def __init__(
        self,
        name: str,
        feature: str,
        dtype: DType,
        row_shape: tuple[int | None, ...],
        default: Array | None,
    ) -> None:
        self.name: Final = name
        self.feature: Final = feature
        self.default: Final = default
        self._dtype = dtype
        self._row_shape = row_shape
        known = math.prod(size for size in row_shape if size is not None)
        self._known: Final = known
        self._row: RowSpec | None = None
        self.num_values: Final = None if None in row_shape else known
        if self.num_values is not None:
            self._row = self.row(known)
        self._value_bytes = itemsize_bytes(dtype) or _POINTER_BYTES

    def read(self, feature: bytes | None) -> tuple[Any, int]:
        """Return a row's cell and how many values it has; cell None: the default.

        Parameters
        ----------
        feature
            The serialized Feature; None: the example has none of that name.

        Raises
        ------
        DecodeError
            It is missing and there is no default, of another kind, malformed, or of another number of values.
        """
        kind, values = list_of(feature) if feature else (0, b"")
        if not kind:
            if self.default is None:
                raise DecodeError(f"expected {self._wanted}, got none, and there is no default")
            return None, self.default.size
        if kind != self.kind:
            raise DecodeError(f"expected {self._wanted}, got {KINDS[kind]}")
        cell, count = self._cell(values)
        if count != self.num_values and (self.num_values is not None or count % self._known):
            raise DecodeError(f"expected {self._wanted}, got {count}")
        return cell, count

    @property
    def _wanted(self) -> str:
        word = KINDS[self.kind].removesuffix("_list")
        if self.num_values is None:
            of = f", a multiple of {self._known}" if self._known > 1 else ""
            return f"{word} values{of}"
        return f"{self.num_values} {word} value{'' if self.num_values == 1 else 's'}"

    def row(self, num_values: int) -> RowSpec:
        """Return the row of so many values."""
        if self._row is not None:
            return self._row
        open_size = num_values // self._known if self._known else 0
        return RowSpec(self._dtype, tuple(open_size if size is None else size for size in self._row_shape))

    def size_bytes(self, cells: Sequence[Any], num_values: int) -> int:
        """Return the bytes of all rows."""
        return len(cells) * num_values * self._value_bytes

    def fill(self, cells: Sequence[Any], out: Array) -> None:
        """Write every row.

        Raises
        ------
        DecodeError
            A value does not fit the element type; ``row`` says where.
        """
        if self.default is not None and None in cells:
            sent = [row for row, cell in enumerate(cells) if cell is not None]
            out[...] = self.default.reshape(out.shape[1:])
            if not sent:
                return
            values = self._decode([cells[row] for row in sent], out.dtype, sent)
            out[sent] = values.reshape(len(sent), *out.shape[1:])
            return
        np.copyto(out, self._decode(cells, out.dtype, range(len(cells))).reshape(out.shape))

    @abstractmethod
    def _cell(self, values: bytes) -> tuple[Any, int]:
        """Return a list's cell and its number of values."""

    @abstractmethod
    def _decode(self, cells: Sequence[Any], dtype: np.dtype, rows: Sequence[int]) -> Array:
        """Return the values of all cells, one after the other; ``rows`` are their rows, for errors."""


class FloatColumn(Column):
    """From a float_list to floats of any width that float32 fits, or rounds to."""

    kind = 2

    def __init__(
        self,
        name: str,
        feature: str,
        dtype: DType,
        row_shape: tuple[int | None, ...],
        default: Array | None,
    ) -> None:
        super().__init__(name, feature, dtype, row_shape, default)
        size_bytes = 4 * (self.num_values or 0)
        self._head = plain_head(self.kind, size_bytes)
        self._plain_bytes = len(self._head) + size_bytes

    def read(self, feature: bytes | None) -> tuple[Any, int]:
        """Return a row's cell and how many values it has: a slice, where the feature is as it mostly is."""
        if (
            feature is not None
            and len(feature) == self._plain_bytes
            and self.num_values
            and feature.startswith(self._head)
        ):
            return feature[len(self._head) :], self.num_values
        return super().read(feature)

    def _cell(self, values: bytes) -> tuple[bytes, int]:
        run = float_run_of(values)
        return run, len(run) // 4

    def _decode(self, cells: Sequence[bytes], dtype: np.dtype, rows: Sequence[int]) -> Array:
        values = np.frombuffer(b"".join(cells), "<f4")
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # NaNs may be signalling ones
            converted = values.astype(dtype, copy=False)
        if dtype.itemsize >= values.itemsize:
            return converted
        lost = np.flatnonzero(np.isfinite(values) & ~np.isfinite(converted))
        if lost.size:
            raise _out_of_range(values[lost[0]], dtype, lost[0], values.size, rows)
        return converted


class Int64Column(Column):
    """From an int64_list to integers, bools, or floats; only values that the element type holds exactly."""

    kind = 3

    def read(self, feature: bytes | None) -> tuple[Any, int]:
        """Return a row's cell and how many values it has; quickly, where there are few."""
        if feature is not None and feature[:4] == _SHORT_HEADS[self.kind].get(len(feature)):
            run = feature[4:]
            count = count_varints(run)
            if count == self.num_values:
                return run, count
        return super().read(feature)

    def _cell(self, values: bytes) -> tuple[bytes, int]:
        return int64_run_of(values)

    def _decode(self, cells: Sequence[bytes], dtype: np.dtype, rows: Sequence[int]) -> Array:
        values = decode_varints(b"".join(cells))
        smallest, largest = INT_BOUNDS[self._dtype]
        wrong = np.flatnonzero((values < smallest) | (values > largest))
        if wrong.size:
            raise _out_of_range(values[wrong[0]], dtype, wrong[0], values.size, rows)
        return values.astype(dtype, copy=False)


class BytesColumn(Column):
    """From a bytes_list to strings."""

    kind = 1

    def read(self, feature: bytes | None) -> tuple[Any, int]:
        """Return a row's cell and how many values it has; quickly, where there is one short one."""
        if (
            self.num_values == 1
            and feature is not None
            and feature[:4] == _SHORT_HEADS[self.kind].get(len(feature))
        ):
            return [feature[4:]], 1
        return super().read(feature)

    def size_bytes(self, cells: Sequence[Any], num_values: int) -> int:
        """Return the bytes of all rows: the strings', and what it takes to point at them."""
        contents = sum(len(item) for cell in cells if cell is not None for item in cell)
        if self.default is not None:
            contents += cells.count(None) * sum(map(len, self.default.flat))
        return super().size_bytes(cells, num_values) + contents

    def _cell(self, values: bytes) -> tuple[list[bytes], int]:
        items = bytes_of(values, self.num_values)
        return items, len(items)

    def _decode(self, cells: Sequence[list[bytes]], dtype: np.dtype, rows: Sequence[int]) -> Array:
        del rows
        out = np.empty(sum(map(len, cells)), dtype=dtype)
        out[:] = [item for cell in cells for item in cell]
        return out


def _out_of_range(value: Any, dtype: np.dtype, index: int, size: int, rows: Sequence[int]) -> DecodeError:
    return DecodeError(
        f"expected values that {dtype} holds, got {value}", row=rows[index * len(rows) // size]
    )
