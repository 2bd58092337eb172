"""Scans of thrift values, in Python's terms. Importing this compiles or loads the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from navi_core import DecodeError, InvalidRequestError
from navi_dr_transform import wire
from navi_dr_transform.refusals import refusal_text
from navi_dr_transform.thrift_service import _scan

__all__ = ["Scan", "find_argument", "find_records"]

_FIELD_BYTES: Final = wire.FIELD_HEADER_BYTES
_BATCH: Final = "BatchPredictionRequest"


class Scan:
    """One scan over a value whose bytes arrive in pieces.

    Parameters
    ----------
    wire_type
        The value's type.
    offset
        Where it begins.
    limit
        It has to end before this byte.
    """

    __slots__ = ("_limit", "_state")

    def __init__(self, wire_type: int, offset: int, limit: int) -> None:
        self._state = np.zeros(_scan.STATE_SIZE, np.int64)
        self._state[_scan.OFFSET] = offset
        self._state[_scan.NEXT] = wire_type
        self._limit = limit

    @property
    def offset(self) -> int:
        """The byte after what was passed over."""
        return int(self._state[_scan.OFFSET])

    @property
    def wanted(self) -> int:
        """How many bytes there have to be before it makes sense to go on."""
        return int(self._state[_scan.WANTED])

    def go_on(self, data: bytes | bytearray | memoryview, stop: int) -> bool:
        """Look at the bytes up to ``stop``; True: the value has ended.

        Raises
        ------
        DecodeError
            The value is malformed, or reaches beyond the limit; with the offset.
        """
        status = _scan.scan(np.frombuffer(data, np.uint8), stop, self._limit, self._state)
        if status == _scan.MORE and self.wanted <= self._limit:
            return False
        if status == _scan.MORE:
            status = wire.TRUNCATED
        if status != wire.OK:
            raise DecodeError(f"thrift value: {wire.STATUS_TEXTS[status]}", offset=self.offset)
        return True


def find_argument(body: bytes | memoryview) -> tuple[int, int] | None:
    """Return where field 1 of an arguments struct begins and ends; None: it is not there.

    Of a field that stands there twice the last one counts, as for Apache Thrift; one that is no struct is passed over.

    Raises
    ------
    DecodeError
        The struct is malformed; with the offset.
    """
    found: tuple[int, int] | None = None
    for field, wire_type, start, end in _fields(body):
        if field == 1 and wire_type == wire.STRUCT:
            found = (start, end)
    return found


def find_records(batch: bytes, most: int) -> tuple[Sequence[tuple[int, int]], bool]:
    """Return where the records of a BatchPredictionRequest begin and end, and whether it has common features.

    Parameters
    ----------
    batch
        The struct.
    most
        It may have so many records.

    Raises
    ------
    DecodeError
        The struct is malformed, or has no list of records; with the offset.
    InvalidRequestError
        It has more records.
    """
    first: int | None = None
    has_common = False
    for field, wire_type, start, end in _fields(batch):
        if field == wire.REQUEST_RECORDS and wire_type == wire.LIST:
            first = start
        elif field == wire.REQUEST_COMMON and wire_type == wire.STRUCT:
            has_common = end - start > 1  # more than a struct's end
        elif field in (wire.REQUEST_RECORDS, wire.REQUEST_COMMON):
            raise _wrong_type(batch, start - _FIELD_BYTES)
    if first is None:
        raise DecodeError(f"{_BATCH}: {wire.STATUS_TEXTS[wire.MISSING_FIELD]}", offset=len(batch) - 1)
    count = int.from_bytes(batch[first + 1 : first + wire.LIST_HEADER_BYTES], "big")
    if count and batch[first] != wire.STRUCT:  # of an empty list the type is not looked at, as everywhere
        raise _wrong_type(batch, first)
    if count > most:
        raise InvalidRequestError(f"{_BATCH}: expected at most {most} records, got {count}")
    offset, size = first + wire.LIST_HEADER_BYTES, len(batch)
    records = []
    for _ in range(count):
        record = Scan(wire.STRUCT, offset, size)
        record.go_on(batch, size)
        records.append((offset, record.offset))
        offset = record.offset
    return records, has_common


def _wrong_type(batch: bytes, offset: int) -> DecodeError:
    return DecodeError(f"{_BATCH}: {refusal_text(wire.WRONG_TYPE, batch, offset)}", offset=offset)


def _fields(body: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field of a struct, its wire type, and where its value begins and ends."""
    offset, size = 0, len(body)
    while True:
        if size - offset < 1:
            raise DecodeError(f"thrift value: {wire.STATUS_TEXTS[wire.TRUNCATED]}", offset=offset)
        wire_type = body[offset]
        if wire_type == wire.STOP:
            return
        if size - offset < _FIELD_BYTES:
            raise DecodeError(f"thrift value: {wire.STATUS_TEXTS[wire.TRUNCATED]}", offset=offset)
        field = int.from_bytes(body[offset + 1 : offset + _FIELD_BYTES], "big", signed=True)
        start = offset + _FIELD_BYTES
        value = Scan(wire_type, start, size)
        value.go_on(body, size)  # to the end, or it raises: the limit is what there is
        offset = value.offset
        yield field, wire_type, start, offset
