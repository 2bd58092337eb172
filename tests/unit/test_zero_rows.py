from __future__ import annotations

import pytest

from navi_core.signature import TensorSpec, zero_rows
from navi_core.tensors import DType


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (None, (3,)),
        ((), ()),
        (("batch", 2, None), (3, 2, 1)),
        ((None,), (3,)),
        ((5, "n"), (5, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.STRING])
def test_zero_rows__fit_the_spec(shape, expected, dtype):
    array = zero_rows(TensorSpec(name="x", dtype=dtype, shape=shape), 3)
    assert array.shape == expected
    assert not any(array.flat)
