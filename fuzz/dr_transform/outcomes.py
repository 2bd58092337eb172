"""What becomes of a request, in a few bytes: the same for everybody who reads it rightly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from navi_dr_transform.decoder import Measured

from navi_core import DecodeError

MAX_ROWS = 512


def outcome(
    decoder: Any,
    payload: Any,
    allocate: Callable[[int], dict[int, Any]] | None = None,
    *,
    spans: Sequence[int] = (),
    told: bool = True,
) -> bytes:
    """Convert one request; return a digest of the rows, or of what was said and where.

    Parameters
    ----------
    decoder
        A ``Decoder``.
    payload
        Bytes, or a view of some.
    allocate
        Makes rows to write to; None: the decoder does.
    spans
        Number of records, and offsets of the first and of the common one, of another request: where this one
        is refused, its rows are asked for all the same, as if it had changed after it was measured.
    told
        False: only convert it, and say nothing.
    """
    refusals = []
    try:
        measured = decoder.measure([payload])
    except DecodeError as error:
        refusals.append(error)
        if not spans or spans[0] > MAX_ROWS:
            return _refused(refusals) if told else b""
        measured = Measured([payload], [tuple(spans)], np.array(spans[:1], np.int64))
    out: dict[int, Any] = {}
    if measured.num_rows <= MAX_ROWS:
        out = (allocate or decoder.allocate)(measured.num_rows)
        try:
            decoder.fill(measured, out)
        except DecodeError as error:
            refusals.append(error)
    if not told:
        return b""
    if refusals:
        return _refused(refusals)
    return _digest(b"rows", measured.num_rows, *(_content(out[index]) for index in sorted(out)))


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
