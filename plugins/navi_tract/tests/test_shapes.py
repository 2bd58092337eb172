"""Sizes and symbols: what a plan is made for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_tract.shapes import InputShapes, PlannedInput, name_dims, replace_symbols

from navi_core import DType, TensorMismatchError

DIMS = st.lists(st.one_of(st.integers(0, 4), st.sampled_from(["n", "m", "k"])), max_size=4).map(tuple)


def shapes_of(*dims, kept=()):
    inputs = [PlannedInput(f"x{index}", DType.FLOAT32, each) for index, each in enumerate(dims)]
    return InputShapes(inputs, kept)


@settings(max_examples=200, deadline=None)
@given(st.lists(DIMS, min_size=1, max_size=3), st.data())
def test_key__tells_the_shapes_and_the_facts_tell_them_again(dims, data):
    sizes = {symbol: data.draw(st.integers(0, 9)) for symbol in ("n", "m", "k")}
    concrete = tuple(tuple(sizes.get(dim, dim) for dim in each) for each in dims)
    shapes = shapes_of(*dims)
    key = shapes.key(concrete)
    assert key == shapes.key(concrete), "remembered"
    facts = shapes.facts(key)
    for index, shape in enumerate(concrete):
        assert facts[f"x{index}"] == ",".join([*map(str, shape), "f32"])
    assert shapes.run_shapes(key, kept_size=1) == [("float32", shape) for shape in concrete]


@settings(max_examples=200, deadline=None)
@given(st.lists(DIMS, min_size=1, max_size=2), st.data())
def test_key__takes_what_some_sizes_explain_and_nothing_else(dims, data):
    concrete = tuple(tuple(data.draw(st.integers(0, 4)) for _ in each) for each in dims)
    sizes: dict[str, set[int]] = {}
    fits = True
    for each, shape in zip(dims, concrete, strict=True):
        for dim, size in zip(each, shape, strict=True):
            if isinstance(dim, str):
                sizes.setdefault(dim, set()).add(size)
            else:
                fits = fits and dim == size
    fits = fits and all(len(each) == 1 for each in sizes.values())
    if fits:
        shapes_of(*dims).key(concrete)
    else:
        with pytest.raises(TensorMismatchError):
            shapes_of(*dims).key(concrete)


def test_key__leaves_out_what_a_plan_keeps():
    shapes = shapes_of(("n", "m"), ("n", 3), kept=("n",))
    assert shapes.key(((7, 2), (7, 3))) == shapes.key(((9, 2), (9, 3))) == (2,)
    assert shapes.facts((2,)) == {"x0": "n,2,f32", "x1": "n,3,f32"}
    assert shapes.facts((2,), kept_size=5) == {"x0": "5,2,f32", "x1": "5,3,f32"}
    with pytest.raises(TensorMismatchError, match=r"input 'x1': expected shape \(7, 3\), got \(8, 3\)"):
        shapes.key(((7, 2), (8, 3)))


def test_key__holds_the_whole_shape_where_the_rank_is_unknown():
    shapes = shapes_of(None, ("n",))
    assert shapes.key(((2, 3), (4,))) == (4, (2, 3))
    assert shapes.facts((4, (2, 3))) == {"x0": "2,3,f32", "x1": "4,f32"}
    assert shapes.facts(shapes.key(((), (4,))))["x0"] == "f32"


def test_key__remembers_a_bounded_number_of_shapes():
    shapes = shapes_of(("n",), kept=("n",))
    for size in range(3000):
        shapes.key(((size,),))
    assert len(shapes._keys) <= 1024


def test_names__are_the_file_s_in_symbols_that_nobody_else_uses():
    dims, names = name_dims([("batch size", None, 3), (None, "batch size"), None], shared_rows=False)
    assert dims == [("navi0x", "navi1x", 3), ("navi2x", "navi0x"), None]
    assert names == {"navi0x": "batch size", "navi1x": None, "navi2x": None}
    dims, _ = name_dims([(None, None), (None, 3)], shared_rows=True)
    assert dims == [("navi0x", "navi1x"), ("navi0x", 3)], "unnamed leading dimensions are rows"


def test_names__come_back_into_texts():
    assert replace_symbols("2*navi0x+navi1x", {"navi0x": "batch", "navi1x": None}) == "2*batch+rows"
