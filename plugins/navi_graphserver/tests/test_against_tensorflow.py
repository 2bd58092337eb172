"""Operations against TensorFlow's, whose graphs SameDiff imports: random shapes, axes, masks and sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from navi_graphserver.operations.names import OPERATIONS  # with the modules that fill it
from navi_graphserver.operations.table import Arguments

tf = pytest.importorskip("tensorflow")

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS = np.random.default_rng(17)


def ours(name, *inputs, **arguments):
    result = OPERATIONS[name].evaluate([np.asarray(each) for each in inputs], Arguments(**arguments))
    return result if isinstance(result, list | tuple) else [result]


def same(got, expected):
    expected = expected if isinstance(expected, list | tuple) else [expected]
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == tuple(other.shape)
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-5)


def floats(*shape):
    return NUMBERS.normal(size=shape).astype(np.float32)


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@st.composite
def arrays_and_axes(draw):
    shape = draw(shapes)
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    signs = [axis - len(shape) if draw(st.booleans()) else axis for axis in axes]
    return floats(*shape), tuple(signs)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("reduce_sum", "reduce_sum"),
        ("reduce_mean", "reduce_mean"),
        ("reduce_max", "reduce_max"),
        ("reduce_min", "reduce_min"),
        ("reduce_prod", "reduce_prod"),
        ("reduce_logsumexp", "reduce_logsumexp"),
        ("reduce_variance", "reduce_variance"),
        ("reduce_stdev", "reduce_std"),
        ("count_non_zero", "count_nonzero"),
    ],
)
@FEW
@given(case=arrays_and_axes(), keep=st.booleans(), by_input=st.booleans())
def test_reductions(name, function, case, keep, by_input):
    x, axes = case
    expected = getattr(tf.math, function)(x, axis=axes, keepdims=keep)
    how = {"b": (keep, False)}
    made = ours(name, x, np.int32(axes), **how) if by_input else ours(name, x, i=axes, **how)
    same(made, expected)


@FEW
@given(case=arrays_and_axes(), keep=st.booleans())
def test_moments(case, keep):
    x, axes = case
    same(ours("moments", x, i=axes, b=(keep,)), tf.nn.moments(tf.constant(x), axes, keepdims=keep))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_strided_slices(data):
    """Every mask, against TensorFlow's own operation; what it refuses is not asked."""
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple))
    count = data.draw(st.integers(1, len(shape)))
    numbers = st.lists(st.integers(-6, 6), min_size=count, max_size=count)
    begin, end = data.draw(numbers), data.draw(numbers)
    strides = data.draw(st.lists(st.sampled_from([-2, -1, 1, 2, 3]), min_size=count, max_size=count))
    mask = st.integers(0, 2**count - 1)
    begin_mask, end_mask, new_axis_mask, shrink_mask = (data.draw(mask) for _ in range(4))
    ellipsis_mask = data.draw(st.sampled_from([0, *(1 << place for place in range(count))]))
    x = floats(*shape)
    try:
        expected = tf.raw_ops.StridedSlice(
            input=x,
            begin=begin,
            end=end,
            strides=strides,
            begin_mask=begin_mask,
            end_mask=end_mask,
            ellipsis_mask=ellipsis_mask,
            new_axis_mask=new_axis_mask,
            shrink_axis_mask=shrink_mask,
        )
    except (tf.errors.InvalidArgumentError, IndexError, ValueError):
        return
    masks = (begin_mask, ellipsis_mask, end_mask, new_axis_mask, shrink_mask)
    same(ours("strided_slice", x, np.int64(begin), np.int64(end), np.int64(strides), i=masks), expected)
    same(ours("strided_slice", x, i=(*masks, *begin, *end, *strides)), expected)


@FEW
@given(data=st.data(), shape=shapes)
def test_gathers(data, shape):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    wanted = data.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=5))
    x, indices = floats(*shape), np.int32(wanted)
    same(ours("gather", x, indices, i=(axis,)), tf.gather(x, indices, axis=axis))
    depth = data.draw(st.integers(1, len(shape)))
    rows = data.draw(st.integers(1, 3))
    places = np.stack([NUMBERS.integers(0, size, rows) for size in shape[:depth]], -1).astype(np.int32)
    same(ours("gather_nd", x, places), tf.gather_nd(x, places))
    updates = floats(rows, *shape[depth:])
    same(ours("scatter_nd", places, updates, np.int32(shape)), tf.scatter_nd(places, updates, shape))
    same(ours("scatter_nd_add", x, places, updates), tf.tensor_scatter_nd_add(x, places, updates))
    same(ours("scatter_nd_sub", x, places, updates), tf.tensor_scatter_nd_sub(x, places, updates))


