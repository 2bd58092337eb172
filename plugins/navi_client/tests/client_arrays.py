"""Arrays of every type, and how they are compared."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

NUMBERS = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
NARROW = [
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
]


@st.composite
def arrays(draw, kinds=(*NUMBERS, *NARROW, "string")):
    """Draw an array of any type and of a small shape, zeros and rank 0 included."""
    kind = draw(st.sampled_from(kinds))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if kind == "string":
        flat = draw(
            st.lists(st.binary(max_size=5), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
        )
        out = np.empty(len(flat), dtype=object)
        out[:] = flat
        return out.reshape(shape)
    if kind in NARROW:
        dtype = np.dtype(getattr(ml_dtypes, kind))
        bits = draw(hnp.arrays(np.dtype(f"u{dtype.itemsize}"), shape))
        return bits.view(dtype)
    return draw(hnp.arrays(np.dtype(kind), shape))


def same(left, right) -> bool:
    """Tell whether two dicts hold the same bits."""
    return list(left) == list(right) and all(
        a.dtype == b.dtype
        and a.shape == b.shape
        and (a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes())
        for a, b in zip(left.values(), right.values(), strict=True)
    )
