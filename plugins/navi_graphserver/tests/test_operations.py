"""Operations against PyTorch, where it has them, and against answers written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from navi_graphserver.flat.enums import DType, Generation
from navi_graphserver.flat.records import FlatNode
from navi_graphserver.operations.hashes import name_hash
from navi_graphserver.operations.legacy import LEGACY_NAMES
from navi_graphserver.operations.names import known_name, num_operations, resolve
from navi_graphserver.operations.table import OPERATIONS, Arguments

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
POSITIVE = (np.abs(X) + 0.1).astype(np.float32)


def compute(name, *inputs, **arguments):
    result = OPERATIONS[name].evaluate([np.asarray(each) for each in inputs], Arguments(**arguments))
    return list(result) if isinstance(result, list | tuple) else [result]


def one(name, *inputs, **arguments):
    (result,) = compute(name, *inputs, **arguments)
    return result


def test_hashes_are_libnd4js():
    known = {
        "add": -5176033361941572836,
        "subtract": -5932061311180979177,
        "matmul": -273014250715117663,
        "conv2d": 7325441780195652299,
        "strided_slice": 1604988366995123901,
    }
    assert {name: name_hash(name) for name in known} == known
    assert known_name(known["matmul"]) == "matmul"
    assert known_name(1) is None


def test_there_are_as_many_operations_as_the_start_line_says():
    assert num_operations() == len({id(made) for made in OPERATIONS.values()}) >= 300


def test_java_s_name_stands_in_for_an_unknown_hash():
    node = FlatNode(id=1, family="CUSTOM", op_number=12345, op_name="mmul")
    assert resolve(node, Generation.GEN2).name == "matmul"


@pytest.mark.parametrize("generation", Generation)
def test_most_legacy_numbers_have_an_operation(generation):
    missing = {
        name
        for numbers in LEGACY_NAMES[generation].values()
        for name in numbers.values()
        if name not in OPERATIONS and not name.startswith("random")
    }
    assert missing <= {
        *("col2im", "compare_and_replace", "compare_and_set", "equals_with_eps", "first_index", "last_index"),
        *(
            "igamma",
            "igammac",
            "ismax",
            "lstm_clip",
            "match_condition",
            "norm_p",
            "probabilistic_merge",
            "stabilize",
        ),
    }


@pytest.mark.parametrize(
    ("name", "torch_name", "array"),
    [
        *(
            (name, name, X)
            for name in ("abs", "sign", "exp", "sin", "cos", "tan", "tanh", "sinh", "cosh", "atan")
        ),
        *(
            (name, name, X)
            for name in ("asinh", "erf", "erfc", "expm1", "floor", "ceil", "square", "neg", "sigmoid")
        ),
        *((name, name, POSITIVE) for name in ("sqrt", "rsqrt", "log", "log1p", "reciprocal")),
        *((name, name, np.clip(X, -0.9, 0.9)) for name in ("acos", "asin", "atanh")),
        ("acosh", "acosh", POSITIVE + 1),
        ("rint", "round", X),
        ("isnan", "isnan", np.float32([1, np.nan])),
        ("isinf", "isinf", np.float32([1, np.inf])),
        ("isfinite", "isfinite", np.float32([1, np.inf])),
    ],
)
def test_unary_operations_are_torch_s(name, torch_name, array):
    torch = pytest.importorskip("torch")
    expected = getattr(torch, torch_name)(torch.from_numpy(array)).numpy()
    answer = one(name, array)
    assert answer.dtype == expected.dtype
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "torch_name", "arguments"),
    [
        ("relu", "relu", {}),
        ("relu6", "relu6", {}),
        ("lrelu", "leaky_relu", {}),
        ("elu", "elu", {}),
        ("selu", "selu", {}),
        ("softplus", "softplus", {}),
        ("softsign", "softsign", {}),
        ("hardtanh", "hardtanh", {}),
        ("swish", "silu", {}),
        ("mish", "mish", {}),
        ("logsigmoid", "logsigmoid", {}),
    ],
)
def test_activations_are_torch_s(name, torch_name, arguments):
    torch = pytest.importorskip("torch")
    expected = getattr(torch.nn.functional, torch_name)(torch.from_numpy(3 * X)).numpy()
    np.testing.assert_allclose(one(name, 3 * X, **arguments), expected, rtol=1e-5, atol=1e-6)


def test_gelus():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X)
    np.testing.assert_allclose(one("gelu", X), (x * torch.sigmoid(1.702 * x)).numpy(), rtol=1e-5, atol=1e-6)
    expected = torch.nn.functional.gelu(x, approximate="tanh").numpy()
    np.testing.assert_allclose(one("precise_gelu", X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "x", "y", "expected"),
    [
        ("add", np.float32([1, 2]), np.float32([3]), [4, 5]),
        ("reversesubtract", np.float32([1, 2]), np.float32([3, 3]), [2, 1]),
        ("reversedivide", np.float32([2, 4]), np.float32([8, 8]), [4, 2]),
        ("squaredsubtract", np.float32([1, 5]), np.float32([3, 3]), [4, 4]),
        ("divide", np.int32([7, -7]), np.int32([2, 2]), [3, -3]),
        ("floordiv", np.int32([7, -7]), np.int32([2, 2]), [3, -4]),
        ("floordiv", np.float32([7, -7]), np.float32([2, 2]), [3, -4]),
        ("floormod", np.int32([7, -7]), np.int32([3, 3]), [1, 2]),
        ("mod", np.int32([7, -7]), np.int32([3, 3]), [1, -1]),
        ("truncatediv", np.float32([7, -7]), np.float32([2, 2]), [3, -3]),
        ("divide_no_nan", np.float32([7, 1]), np.float32([2, 0]), [3.5, 0]),
        ("maximum", np.float32([1, 5]), np.float32([3, 3]), [3, 5]),
        ("pow", np.float32([2, 3]), np.float32([3, 2]), [8, 9]),
        ("add", np.int32([1]), np.float32([0.5]), [1.5]),
    ],
)
def test_arithmetic(name, x, y, expected):
    assert one(name, x, y).tolist() == expected


def test_integers_divided_by_zero_are_refused():
    with pytest.raises(ValueError, match="divided by zero"):
        one("divide", np.int32([1]), np.int32([0]))


def test_scalar_operands_come_from_inputs_numbers_or_the_node():
    x = np.float32([1, 2])
    assert one("multiply", x, t=(3.0,)).tolist() == [3, 6]
    assert one("multiply", x, scalar=np.float32(4)).tolist() == [4, 8]
    assert one("multiply", x, np.float32(5)).tolist() == [5, 10]


@pytest.mark.parametrize(
    ("name", "torch_name"),
    [
        ("equals", "eq"),
        ("not_equals", "ne"),
        ("greater", "gt"),
        ("greater_equal", "ge"),
        ("less", "lt"),
        ("less_equal", "le"),
    ],
)
def test_comparisons(name, torch_name):
    torch = pytest.importorskip("torch")
    x, y = np.int64([1, 2, 3]), np.int64([2, 2, 2])
    expected = getattr(torch, torch_name)(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    answer = one(name, x, y)
    assert answer.dtype == np.bool_
    assert answer.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("reduce_mean", np.mean),
        ("reduce_sum", np.sum),
        ("reduce_max", np.max),
        ("reduce_min", np.min),
        ("reduce_prod", np.prod),
        ("any", np.any),
        ("all", np.all),
        ("reduce_norm1", lambda x, **how: np.sum(np.abs(x), **how)),
        ("reduce_norm2", lambda x, **how: np.sqrt(np.sum(x * x, **how))),
        ("reduce_norm_max", lambda x, **how: np.max(np.abs(x), **how)),
        ("reduce_logsumexp", lambda x, **how: np.log(np.sum(np.exp(x), **how))),
    ],
)
def test_reductions_and_how_axes_are_said(name, function):
    everything = function(X)
    for way in ({}, {"dimensions": (2147483647,)}, {"dimensions": (0, 1, 2)}, {"i": (0, 1, 2)}):
        answer = one(name, X, **way)
        assert answer.shape == ()
        np.testing.assert_allclose(answer, everything, rtol=1e-5)
    expected = function(X, axis=(0, 2))
    np.testing.assert_allclose(one(name, X, dimensions=(0, -1)), expected, rtol=1e-5)
    np.testing.assert_allclose(one(name, X, np.int32([0, 2])), expected, rtol=1e-5)
    assert one(name, X, dimensions=(0, 2), b=(True, True)).shape == (1, 3, 1)
    assert one(name, X, np.float32([1]), dimensions=(1,), is_gen1=True).shape == (2, 1, 4)
    with pytest.raises(ValueError, match="axis 3 of an array of rank 3"):
        one(name, X, dimensions=(3,))


def test_moments_variances_and_positions():
    np.testing.assert_allclose(one("variance", X, t=(1.0,)), np.var(X, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(one("stdev", X, dimensions=(1,)), np.std(X, axis=1, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(one("reduce_variance", X, i=(1,)), np.var(X, axis=1), rtol=1e-5)
    mean, variance = compute("moments", X, i=(0,))
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, X.var(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(one("argmax", X, i=(1,)), X.argmax(axis=1))
    np.testing.assert_array_equal(one("argmin", X), X.argmin())
    np.testing.assert_array_equal(one("argmax", X, i=(2,), b=(True,)), X.argmax(axis=2)[..., None])


@pytest.mark.parametrize(("exclusive", "backwards"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_cumulative_sums(exclusive, backwards):
    x = np.float32([[1, 2, 3]])
    expected = {(0, 0): [1, 3, 6], (0, 1): [6, 5, 3], (1, 0): [0, 1, 3], (1, 1): [5, 3, 0]}[
        exclusive, backwards
    ]
    assert one("cumsum", x, i=(exclusive, backwards, 1)).tolist() == [expected]


def test_shapes():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert one("reshape", x, i=(99, 4, 6)).shape == (4, 6)
    assert one("reshape", x, i=(-99, 4, -1)).shape == (4, 6)
    assert one("reshape", x, np.int64([6, 4])).shape == (6, 4)
    assert one("reshape", np.float32([1]), i=()).shape == ()
    assert one("permute", x, i=(2, 0, 1)).shape == (4, 2, 3)
    assert one("transpose", x).shape == (4, 3, 2)
    assert one("expand_dims", x, i=(-1,)).shape == (2, 3, 4, 1)
    assert one("squeeze", x[:1], i=(0,)).shape == (3, 4)
    assert one("concat", x, x, i=(-1,)).shape == (2, 3, 8)
    assert one("concat", x, x, np.int64(1), b=(True,)).shape == (2, 6, 4)
    assert one("stack", x, x, i=(1,)).shape == (2, 2, 3, 4)
    assert [each.shape for each in compute("unstack", x, i=(1,))] == [(2, 4)] * 3
    assert [each.shape for each in compute("split", x, i=(3, 1))] == [(2, 1, 4)] * 3
    assert [each.shape for each in compute("split", np.int32(2), x, i=(2,))] == [(2, 3, 2)] * 2
    assert [each.shape for each in compute("split_v", x, np.int32([1, -1]), i=(2,))] == [(2, 3, 1), (2, 3, 3)]
    assert one("tile", x, i=(1, 2, 1)).shape == (2, 6, 4)
    assert one("shape_of", x).tolist() == [2, 3, 4]
    assert one("rank", x) == 3
    assert one("size", x) == 24
    assert one("flatten_2d", x, i=(2,)).shape == (6, 4)
    assert one("cast", x, i=(int(DType.INT32),)).dtype == np.int32
    assert one("reverse", x, i=(0,))[0, 0, 0] == 12
    assert one("pad", np.float32([1]), np.int32([[1, 2]]), t=(7.0,)).tolist() == [7, 1, 7, 7]
    assert one("pad", np.float32([1, 2, 3]), np.int32([[1, 1]]), i=(1,)).tolist() == [2, 1, 2, 3, 2]
    assert one("mirror_pad", np.float32([1, 2, 3]), np.int32([[1, 1]]), i=(1,)).tolist() == [1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("masks", "begin", "end", "strides", "expected"),
    [
        ((0, 0, 0, 0, 0), (1, 0), (2, 3), (1, 1), np.s_[1:2, 0:3]),
        ((1, 0, 2, 0, 0), (5, 1), (1, 5), (1, 2), np.s_[:1, 1::2]),
        ((0, 0, 0, 0, 1), (1, 0), (9, 2), (1, 1), np.s_[1, 0:2]),
        ((0, 1, 0, 0, 2), (0, -1), (0, 0), (1, 1), np.s_[..., -1]),
        ((0, 0, 0, 1, 0), (0, 0), (0, 2), (1, 1), np.s_[None, 0:2]),
    ],
)
def test_strided_slices(masks, begin, end, strides, expected):
    x = np.arange(24).reshape(2, 3, 4)
    inputs = (np.int64(begin), np.int64(end), np.int64(strides))
    np.testing.assert_array_equal(one("strided_slice", x, *inputs, i=masks), x[expected])
    np.testing.assert_array_equal(one("strided_slice", x, i=(*masks, *begin, *end, *strides)), x[expected])


def test_gathers_and_scatters():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(one("gather", x, np.int32([2, 0]), i=(1,)), x[:, [2, 0]])
    np.testing.assert_array_equal(one("gather", x, np.float32([2, 0])), x[[2, 0]])
    np.testing.assert_array_equal(one("gather_nd", x, np.int32([[0, 1], [2, 3]])), [1, 11])
    np.testing.assert_array_equal(one("slice", x, i=(1, 0, -1, 2)), x[1:, :2])
    added = one("scatter_add", x, np.int32([0, 0]), np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(added[0], x[0] + 2)
    updated = one("scatter_nd_update", x, np.int32([[1, 1]]), np.float32([9]))
    assert updated[1, 1] == 9
    assert x[1, 1] == 5, "inputs stay as they are"
    assert one("scatter_nd", np.int32([[1], [1]]), np.float32([2, 3]), np.int32([4])).tolist() == [0, 5, 0, 0]
    for name, inputs in (
        ("gather", (x, np.int32([3]))),
        ("gather_nd", (x, np.int32([[0, 4]]))),
        ("scatter_add", (x, np.int32([-1]), np.ones((1, 4), np.float32))),
    ):
        with pytest.raises(ValueError, match="indices"):
            one(name, *inputs)


def test_products():
    a, b = RANDOM.normal(size=(2, 3, 4)), RANDOM.normal(size=(2, 4, 5))
    np.testing.assert_allclose(one("matmul", a, b), a @ b)
    np.testing.assert_allclose(one("matmul", a.swapaxes(1, 2), b, i=(1, 0)), a @ b)
    np.testing.assert_allclose(one("matmul", a, b, i=(0, 0, 1), t=(2.0, 0.0)), 2 * (a @ b).swapaxes(1, 2))
    np.testing.assert_allclose(one("tensormmul", a, b, i=(1, 2, 1, 1)), np.tensordot(a, b, ((2,), (1,))))
    np.testing.assert_allclose(one("biasadd", a, np.arange(3.0), b=(True,)), a + np.arange(3.0).reshape(3, 1))
    np.testing.assert_allclose(one("xw_plus_b", a[0], b[0], np.ones(5)), a[0] @ b[0] + 1)


def test_making():
    assert one("range", np.int32(1), np.int32(7), np.int32(2)).tolist() == [1, 3, 5]
    assert one("range", i=(3,)).tolist() == [0, 1, 2]
    assert one("lin_space", np.float32(0), np.float32(1), np.int32(3)).tolist() == [0, 0.5, 1]
    assert one("fill", np.int32([2]), np.float32(3)).tolist() == [3, 3]
    assert one("onehot", np.int32([1, 0]), i=(-1, 3)).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert one("eye", i=(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert one("sequence_mask", np.int32([1, 3])).tolist() == [[True, False, False], [True, True, True]]
    assert one("zeros_as", X).shape == X.shape
    assert one("ones_as", X, d=(int(DType.INT32),)).dtype == np.int32


def test_choosing():
    values, places = compute("top_k", np.float32([3, 1, 3, 2]), i=(3,))
    assert (values.tolist(), places.tolist()) == ([3, 3, 2], [0, 2, 3])
    values, places = compute("unique", np.int32([5, 3, 5, 4]))
    assert (values.tolist(), places.tolist()) == ([5, 3, 4], [0, 1, 0, 2])
    values, places = compute("listdiff", np.int32([1, 2, 3]), np.int32([2]))
    assert (values.tolist(), places.tolist()) == ([1, 3], [0, 2])
    parts = compute("dynamic_partition", np.float32([1, 2, 3]), np.int32([1, 0, 1]), i=(2,))
    assert [each.tolist() for each in parts] == [[2], [1, 3]]
    stitched = one("dynamic_stitch", np.int32([1]), np.int32([0, 2]), *parts)
    assert stitched.tolist() == [1, 2, 3]
    assert one("segment_sum", np.float32([1, 2, 3]), np.int32([0, 0, 1])).tolist() == [3, 3]
    assert one("unsorted_segment_max", np.float32([1, 2, 3]), np.int32([1, 0, 1]), np.int32(2)).tolist() == [
        2,
        3,
    ]
    assert one("segment_mean", np.float32([1, 2, 3]), np.int32([0, 0, 1])).tolist() == [1.5, 3]
    assert one("invert_permutation", np.int32([2, 0, 1])).tolist() == [1, 2, 0]
    assert one("bincount", np.int32([1, 1, 3])).tolist() == [0, 2, 0, 1]


@pytest.mark.parametrize("same", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_convolution_is_torch_s(same, last, stride, dilation):
    torch = pytest.importorskip("torch")
    x = RANDOM.normal(size=(2, 3, 9, 8)).astype(np.float32)
    weights = RANDOM.normal(size=(3, 2, 3, 5)).astype(np.float32)  # height, width, inputs, outputs
    bias = RANDOM.normal(size=5).astype(np.float32)
    padding = (1, 0)
    inputs = torch.from_numpy(x)
    if same:
        padding = (0, 0)
        sides = []
        for size, kernel in ((8, 2), (9, 3)):
            total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            sides += [total // 2, total - total // 2]
        inputs = torch.nn.functional.pad(inputs, sides)
    expected = torch.nn.functional.conv2d(
        inputs,
        torch.from_numpy(weights.transpose(3, 2, 0, 1)),
        torch.from_numpy(bias),
        stride,
        padding,
        dilation,
    ).numpy()
    fed = x.transpose(0, 2, 3, 1) if last else x
    arguments = (3, 2, stride, stride, *((0, 0) if same else (1, 0)), dilation, dilation, same, last)
    answer = one("conv2d", fed, weights, bias, i=arguments)
    answer = answer.transpose(0, 3, 1, 2) if last else answer
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def test_other_convolutions_are_torch_s():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = RANDOM.normal(size=(2, 3, 7, 6)).astype(np.float32)
    weights = RANDOM.normal(size=(3, 3, 3, 2)).astype(np.float32)
    depth = functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(weights.transpose(2, 3, 0, 1).reshape(6, 1, 3, 3)), groups=3
    ).numpy()
    answer = one("depthwise_conv2d", x, weights, i=(3, 3, 1, 1, 0, 0, 1, 1, 0, 0))
    np.testing.assert_allclose(answer, depth, rtol=1e-4, atol=1e-5)
    back = RANDOM.normal(size=(3, 2, 4, 3)).astype(np.float32)  # height, width, outputs, inputs
    expected = functional.conv_transpose2d(
        torch.from_numpy(x), torch.from_numpy(back.transpose(3, 2, 0, 1)), stride=2, padding=(1, 0)
    ).numpy()
    answer = one("deconv2d", x, back, i=(3, 2, 2, 2, 1, 0, 1, 1, 0, 0))
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
    cube = RANDOM.normal(size=(1, 2, 4, 5, 6)).astype(np.float32)
    kernel = RANDOM.normal(size=(2, 2, 2, 2, 3)).astype(np.float32)
    expected = functional.conv3d(
        torch.from_numpy(cube), torch.from_numpy(kernel.transpose(4, 3, 0, 1, 2))
    ).numpy()
    answer = one("conv3dnew", cube, kernel, i=(2, 2, 2, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0))
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 1])
def test_pooling_is_torch_s(padding):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = RANDOM.normal(size=(2, 3, 7, 6)).astype(np.float32)
    given = torch.from_numpy(x)
    arguments = (2, 2, 2, 2, padding, padding, 1, 1, 0)
    expected = functional.max_pool2d(given, 2, 2, padding).numpy()
    np.testing.assert_allclose(one("maxpool2d", x, i=(*arguments, 0, 0)), expected)
    for counted in (0, 1):
        expected = functional.avg_pool2d(given, 2, 2, padding, count_include_pad=bool(counted)).numpy()
        np.testing.assert_allclose(one("avgpool2d", x, i=(*arguments, counted, 0)), expected, rtol=1e-5)
    cube = RANDOM.normal(size=(1, 2, 4, 4, 4)).astype(np.float32)
    expected = functional.avg_pool3d(torch.from_numpy(cube), 2).numpy()
    answer = one("avgpool3dnew", cube, i=(2, 2, 2, 2, 2, 2, 0, 0, 0, 1, 1, 1, 0, 0, 0))
    np.testing.assert_allclose(answer, expected, rtol=1e-5)


def test_normalisation_is_torch_s():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
    mean, variance, gamma, beta = (np.abs(RANDOM.normal(size=3)).astype(np.float32) + 0.1 for _ in range(4))
    expected = functional.batch_norm(
        *map(torch.from_numpy, (x, mean, variance, gamma, beta)), training=False, eps=1e-3
    ).numpy()
    answer = one("batchnorm", x, mean, variance, gamma, beta, i=(1, 1, 1), t=(1e-3,))
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
    gain = np.abs(RANDOM.normal(size=4)).astype(np.float32)
    expected = functional.layer_norm(torch.from_numpy(x), (4,), torch.from_numpy(gain), eps=0).numpy()
    np.testing.assert_allclose(one("layer_norm", x, gain, i=(2,)), expected, rtol=1e-3, atol=1e-4)
    for name, function in (("softmax", functional.softmax), ("log_softmax", functional.log_softmax)):
        for axis in (-1, 1):
            expected = function(torch.from_numpy(x), axis).numpy()
            np.testing.assert_allclose(one(name, x, i=(axis,)), expected, rtol=1e-5, atol=1e-6)
    images = RANDOM.normal(size=(1, 7, 2, 2)).astype(np.float32)
    expected = functional.local_response_norm(
        torch.from_numpy(images), 5, alpha=5e-2, beta=0.75, k=2.0
    ).numpy()
    answer = one("lrn", images.transpose(0, 2, 3, 1), t=(2.0, 1e-2, 0.75), i=(2,)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(answer, expected, rtol=1e-4)


@pytest.mark.parametrize(("align", "centres"), [(False, True), (True, False)])
def test_resizing_is_torch_s(align, centres):
    torch = pytest.importorskip("torch")
    x = RANDOM.normal(size=(1, 2, 5, 4)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x), size=(8, 7), mode="bilinear", align_corners=align
    ).numpy()
    answer = one("resize_bilinear", x.transpose(0, 2, 3, 1), i=(8, 7), b=(align, centres)).transpose(
        0, 3, 1, 2
    )
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def test_space_depth_and_batch():
    torch = pytest.importorskip("torch")
    x = np.arange(32, dtype=np.float32).reshape(1, 8, 2, 2)
    there = one("depth_to_space", x.transpose(0, 2, 3, 1), i=(2, 1))
    np.testing.assert_array_equal(one("space_to_depth", there, i=(2, 1)), x.transpose(0, 2, 3, 1))
    assert torch.pixel_shuffle(torch.from_numpy(x), 2).shape[1:] == (2, 4, 4)
    images = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    batched = one("space_to_batch", images, np.int32([[0, 0], [0, 0]]), i=(2,))
    assert batched.shape == (4, 2, 2, 1)
    assert batched[1].ravel().tolist() == [1, 3, 9, 11]
    np.testing.assert_array_equal(one("batch_to_space", batched, np.int32([[0, 0], [0, 0]]), i=(2,)), images)
