"""Arrays that show whether a tensor travelled unharmed: every dtype, awkward values, awkward layouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from navi_core.tensors import DType, numpy_dtype
from navi_core.types import Array

__all__ = ["awkward_layouts", "same_bits", "sample"]

_TEXTS = (b"", b"a", b"b" * 300, "h\u00e4\u4f60\U0001f600".encode(), b"nul\x00inside", b" spaced\n")
_SPECIAL = (0.0, -0.0, 1.0, -1.5, float("nan"), float("inf"), float("-inf"), 1e-3)


def sample(dtype: DType, shape: Sequence[int], *, seed: int = 0) -> Array:
    """Return an array of awkward values: extremes, NaN, negative zero; texts that are valid UTF-8.

    Parameters
    ----------
    dtype
        Element type.
    shape
        Any; may hold zeros, may be ``()``.
    seed
        Arrays of two seeds differ where they are not empty (two booleans may be equal).

    Returns
    -------
    array
        C-contiguous; object dtype with ``bytes`` items for strings.
    """
    size = int(np.prod(shape, dtype=np.int64))
    random = np.random.default_rng(seed)
    start = int(random.integers(1000)) if seed else 0
    if dtype is DType.STRING:
        array = np.empty(size, dtype=object)
        array[:] = [_TEXTS[(start + index) % len(_TEXTS)] + b"%d" % (seed * index) for index in range(size)]
        return array.reshape(shape)
    numpy = numpy_dtype(dtype)
    if numpy.kind == "b":
        return random.integers(0, 2, size).astype(numpy).reshape(shape)
    if numpy.kind in "iu":
        info = np.iinfo(numpy)
        array = random.integers(info.min, info.max, size, dtype=numpy, endpoint=True)
        if not seed and size > 1:
            array[0], array[-1] = info.min, info.max
        return array.reshape(shape)
    values = np.resize(np.array(_SPECIAL, dtype=np.float64), size) if not seed else random.normal(size=size)
    if numpy.kind == "c":
        parts = np.empty(size, dtype=np.complex128)
        parts.real, parts.imag = values, values[::-1]  # multiplying infinity by 1j would warn
        return parts.astype(numpy).reshape(shape)
    with np.errstate(all="ignore"):  # infinities do not exist in every float8
        return values.astype(numpy).reshape(shape)


def same_bits(left: Array, right: Array) -> bool:
    """Tell whether two arrays have one dtype, one shape and the same bits (strings: the same bytes)."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype == object:
        ours, theirs = left.reshape(-1).tolist(), right.reshape(-1).tolist()
        return ours == theirs and [*map(type, ours)] == [*map(type, theirs)]
    return left.tobytes() == right.tobytes()


def awkward_layouts(array: Array) -> Iterator[tuple[str, Array]]:
    """Yield a name and an array of equal values for each layout that a request may bring.

    Parameters
    ----------
    array
        At least rank 1; not strings.
    """
    readonly = array.copy()
    readonly.flags.writeable = False
    yield "read-only", readonly

    body = bytearray(array.nbytes + 1)
    body[1:] = array.tobytes()
    unaligned = np.frombuffer(bytes(body), dtype=array.dtype, offset=1).reshape(array.shape)
    yield "unaligned and read-only", unaligned

    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), dtype=array.dtype)
    wide[..., ::2] = array
    yield "strided", wide[..., ::2]

    yield "reversed", np.ascontiguousarray(array[::-1])[::-1]
    yield "Fortran order", np.asfortranarray(array)
    yield "the other byte order", array.astype(array.dtype.newbyteorder(">"))
    if array.shape[0] > 1:
        yield "broadcast", np.broadcast_to(array[:1], array.shape)
