"""Random inputs fit their signature, and are the same again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.bench.inputs import parse_shapes, random_inputs
from navi_core.errors import ConfigError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType, dtype_of


def tensor(name: str, dtype: DType, shape=None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def signature(*specs: TensorSpec) -> Signature:
    return Signature(inputs={each.name: each for each in specs}, outputs={})


def made(of: Signature, rows=None, seed=0, shapes=None):
    return random_inputs(of, rows=rows, seed=seed, shapes=shapes or {})


@given(st.sampled_from(list(DType)), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_every_type(dtype, rows, seed):
    spec = tensor("x", dtype, (None, 3))
    [array] = made(signature(spec), rows, seed).values()
    assert (array.shape, dtype_of(array)) == ((rows, 3), dtype)
    [again] = made(signature(spec), rows, seed).values()
    assert again.tolist() == array.tolist()


def test_numbers_are_where_models_expect_them():
    of = signature(tensor("f", DType.FLOAT32, (None, 500)), tensor("i", DType.INT64, ("n", 500)))
    found = made(of)
    assert (found["f"].min() >= 0, found["f"].max() < 1, np.unique(found["f"]).size > 400) == (
        True,
        True,
        True,
    )
    assert set(found["i"].reshape(-1).tolist()) == {0, 1}
    assert found["f"].tolist() != made(of, seed=1)["f"].tolist()


@pytest.mark.parametrize(
    ("spec", "rows", "shapes", "message"),
    [
        (tensor("x", DType.FLOAT32), None, {}, "input 'x' has shape .*, expected --shape x=SIZES"),
        (tensor("x", DType.FLOAT32, (None, None)), None, {}, "expected --shape x=SIZES"),
        (tensor("x", DType.FLOAT32, (3, 4)), 2, {}, "--rows: expected an input whose first size is open"),
        (tensor("x", DType.FLOAT32, (3, 4)), None, {"x": (2, 4)}, r"expected shape \(3, 4\), got \(2, 4\)"),
        (tensor("x", DType.FLOAT32, (None,)), 2, {"x": (4,)}, "--rows"),
        (tensor("x", DType.FLOAT32), None, {"x": (2**20, 2**20)}, "expected at most .* elements"),
        (tensor("x", DType.FLOAT32), None, {"x": (2**62, 2**62, 2**62)}, "expected at most .* elements"),
    ],
)
def test_what_cannot_be_made(spec, rows, shapes, message):
    with pytest.raises(ConfigError, match=message):
        made(signature(spec), rows, shapes=shapes)


def test_a_scalar_and_shapes():
    assert made(signature(tensor("x", DType.FLOAT32, ())))["x"].shape == ()
    of = signature(tensor("x", DType.FLOAT32, (None, None)))
    assert made(of, shapes={"x": (2, 5)})["x"].shape == (2, 5)


def test_shapes_of_words():
    one = signature(tensor("x", DType.FLOAT32))
    two = signature(tensor("x", DType.FLOAT32), tensor("a=b", DType.FLOAT32))
    assert parse_shapes(("2,3",), one) == {"x": (2, 3)}
    assert parse_shapes(("x=",), one) == {"x": ()}
    assert parse_shapes(("x=4", "a=b=1,1"), two) == {"x": (4,), "a=b": (1, 1)}
    for word in ("2,3", "y=1", "x=a", "x=-1", "x=1,,2"):
        with pytest.raises(ConfigError, match="--shape: expected"):
            parse_shapes((word,), two)


def test_an_empty_shape_is_a_scalar_even_where_the_rank_is_open():
    assert made(signature(tensor("x", DType.FLOAT32)), shapes={"x": ()})["x"].shape == ()
