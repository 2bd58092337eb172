"""PyTorch's kernels against NumPy's: the same answers for every window, and the same refusals."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_graphserver.evaluator import Evaluator
from navi_graphserver.export import export_torch
from navi_graphserver.flat.records import Address
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.loading import load_servable
from navi_graphserver.operations.table import OPERATIONS, Arguments
from navi_graphserver.operations.torch_kernels import TORCH_OPERATIONS
from navi_graphserver.options import GraphOptions
from navi_graphserver.plan import make_plan
from navi_graphserver.testing import affine_graph, constant, custom, graph_of, placeholder

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions, ModelLoadError
from navi_core.testing.run_context import SimpleRunContext

torch = pytest.importorskip("torch")
from navi_graphserver.operations.torch_kernels import torch_kernels  # noqa: E402 - after torch is known to be there

NUMBERS = np.random.default_rng(11)


@st.composite
def windows(draw, rank, *, dilates=True):
    """Integers of a node, and spatial sizes that the window fits in."""
    axes = range(rank)
    kernel = [draw(st.integers(1, 3)) for _ in axes]
    stride = [draw(st.integers(1, 3)) for _ in axes]
    padding = [draw(st.integers(0, 3)) for _ in axes]
    dilation = [draw(st.integers(1, 2)) if dilates else 1 for _ in axes]
    sizes = [(kernel[axis] - 1) * dilation[axis] + 1 + draw(st.integers(0, 4)) for axis in axes]
    return (*kernel, *stride, *padding, *dilation, int(draw(st.booleans()))), kernel, sizes


def both(name, inputs, integers):
    arguments = Arguments(i=tuple(integers))
    for array in inputs:
        array.flags.writeable = False  # as constants and messages are
    expected = OPERATIONS[name].evaluate(inputs, arguments)
    got = torch_kernels()[name](inputs, arguments)
    assert got.dtype == expected.dtype == inputs[0].dtype
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def numbers(*shape, dtype=np.float32):
    return NUMBERS.normal(size=shape).astype(dtype)


def image(sizes, *, last, channels=3, rows=2, dtype=np.float32):
    return (
        numbers(rows, *sizes, channels, dtype=dtype) if last else numbers(rows, channels, *sizes, dtype=dtype)
    )


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([2, 3]), st.booleans(), st.sampled_from([0, 1, 2]), st.booleans())
def test_convolution(data, rank, last, form, has_bias):
    integers, kernel, sizes = data.draw(windows(rank))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    shape = {0: (*kernel, 3, 4), 1: (4, 3, *kernel), 2: (4, *kernel, 3)}[form]
    inputs = [image(sizes, last=last, dtype=dtype), numbers(*shape, dtype=dtype)]
    inputs += [numbers(4, dtype=dtype)] if has_bias else []
    both({2: "conv2d", 3: "conv3dnew"}[rank], inputs, (*integers, int(last), form))


@settings(max_examples=30, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([0, 1, 2]), st.booleans())
def test_convolution_of_each_channel(data, last, form, is_separable):
    integers, kernel, sizes = data.draw(windows(2))
    shape = {0: (*kernel, 3, 2), 1: (2, 3, *kernel), 2: (2, *kernel, 3)}[form]
    inputs = [image(sizes, last=last), numbers(*shape)]
    if is_separable:
        both("sconv2d", [*inputs, numbers(*{0: (1, 1, 6, 5), 1: (5, 6, 1, 1), 2: (5, 1, 1, 6)}[form])],
             (*integers, int(last), form))  # fmt: skip
    both("depthwise_conv2d", [*inputs, numbers(6)], (*integers, int(last), form))


@settings(max_examples=30, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([0, 1, 2]))
def test_convolution_backwards(data, last, form):
    integers, kernel, sizes = data.draw(windows(2))
    integers = (*integers[:4], 0, 0, *integers[6:])
    shape = {0: (*kernel, 4, 3), 1: (3, 4, *kernel), 2: (3, *kernel, 4)}[form]
    both("deconv2d", [image(sizes, last=last), numbers(*shape), numbers(4)], (*integers, int(last), form))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([2, 3]), st.booleans(), st.sampled_from(["max", "avg"]), st.booleans())
def test_pooling(data, rank, last, kind, counts):
    integers, kernel, sizes = data.draw(windows(rank))
    # a window within the padding has nothing to take the average of
    padding = [min(each, size - 1) for each, size in zip(integers[2 * rank : 3 * rank], kernel, strict=True)]
    integers = (*integers[: 2 * rank], *padding, *integers[3 * rank :])
    name = f"{kind}pool{rank}d" if rank == 2 else f"{kind}pool3dnew"
    both(name, [image(sizes, last=last)], (*integers, int(counts), int(last)))


@pytest.mark.parametrize("layout", [0, 1])
def test_convolution_over_one_axis(layout):
    x = image([9], last=layout == 1)
    both("conv1d", [x, numbers(3, 3, 4)], (3, 2, 1, 0, layout, 0))


@pytest.mark.parametrize("dtype", [np.float16, np.int32])
def test_other_types_are_numpy_s(dtype):
    x = (10 * image([5, 5], last=False)).astype(dtype)
    integers = (2, 2, 1, 1, 0, 0, 1, 1, 0, 0, 0)
    both("maxpool2d", [x], integers)
    both("avgpool2d", [x], integers)
    both("conv2d", [x, numbers(2, 2, 3, 4).astype(dtype)], integers)


def test_nothing_and_what_lies_backwards_in_memory():
    integers = (2, 2, 1, 1, 0, 0, 1, 1, 0, 0, 0)
    both("maxpool2d", [np.zeros((0, 3, 5, 5), np.float32)], integers)
    both("maxpool2d", [image([5, 5], last=False)[:, :, ::-1]], integers)
    both("conv2d", [image([5, 5], last=False), numbers(2, 2, 3, 4)[::-1]], integers)


@pytest.mark.parametrize(
    ("name", "shapes", "integers", "text"),
    [
        ("conv2d", [(1, 3, 4, 4), (2, 2, 5, 4)], (2, 2, 1, 1, 0, 0, 1, 1, 0), "3 channels; the weights take 5"),
        ("conv2d", [(1, 3, 4, 4), (2, 2, 3, 4)], (3, 3, 1, 1, 0, 0, 1, 1, 0), "a kernel of"),
        ("conv2d", [(1, 3, 4, 4), (5, 5, 3, 4)], (5, 5, 1, 1, 0, 0, 1, 1, 0), "a window of"),
        ("conv2d", [(1, 3, 4), (2, 2, 3, 4)], (2, 2, 1, 1, 0, 0, 1, 1, 0), "rank 3"),
        ("conv2d", [(1, 3, 4, 4), (2, 2, 3, 4)], (2, 2, 0, 1, 0, 0, 1, 1, 0), "stride"),
        ("conv2d", [(1, 1, 4, 4), (1, 1, 1, 1)], (1, 1, 1, 1, 10**6, 10**6, 1, 1, 0), "bytes"),
        ("deconv2d", [(1, 3, 4, 4), (2, 2, 4, 5)], (2, 2, 1, 1, 0, 0, 1, 1, 0), "3 channels; the weights take 5"),
        ("deconv2d", [(1, 1, 4, 4), (1, 1, 1, 1)], (1, 1, 10**6, 10**6, 0, 0, 1, 1, 0), "bytes"),
        ("depthwise_conv2d", [(1, 3, 4, 4), (2, 2, 5, 4)], (2, 2, 1, 1, 0, 0, 1, 1, 0), "weights take 5"),
        ("depthwise_conv2d", [(3, 4, 4), (2, 2, 5, 4)], (2, 2, 1, 1, 0, 0, 1, 1, 0), "rank 3"),
        ("maxpool2d", [(1, 3, 4, 4)], (5, 5, 1, 1, 0, 0, 1, 1, 0), "a window of"),
        ("avgpool2d", [(1, 3, 4, 4)], (2, 2, 1, 1), "4 integers"),
        ("maxpool3dnew", [(1, 3, 4, 4)], (2,) * 12, "rank 4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kernels", ["numpy", "torch"])
def test_refusals(name, shapes, integers, text, kernels):
    evaluate = OPERATIONS[name].evaluate if kernels == "numpy" else torch_kernels()[name]
    with pytest.raises(ValueError, match=text):
        evaluate([np.zeros(shape, np.float32) for shape in shapes], Arguments(i=integers))


def load(graph, **options):
    artifact = Artifact(name="m", version=1, files={"graph.fb": write_graph(graph)})
    return load_servable(artifact, "graph.fb", LoadOptions(options=GraphOptions(**options)))


def network():
    torch.manual_seed(1)
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()


def test_a_network_is_computed_with_the_kernels_that_the_options_name():
    module, x = network(), image([6, 6], last=False)
    graph = export_torch(module, (None, 3, 6, 6))
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    for kernels, note in (("numpy", "NumPy:"), ("torch", "windows with PyTorch:"), ("auto", "with PyTorch:")):
        servable = load(graph, engine="numpy", kernels=kernels)
        assert note in servable.notes[0]
        answers = servable.run(DEFAULT_SIGNATURE, {"input": x}, ["output"], SimpleRunContext())
        np.testing.assert_allclose(answers["output"], expected, rtol=1e-4, atol=1e-5)


def test_pytorch_stays_away_where_nothing_is_convolved(monkeypatch):
    assert (
        load(affine_graph(), engine="numpy", kernels="torch").notes[0].endswith("NumPy: the options say so")
    )
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    graph = export_torch(network(), (None, 3, 6, 6))
    assert "PyTorch" not in load(graph, engine="numpy").notes[0]
    with pytest.raises(ModelLoadError, match="torch is not installed"):
        load(graph, kernels="torch")


def test_constants_that_were_computed_are_shared():
    weights = numbers(2, 2, 1, 1)
    graph = graph_of(
        [placeholder(1, "x", (None, 1, 3, 3)), constant(2, "w", weights), constant(3, "two", np.float32(2))],
        [custom(4, "multiply", [2, 3]), custom(5, "conv2d", [1, 4], i_args=(2, 2, 1, 1, 0, 0, 1, 1, 0))],
    )
    evaluator = Evaluator(make_plan(graph))
    other = evaluator.with_kernels(torch_kernels())
    x = image([3, 3], last=False, channels=1)
    one, two = (each.run({Address(1): x}, [5])[Address(5)] for each in (evaluator, other))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert evaluator.constants.keys() == other.constants.keys() >= {Address(4)}


def test_every_operation_over_windows_is_tried():
    assert torch_kernels().keys() == TORCH_OPERATIONS
    assert {
        *("conv1d", "conv2d", "conv3dnew", "deconv2d", "depthwise_conv2d", "pointwise_conv2d", "sconv2d"),
        *("avgpool2d", "avgpool3dnew", "maxpool2d", "maxpool3dnew"),
    } == TORCH_OPERATIONS