@FEW
@given(data=st.data(), shape=shapes, mode=st.sampled_from(["CONSTANT", "REFLECT", "SYMMETRIC"]))
def test_padding(data, shape, mode):
    most = [{"CONSTANT": 3, "REFLECT": size - 1, "SYMMETRIC": size}[mode] for size in shape]
    sides = [[data.draw(st.integers(0, each)), data.draw(st.integers(0, each))] for each in most]
    x, number = floats(*shape), ["CONSTANT", "REFLECT", "SYMMETRIC"].index(mode)
    expected = tf.pad(x, sides, mode, 2.5 if mode == "CONSTANT" else 0)
    same(ours("pad", x, np.int32(sides), i=(number,), t=(2.5,)), expected)
    if number:
        same(ours("mirror_pad", x, np.int32(sides), i=(number - 1,)), expected)


@FEW
@given(data=st.data(), shape=shapes)
def test_shapes(data, shape):
    x, rank = floats(*shape), len(shape)
    order = data.draw(st.permutations(range(rank)))
    same(ours("permute", x, np.int32(order)), tf.transpose(x, order))
    axis = data.draw(st.integers(-rank - 1, rank))
    same(ours("expand_dims", x, i=(axis,)), tf.expand_dims(x, axis))
    axis = data.draw(st.integers(-rank, rank - 1))
    same(ours("stack", x, 2 * x, i=(axis,)), tf.stack([x, 2 * x], axis))
    same(ours("concat", x, x, i=(axis,)), tf.concat([x, x], axis))
    same(ours("unstack", x, i=(axis,)), tf.unstack(x, axis=axis))
    same(ours("reverse", x, np.int32([axis])), tf.reverse(x, [axis]))
    repeats = [data.draw(st.integers(1, 3)) for _ in shape]
    same(ours("tile", x, np.int32(repeats)), tf.tile(x, repeats))
    exclusive, backwards = data.draw(st.booleans()), data.draw(st.booleans())
    for name, function in (("cumsum", tf.cumsum), ("cumprod", tf.math.cumprod)):
        expected = function(x, axis, exclusive=exclusive, reverse=backwards)
        same(ours(name, x, i=(int(exclusive), int(backwards), axis)), expected)
    same(ours("softmax", x, i=(axis,)), tf.nn.softmax(x, axis))
    same(ours("log_softmax", x, i=(axis,)), tf.nn.log_softmax(x, axis))
    same(ours("argmax", x, i=(axis,)), tf.argmax(x, axis))
    same(ours("argmin", x, i=(axis,)), tf.argmin(x, axis))
    count = data.draw(st.integers(1, shape[-1]))
    same(ours("top_k", x, i=(count,)), list(tf.math.top_k(x, count)))
    same(ours("crelu", x), tf.nn.crelu(x))


@FEW
@given(data=st.data(), last=st.booleans(), same_padding=st.booleans())
def test_windows(data, last, same_padding):
    """Channels last, as TensorFlow's graphs are on a CPU; channels first are the same, moved."""
    draw = data.draw
    kernel, stride = [draw(st.integers(1, 3)) for _ in range(2)], draw(st.integers(1, 3))
    sizes = [each + draw(st.integers(0, 5)) for each in kernel]
    x, flags = floats(2, *sizes, 3), (int(same_padding), int(last))
    padding = "SAME" if same_padding else "VALID"
    fed = x if last else np.moveaxis(x, -1, 1)
    moves = (*kernel, stride, stride, 0, 0, 1, 1, int(same_padding))

    def check(name, others, integers, expected):
        (made,) = ours(name, fed, *others, i=integers)
        same([made if last else np.moveaxis(made, 1, -1)], expected)

    weights, bias = floats(*kernel, 3, 4), floats(4)
    expected = tf.nn.conv2d(x, weights, stride, padding) + bias
    check("conv2d", [weights, bias], (*moves, flags[1], 0), expected)
    depth = floats(*kernel, 3, 2)
    strides = [1, stride, stride, 1]
    check(
        "depthwise_conv2d", [depth], (*moves, flags[1], 0), tf.nn.depthwise_conv2d(x, depth, strides, padding)
    )
    points = floats(1, 1, 6, 5)
    expected = tf.nn.separable_conv2d(x, depth, points, strides, padding)
    check("sconv2d", [depth, points], (*moves, flags[1], 0), expected)
    for name, function in (("maxpool2d", tf.nn.max_pool2d), ("avgpool2d", tf.nn.avg_pool2d)):
        check(name, [], (*moves, 0, flags[1]), function(x, kernel, stride, padding))
    size = [each * stride for each in sizes]
    back = floats(*kernel, 4, 3)
    expected = tf.nn.conv2d_transpose(x, back, [2, *size, 4], strides, "SAME")
    check("deconv2d", [back], (*moves[:8], 1, flags[1], 0), expected)


