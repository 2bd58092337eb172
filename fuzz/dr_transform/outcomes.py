"""What becomes of a request, in a few bytes: the same for everybody who reads it rightly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from layouts import REPORTED
from navi_dr_transform import wire
from navi_dr_transform.decoder import Measured
from navi_dr_transform.reports import Reported, Reports
from navi_dr_transform.thrift_service.scanner import Scan

from navi_core import DecodeError

MAX_ROWS = 512
REPORTS = Reports(*REPORTED)


def outcome(
    decoder: Any,
    payload: Any,
    allocate: Callable[[int], dict[int, Any]] | None = None,
    *,
    spans: Sequence[int] = (),
    report: Callable[[], Reported] = REPORTS.new,
    scan: Callable[[int, int, int], Scan] = Scan,
    prefix: Callable[[Any, int], Any] = lambda payload, stop: payload[:stop],
) -> bytes:
    """Convert one request; return a digest of the rows, or of what was said and where.

    Parameters
    ----------
    decoder
        A ``Decoder``; None: the request is passed over, in pieces.
    payload
        Bytes, or a view of some.
    allocate
        Makes rows to write to; None: the decoder does.
    spans
        Number of records, and offsets of the first and of the common one, of another request: where this one
        is refused, its rows are asked for all the same, as if it had changed after it was measured.
    report
        Makes room for the values that are counted.
    scan, prefix
        Begins a scan, and gives the first bytes of a request to it.
    """
    if decoder is None:
        return _scanned(payload, scan, prefix)
    refusals = []
    try:
        measured = decoder.measure([payload])
    except DecodeError as error:
        refusals.append(error)
        if not spans or spans[0] > MAX_ROWS:
            return _refused(refusals)
        measured = Measured([payload], [tuple(spans)], np.array(spans[:1], np.int64), spans[0])
    out: dict[int, Any] = {}
    reported = report()
    try:
        decoder.report(measured, REPORTS, reported)
    except DecodeError as error:
        refusals.append(error)
    if measured.num_rows <= MAX_ROWS:
        out = (allocate or decoder.allocate)(measured.num_rows)
        try:
            decoder.fill(measured, out)
        except DecodeError as error:
            refusals.append(error)
    if refusals:
        return _refused(refusals)
    counted = (reported.counts.tobytes(), _content(reported.sums))
    return _digest(b"rows", measured.num_rows, *counted, *(_content(out[index]) for index in sorted(out)))


def _scanned(payload: Any, scan: Callable[[int, int, int], Scan], prefix: Callable[[Any, int], Any]) -> bytes:
    """Pass over a struct whose bytes come in three pieces."""
    size = len(payload)
    seen: list[object] = []
    passing = scan(wire.STRUCT, 0, size)
    try:
        for stop in (size // 3, size - size // 5, size):
            ended = passing.go_on(prefix(payload, stop), stop)
            seen.append((ended, passing.offset, passing.wanted))
            if ended:
                break
    except DecodeError as error:
        seen.append((error.offset, error.message))
    return _digest(b"scanned", *seen)


def _refused(errors: Sequence[DecodeError]) -> bytes:
    return _digest(b"refused", *((error.offset, error.message) for error in errors))


def _content(array: np.ndarray) -> bytes:
    if array.dtype.kind == "O":
        return repr(array.tolist()).encode()
    if array.dtype.kind == "f":  # which NaN it is depends on how it was moved
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return array.tobytes()


def _digest(*parts: object) -> bytes:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else repr(part).encode())
        digest.update(b"|")
    return digest.digest()
