"""Which of a model's inputs takes which tensor."""

from __future__ import annotations

import numpy as np
import pytest
from navi_dr_transform.binding import BoundInput, bind_inputs, layout_widths
from navi_dr_transform.layout import HOME, HomeTensor, Layout, LayoutTensor, Source

from navi_core import DType, ModelLoadError, Signature, TensorSpec

FLOATS, LONGS = DType.FLOAT32, DType.INT64
WHERE = "version 1 of model 'm'"


def signature(*inputs):
    specs = {
        name: TensorSpec(name=name, dtype=dtype, shape=shape, **more)
        for name, dtype, shape, *rest in inputs
        for more in [dict(*rest)]
    }
    return Signature(inputs=specs, outputs={})


def home(*kinds, shape=None):
    return [
        (HOME.tensors[kind].name, HOME.tensors[kind].dtype, shape or ("rows", HOME.tensors[kind].width))
        for kind in kinds
    ]


def bind(*inputs, widths=None):
    return bind_inputs(HOME, signature(*inputs), widths or {}, WHERE)


def unnamed(*kinds):
    return [(f"input_{i}", HOME.tensors[kind].dtype, (None, 10 + i)) for i, kind in enumerate(kinds)]


def test_inputs_are_bound_by_name_in_any_order_and_number():
    assert bind(*home(HomeTensor.AUTHOR_EMBEDDING, HomeTensor.CONTINUOUS)) == (
        BoundInput("author_embedding", HomeTensor.AUTHOR_EMBEDDING, 200),
        BoundInput("continuous", HomeTensor.CONTINUOUS, 5293),
    )
    assert [bound.tensor for bound in bind(*home(*HomeTensor))] == list(HomeTensor)


def test_five_other_names_are_bound_by_position_without_discrete():
    kinds = [kind for kind in HomeTensor if kind is not HomeTensor.DISCRETE]
    assert bind(*unnamed(*kinds)) == tuple(
        BoundInput(f"input_{i}", kind, 10 + i) for i, kind in enumerate(kinds)
    )


def test_six_other_names_are_bound_by_position_with_discrete_third():
    assert [bound.tensor for bound in bind(*unnamed(*HomeTensor))] == list(HomeTensor)


@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_another_number_of_other_names_is_refused_with_both_sides(count):
    kinds = [*HomeTensor, HomeTensor.CONTINUOUS][:count]
    with pytest.raises(ModelLoadError) as caught:
        bind(*unnamed(*kinds))
    text = caught.value.message
    assert text.startswith(f"{WHERE}: inputs: expected names of layout 'home' only (continuous, binary, ")
    assert f"or none of them and 5 or 6 inputs, got {count}: " in text
    for index in range(count):
        assert f"input_{index} " in text


def test_some_names_that_match_and_some_that_do_not_are_refused_with_both_sides():
    with pytest.raises(
        ModelLoadError, match=r"\(continuous, .*author_embedding\).*got 2: continuous float32 .*other int64"
    ):
        bind(*home(HomeTensor.CONTINUOUS), ("other", LONGS, (None, 3)))


def test_inputs_that_may_be_left_out_are_bound_only_by_name():
    weight = ("weight", FLOATS, (3,), {"optional": True})
    bias = ("bias", FLOATS, (3,), {"default": np.zeros(3, np.float32)})
    optional = (*home(HomeTensor.BINARY)[0], {"optional": True})
    assert [bound.name for bound in bind(*home(HomeTensor.CONTINUOUS), weight, optional, bias)] == [
        "continuous",
        "binary",
    ]
    kinds = [kind for kind in HomeTensor if kind is not HomeTensor.DISCRETE]
    assert [bound.tensor for bound in bind(weight, *unnamed(*kinds), bias)] == kinds


def test_a_width_is_the_models_then_the_options_then_the_layouts():
    fixed = ("continuous", FLOATS, (None, 7))
    open_ = ("binary", LONGS, ("n", "m"))
    unknown = ("discrete", LONGS, None)
    assert [bound.width for bound in bind(fixed, open_, unknown, widths={"binary": 9})] == [7, 9, 320]


def test_a_width_of_the_options_must_be_the_models():
    fixed = ("continuous", FLOATS, (None, 7))
    assert bind(fixed, widths={"continuous": 7})[0].width == 7
    with pytest.raises(ModelLoadError, match="input 'continuous': expected 8 columns, got 7 in the model"):
        bind(fixed, widths={"continuous": 8})


def test_widths_of_unknown_tensors_are_refused():
    with pytest.raises(
        ModelLoadError,
        match=r"option 'widths': expected one of .*binary.*, got 'contiguous'; did you mean 'continuous'\?",
    ):
        layout_widths(HOME, {"contiguous": 3}, WHERE)


@pytest.mark.parametrize("dtype", [DType.FLOAT64, DType.INT64, DType.STRING])
def test_another_type_is_refused(dtype):
    with pytest.raises(ModelLoadError, match=f"input 'continuous': expected float32, .* got {dtype}"):
        bind(("continuous", dtype, (None, 7)))


@pytest.mark.parametrize("shape", [(), (None,), (None, 3, 1), (5293,)])
def test_another_rank_is_refused(shape):
    with pytest.raises(ModelLoadError, match=r"input 'continuous': expected shape \(rows, columns\), got \("):
        bind(("continuous", FLOATS, shape))


def test_a_width_of_zero_is_refused():
    with pytest.raises(ModelLoadError, match="got 0 in the model"):
        bind(("continuous", FLOATS, (None, 0)))


def test_a_width_that_nobody_says_is_refused():
    layout = Layout("a", (LayoutTensor("v", FLOATS, 0, Source.TENSOR),), {1: (0,)}, "", "")
    unknown = signature(("v", FLOATS, (None, None)))
    with pytest.raises(
        ModelLoadError, match=r"input 'v': expected a width .*option 'widths' can say it of 'v'"
    ):
        bind_inputs(layout, unknown, {}, WHERE)
    assert bind_inputs(layout, unknown, {"v": 7}, WHERE)[0].width == 7
    assert bind_inputs(layout, signature(("v", FLOATS, (None, 5))), {}, WHERE)[0].width == 5
