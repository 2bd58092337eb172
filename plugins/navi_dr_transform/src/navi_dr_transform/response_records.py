"""DataRecords of predictions, all rows at once.

Records that hold the same features have one size and differ in their numbers only: one row of bytes is repeated, and
NumPy writes each output's numbers into it in one go. Where rows lack features (NaN, false binary ones), their bytes are
then taken out. Source of the layout: TBinaryProtocol, and ``specs/thrift/data.thrift``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from navi_core import Array
from navi_dr_transform import wire
from navi_dr_transform.encode_columns import BoolArray
from navi_dr_transform.encode_fields import PLAIN, field_header, set_header
from navi_dr_transform.encode_tensors import number_frame

__all__ = ["Column", "RecordTemplate", "Records", "joined"]

_COUNT_BYTES: Final = 4  # at the end of every header of a map or a set
_ID_BYTES: Final = 8

_SCALARS: Final = (
    # family, its field, type of a value on the wire, NumPy's name for its bytes
    ("binary", wire.RECORD_BINARY, None, ""),
    ("continuous", wire.RECORD_CONTINUOUS, wire.DOUBLE, ">f8"),
    ("discrete", wire.RECORD_DISCRETE, wire.I64, ">i8"),
)


class Column(NamedTuple):
    """One output, as features.

    Parameters
    ----------
    name
        The output's name.
    family
        ``binary``, ``continuous``, ``discrete``, or ``tensors``.
    ids
        Of its columns; of a tensor, its one.
    dtype
        Element type of the output.
    shape
        Of one row; used for tensors.
    """

    name: str
    family: str
    ids: tuple[int, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Records(NamedTuple):
    """Encoded DataRecords, one behind the other.

    Parameters
    ----------
    data
        (bytes,) uint8.
    ends
        (records,) int64: the byte after each record's last.
    """

    data: Array
    ends: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of the record: a header, then the elements of its features.

    Parameters
    ----------
    start
        Offset of the header.
    size_bytes
        Bytes of the header.
    count
        How many elements there are where none is left out.
    """

    start: int
    size_bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an output stands.

    Parameters
    ----------
    column
        The output.
    start
        Offset of its first element.
    size_bytes
        Bytes of an element: of a feature's id and its value.
    """

    column: Column
    start: int
    size_bytes: int


class RecordTemplate:
    """A record of certain outputs, whose numbers are still to be written. Thread-safe: it never changes.

    Parameters
    ----------
    columns
        The outputs.

    Raises
    ------
    InvalidRequestError
        A tensor's numbers are none that the format has.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        row = bytearray()
        self._places: list[_Place] = []
        self._fields: dict[str, _Field] = {}
        names: list[str] = []
        formats: list[Any] = []
        offsets: list[int] = []
        for family, field, value_type, element in _SCALARS:
            chosen = [column for column in columns if column.family == family]
            count = sum(len(column.ids) for column in chosen)
            if not count:
                continue
            header = (
                set_header(field, count) if value_type is None else field_header(field, value_type, count)
            )
            self._fields[family] = _Field(len(row), len(header), count)
            row += header
            pair = np.dtype([("id", ">i8"), *([("value", element)] if element else [])])
            for column in chosen:
                names.append(column.name)
                formats.append((pair, (len(column.ids),)))
                offsets.append(len(row))
                self._places.append(_Place(column, len(row), pair.itemsize))
                pairs = np.zeros(len(column.ids), pair)
                pairs["id"] = column.ids
                row += pairs.tobytes()
        tensors = [column for column in columns if column.family == "tensors"]
        if tensors:
            row += field_header(PLAIN.tensors, wire.STRUCT, len(tensors))
        for column in tensors:
            (feature,) = column.ids
            head, element, tail = number_frame(column.dtype, column.shape, "tensors", column.name, "raw")
            numbers = np.dtype((element, column.shape))
            row += feature.to_bytes(_ID_BYTES, "big", signed=True) + head
            names.append(column.name)
            formats.append(numbers)
            offsets.append(len(row))
            self._places.append(_Place(column, len(row), numbers.itemsize))
            row += bytes(numbers.itemsize) + tail
        row.append(wire.STOP)
        self._row = np.frombuffer(bytes(row), np.uint8)
        self._dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": len(row)})

    def write(self, arrays: Mapping[str, Array], num_records: int) -> Records:
        """Return the records.

        Parameters
        ----------
        arrays
            Output -> (num_records, features) array, (num_records, *shape) of tensors.
        num_records
            How many.
        """
        size_bytes = len(self._row)
        rows = np.empty((num_records, size_bytes), np.uint8)
        rows[:] = self._row
        records = rows.reshape(-1).view(self._dtype)
        present: dict[str, BoolArray] = {}  # of the outputs that lack something in some row
        for place in self._places:
            column = place.column
            array = arrays[column.name]
            target = records[column.name]
            if column.family == "tensors":
                target[...] = array
                continue
            if column.family != "binary":
                target["value"] = array
            there = _present(array, column.family)
            if there is not None:
                present[column.name] = there
        if present:
            return self._without_what_is_missing(rows, present)
        ends = np.arange(size_bytes, (num_records + 1) * size_bytes, size_bytes, dtype=np.int64)
        return Records(rows.reshape(-1), ends)

    def _without_what_is_missing(self, rows: Array, present: Mapping[str, BoolArray]) -> Records:
        """Take out the elements that rows lack, count what is left, and take out fields that are left empty."""
        kept = np.ones(rows.shape, np.bool_)
        sizes = np.full(len(rows), rows.shape[1], np.int64)
        for family, field in self._fields.items():
            counts = np.full(len(rows), field.count, np.int64)
            for place in self._places:
                there = present.get(place.column.name)
                if there is None or place.column.family != family:
                    continue
                stop = place.start + place.size_bytes * there.shape[1]
                kept[:, place.start : stop] = np.repeat(there, place.size_bytes, axis=1)
                missing = there.shape[1] - there.sum(axis=1)
                counts -= missing
                sizes -= missing * place.size_bytes
            end = field.start + field.size_bytes
            rows[:, end - _COUNT_BYTES : end] = counts.astype(">i4").view(np.uint8).reshape(-1, _COUNT_BYTES)
            empty = counts == 0
            kept[empty, field.start : end] = False
            sizes -= empty * field.size_bytes
        return Records(rows[kept], np.cumsum(sizes))


def _present(array: Array, family: str) -> BoolArray | None:
    """Return which features are there; None: all."""
    if family == "discrete":
        return None
    present: BoolArray = array != 0 if family == "binary" else array == array  # noqa: PLR0124 - NaN differs from itself
    return None if present.all() else present


def joined(records: Iterable[bytes]) -> Records:
    """Return records that were written one by one."""
    pieces = list(records)
    data = np.frombuffer(b"".join(pieces), np.uint8)
    return Records(data, np.cumsum([len(piece) for piece in pieces], dtype=np.int64))
