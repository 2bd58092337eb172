"""What stands for an input that was left out, and which defaults cannot."""

from __future__ import annotations

import numpy as np
import pytest

from navi_core.errors import TensorMismatchError
from navi_core.signature import TensorSpec, default_value, why_no_default, why_not_batchable
from navi_core.tensors import DType


def spec(*shape, default, dtype=DType.FLOAT32):
    return TensorSpec(name="k", dtype=dtype, shape=shape, default=np.asarray(default, np.float32))


@pytest.mark.parametrize(
    ("tensor", "num_rows", "expected"),
    [
        (spec("n", 2, default=[[1, 2]]), 3, [[1, 2]] * 3),
        (spec("n", 2, default=[[1, 2]]), 0, np.zeros((0, 2))),
        (spec("n", 2, default=[1, 2]), 2, [[1, 2]] * 2),
        (spec("n", 2, default=[1, 2]), None, [[1, 2]]),
        (spec("n", 2, default=[[1, 2], [3, 4]]), 2, [[1, 2], [3, 4]]),
        (spec("n", 2, default=[[1, 2], [3, 4]]), None, [[1, 2], [3, 4]]),
        (spec("n", default=7), 2, [7, 7]),
        (spec(default=7), None, 7),
        (spec(2, default=[1, 2]), None, [1, 2]),
        (TensorSpec(name="k", dtype=DType.FLOAT32, default=np.float32([1, 2])), None, [1, 2]),
    ],
)
def test_default_value(tensor, num_rows, expected):
    assert not why_no_default(tensor)
    value = default_value(tensor, num_rows)
    np.testing.assert_array_equal(value, np.asarray(expected, np.float32), strict=True)


def test_a_default_of_several_rows_stands_for_no_other_number():
    with pytest.raises(TensorMismatchError, match="default of input 'k': expected rows 2, got 3"):
        default_value(spec("n", default=[1, 2]), 3)


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (spec("n", 2, default=[1, 2, 3]), "expected shape (n, 2), got (3,)"),
        (spec(1, 2, default=[1, 2]), "expected shape (1, 2), got (2,)"),
        (spec(default=[1]), "expected shape (), got (1,)"),
        (spec("n", default=[1], dtype=DType.INT8), "expected dtype int8, got float32"),
    ],
)
def test_why_no_default(tensor, text):
    assert text in why_no_default(tensor)


def test_a_spec_without_a_default_has_nothing_to_refuse():
    assert why_no_default(TensorSpec(name="k", dtype=DType.INT8, shape=())) == ""


def test_an_input_without_rows_that_has_a_default_keeps_no_model_from_batching():
    x = TensorSpec(name="x", dtype=DType.FLOAT32, shape=("n", 2))
    assert why_not_batchable({"x": x, "k": spec(default=1)}, {"y": x}) == ""
    bare = TensorSpec(name="k", dtype=DType.FLOAT32, shape=())
    assert why_not_batchable({"x": x, "k": bare}, {"y": x}) == "input 'k' is a scalar"
