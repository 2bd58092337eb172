"""What becomes of a request, in a few bytes: the same for everybody who reads it rightly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from navi_core import DecodeError

MAX_ROWS = 512


def outcome(decoder: Any, payload: Any, allocate: Callable[[int], dict[int, Any]] | None = None) -> bytes:
    """Convert one request; return a digest of the rows, or of what was said and where.

    Parameters
    ----------
    decoder
        A ``Decoder``.
    payload
        Bytes, or a view of some.
    allocate
        Makes rows to write to; None: the decoder does.
    """
    try:
        measured = decoder.measure([payload])
        if measured.num_rows > MAX_ROWS:
            return _digest(b"rows", measured.num_rows)
        out = (allocate or decoder.allocate)(measured.num_rows)
        decoder.fill(measured, out)
    except DecodeError as error:
        return _digest(b"refused", error.offset, error.message)
    return _digest(b"rows", measured.num_rows, *(_content(out[index]) for index in sorted(out)))


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