@FEW
@given(data=st.data(), size=st.tuples(st.integers(1, 7), st.integers(1, 7)), wanted=st.tuples(
    st.integers(1, 9), st.integers(1, 9)))  # fmt: skip
def test_resizing(data, size, wanted):
    align = data.draw(st.booleans())
    centres = not align and data.draw(st.booleans())
    x = floats(2, *size, 3)
    how = {"align_corners": align, "half_pixel_centers": centres}
    expected = tf.raw_ops.ResizeBilinear(images=x, size=wanted, **how)
    same(ours("resize_bilinear", x, i=wanted, b=(align, centres)), expected)
    expected = tf.raw_ops.ResizeNearestNeighbor(images=x, size=wanted, **how)
    same(ours("resize_nearest_neighbor", x, i=wanted, b=(align, centres)), expected)


@FEW
@given(data=st.data())
def test_blocks(data):
    blocks = [data.draw(st.integers(1, 3)) for _ in range(2)]
    paddings = [[data.draw(st.integers(0, 2)), 0] for _ in range(2)]
    for side, block in zip(paddings, blocks, strict=True):
        side[1] = -(4 + side[0]) % block
    x = floats(2, 4, 4, 3)
    expected = tf.space_to_batch(x, blocks, paddings)
    same(ours("space_to_batch_nd", x, np.int32(blocks), np.int32(paddings)), expected)
    y = floats(blocks[0] * blocks[1], 3, 2, 2)
    same(
        ours("batch_to_space_nd", y, np.int32(blocks), np.zeros((2, 2), np.int32)),
        tf.raw_ops.BatchToSpaceND(input=y, block_shape=blocks, crops=[[0, 0], [0, 0]]),
    )
    same(ours("space_to_depth", x, i=(2, 1)), tf.nn.space_to_depth(x, 2))
    z = floats(2, 3, 2, 8)
    same(ours("depth_to_space", z, i=(2, 1)), tf.nn.depth_to_space(z, 2))


@FEW
@given(data=st.data(), rows=st.integers(1, 8))
def test_segments_and_partitions(data, rows):
    x, count = floats(rows, 2), data.draw(st.integers(1, 4))
    ids = np.int32([data.draw(st.integers(0, count - 1)) for _ in range(rows)])
    for kind in ("sum", "prod", "max", "min", "mean", "sqrt_n"):
        expected = getattr(tf.math, f"unsorted_segment_{kind}")(x, ids, count)
        same(ours(f"unsorted_segment_{kind}", x, ids, np.int32(count)), expected)
        if kind != "sqrt_n":
            order = np.sort(ids)
            same(ours(f"segment_{kind}", x, order), getattr(tf.math, f"segment_{kind}")(x, order))
    parts = tf.dynamic_partition(x, ids, count)
    same(ours("dynamic_partition", x, ids, i=(count,)), parts)
    places = [each.numpy() for each in tf.dynamic_partition(np.arange(rows, dtype=np.int32), ids, count)]
    stitched = tf.dynamic_stitch(places, parts)
    same(ours("dynamic_stitch", *places, *(each.numpy() for each in parts)), stitched)
    same(ours("unique_with_counts", ids), list(tf.unique_with_counts(ids)))
    same(ours("listdiff", ids, ids[:2]), list(tf.raw_ops.ListDiff(x=ids, y=ids[:2])))
    same(ours("bincount", ids), tf.math.bincount(ids))


@FEW
@given(data=st.data())
def test_matrices(data):
    draw = data.draw
    batch, rows, inner, columns = (draw(st.integers(1, 4)) for _ in range(4))
    flags = tuple(int(draw(st.booleans())) for _ in range(2))
    a = floats(batch, *((inner, rows) if flags[0] else (rows, inner)))
    b = floats(batch, *((columns, inner) if flags[1] else (inner, columns)))
    expected = tf.matmul(a, b, transpose_a=bool(flags[0]), transpose_b=bool(flags[1]))
    same(ours("matmul", a, b, i=(*flags, 0)), expected)
    below, above = (draw(st.integers(-1, size)) for size in a.shape[-2:])  # TensorFlow takes no more
    same(ours("matrix_band_part", a, i=(below, above)), tf.linalg.band_part(a, below, above))
    vector = floats(batch, rows)
    same(ours("matrix_diag", vector), tf.linalg.diag(vector))
    same(ours("matrix_diag_part", a), tf.linalg.diag_part(a))
    square = floats(batch, rows, rows) + 3 * np.eye(rows, dtype=np.float32)
    same(ours("matrix_set_diag", square, vector), tf.linalg.set_diag(square, vector))
    same(ours("matrix_determinant", square), tf.linalg.det(square))
    same(ours("matrix_inverse", square), tf.linalg.inv(square))
    lengths = np.int32([draw(st.integers(0, a.shape[1])) for _ in range(batch)])
    expected = tf.reverse_sequence(a, lengths, seq_axis=1, batch_axis=0)
    same(ours("reverse_sequence", a, lengths, i=(1, 0)), expected)
    same(ours("sequence_mask", lengths, np.int32(5)), tf.sequence_mask(lengths, 5))


