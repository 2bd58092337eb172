"""Arrays of every element type, for property tests of the codecs."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from navi_core.tensors import DType, numpy_dtype

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)

DTYPES = st.sampled_from(list(DType))


@st.composite
def arrays(draw, dtypes=DTYPES, shapes=SHAPES):
    """Any array that navi carries, with any bits; contiguous or not."""
    dtype = draw(dtypes)
    shape = draw(shapes)
    count = int(np.prod(shape))
    if dtype is DType.STRING:
        out = np.empty(count, dtype=object)
        out[:] = draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))
        return out.reshape(shape)
    target = numpy_dtype(dtype)
    raw = draw(st.binary(min_size=count * target.itemsize, max_size=count * target.itemsize))
    if dtype is DType.BOOL:
        array = (np.frombuffer(raw, np.uint8) & 1).astype(np.bool_)
    else:
        array = np.frombuffer(raw, target).copy()
    array = array.reshape(shape)
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    return array


def same(left, right):
    """Tell whether two arrays have the same type, shape and bits (NaNs included)."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype == object:
        return left.tolist() == right.tolist()
    return left.tobytes() == right.tobytes()