@FEW
@given(data=st.data(), shape=shapes)
def test_arithmetic_that_broadcasts(data, shape):
    other = tuple(1 if data.draw(st.booleans()) else size for size in shape)[
        data.draw(st.integers(0, len(shape) - 1)) :
    ]
    x, y = floats(*shape), floats(*other)
    y = np.where(np.abs(y) < 0.1, np.float32(0.5), y)
    for name, function in (
        ("add", tf.add),
        ("subtract", tf.subtract),
        ("multiply", tf.multiply),
        ("realdiv", tf.divide),
        ("floordiv", tf.math.floordiv),
        ("floormod", tf.math.floormod),
        ("maximum", tf.maximum),
        ("minimum", tf.minimum),
        ("squaredsubtract", tf.math.squared_difference),
        ("divide_no_nan", tf.math.divide_no_nan),
        ("tf_atan2", tf.atan2),
    ):
        same(ours(name, x, y), function(x, y))
    whole = (
        NUMBERS.integers(-9, 10, shape).astype(np.int32),
        np.int32(data.draw(st.sampled_from([-3, -1, 2, 4]))),
    )
    for name, function in (
        ("floordiv", tf.math.floordiv),
        ("floormod", tf.math.floormod),
        ("truncatediv", lambda a, b: tf.raw_ops.TruncateDiv(x=a, y=b)),
        ("mod", lambda a, b: tf.raw_ops.TruncateMod(x=a, y=b)),
    ):
        same(ours(name, *whole), function(*whole))


@FEW
@given(data=st.data(), shape=st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple))
def test_making(data, shape):
    depth = data.draw(st.integers(1, 4))
    axis = data.draw(st.integers(-1, len(shape)))
    indices = NUMBERS.integers(-1, depth + 1, shape).astype(np.int32)
    expected = tf.one_hot(indices, depth, 2.0, -1.0, axis)
    same(ours("onehot", indices, i=(axis, depth), t=(2.0, -1.0)), expected)
    start, stop, step = (
        data.draw(st.integers(-5, 5)),
        data.draw(st.integers(-5, 5)),
        data.draw(st.integers(1, 3)),
    )
    stop = max(start, stop)
    same(ours("range", np.int32(start), np.int32(stop), np.int32(step)), tf.range(start, stop, step))
    same(
        ours("lin_space", np.float32(start), np.float32(stop), np.int32(5)),
        tf.linspace(float(start), float(stop), 5),
    )
    same(ours("fill", np.int32(shape), np.float32(3)), tf.fill(shape, np.float32(3)))
    x = floats(*shape)
    same(ours("broadcast_to", x, np.int64([2, *shape])), tf.broadcast_to(x, [2, *shape]))


@FEW
@given(data=st.data())
def test_normalisation(data):
    channels = data.draw(st.integers(1, 5))
    x = floats(2, 3, 4, channels)
    mean, offset, scale = floats(channels), floats(channels), floats(channels)
    variance = np.abs(floats(channels)) + np.float32(0.1)
    expected = tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)
    same(ours("batchnorm", x, mean, variance, scale, offset, i=(1, 1, 3), t=(1e-3,)), expected)
    fused = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=1e-3, is_training=False
    )
    same(ours("fused_batch_norm", x, scale, offset, mean, variance, t=(1e-3,)), fused[0])
    radius = data.draw(st.integers(1, 3))
    expected = tf.nn.lrn(x, radius, 1.5, 0.2, 0.6)
    same(ours("lrn", x, i=(radius,), t=(1.5, 0.2, 0.6)), expected)
    for name, function in (
        ("relu6", tf.nn.relu6),
        ("selu", tf.nn.selu),
        ("elu", tf.nn.elu),
        ("softplus", tf.nn.softplus),
    ):
        same(ours(name, 3 * x), function(3 * x))
