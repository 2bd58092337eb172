"""Graphs on ONNX Runtime: the same answers as NumPy's, or NumPy after all, and why."""

from __future__ import annotations

import numpy as np
import pytest
from navi_graphserver.evaluator import Evaluator
from navi_graphserver.flat.enums import DType
from navi_graphserver.flat.records import Address
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.loading import load_servable
from navi_graphserver.naming import GRAPH_SIGNATURE
from navi_graphserver.onnx_engine.forms import FORMS
from navi_graphserver.operations.table import OPERATIONS
from navi_graphserver.options import GraphOptions
from navi_graphserver.plan import make_plan
from navi_graphserver.testing import affine_graph, constant, counting_graph, custom, graph_of, placeholder

from navi_core import DEFAULT_SIGNATURE, Artifact, InferenceError, LoadOptions, ModelLoadError
from navi_core.testing.run_context import SimpleRunContext

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

RANDOM = np.random.default_rng(3)


def load(graph, engine="onnx"):
    artifact = Artifact(name="m", version=1, files={"graph.fb": write_graph(graph)})
    return load_servable(artifact, "graph.fb", LoadOptions(options=GraphOptions(engine=engine)))


def both(graph, feeds):
    """Return the answers of both engines for a graph whose last node is its output."""
    servable = load(graph)
    names = {feed.name: address for address, feed in make_plan(graph).feeds.items()}
    last = graph.nodes[-1].id
    expected = Evaluator(make_plan(graph)).run({names[name]: each for name, each in feeds.items()}, [last])
    outputs = list(servable.signatures[DEFAULT_SIGNATURE].outputs)
    got = servable.run(DEFAULT_SIGNATURE, feeds, outputs, SimpleRunContext())
    return [got[name] for name in outputs], [expected[Address(last, index)] for index in range(len(outputs))]


def check(graph, feeds):
    for got, expected in zip(*both(graph, feeds), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


FLOATS = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(FLOATS) + 1.1
ONE_INPUT = {
    **{
        name: {}
        for name in FORMS
        if OPERATIONS[name].max_inputs == 1 or name in ("relu", "relu6", "lrelu", "elu")
    },
    **{name: {} for name in ("identity", "reduce_sum", "reduce_mean", "reduce_max", "reduce_logsumexp")},
    "clipbyvalue": {"t_args": (-0.5, 0.5)},
    "cast": {"i_args": (int(DType.INT32),)},
    "split": {"i_args": (2, 2)},
    **dict.fromkeys(("maxpool2d", "avgpool2d", "maxpool3dnew", "avgpool3dnew", "upsampling2d", "lrn")),
    **dict.fromkeys(("depth_to_space", "space_to_depth", "fill_as", "unstack")),
    "not": None,
}


@pytest.mark.parametrize("name", sorted(name for name, how in ONE_INPUT.items() if how is not None))
def test_operations_of_one_array(name):
    arguments = ONE_INPUT[name]
    low = name in ("acos", "asin", "atanh")
    values = (
        np.clip(FLOATS, -0.9, 0.9)
        if low
        else POSITIVE
        if name in ("log", "sqrt", "rsqrt", "acosh")
        else FLOATS
    )
    x = placeholder(1, "x", (None, 3, 4))
    if low or name in ("acosh", "log", "sqrt", "rsqrt", "log1p"):  # made-up inputs are around 0: not a number
        graph = graph_of([x], [custom(2, "abs", [1]), _legacy(3, name, [2], arguments)])
        values = np.clip(np.abs(values), 0, 0.9) if low else np.abs(values)
    else:
        graph = graph_of([x], [_legacy(2, name, [1], arguments)])
    check(graph, {"x": values})


def _legacy(number, name, inputs, arguments):
    """A node that is found by its name: legacy operations have no hash of their own."""
    return custom(number, name, inputs, **arguments)


@pytest.mark.parametrize(
    "name",
    [
        *("add", "subtract", "multiply", "divide", "reversesubtract", "reversedivide", "maximum", "minimum"),
        *(
            "squaredsubtract",
            "equals",
            "not_equals",
            "greater",
            "greater_equal",
            "less",
            "less_equal",
            "mergeadd",
        ),
    ],
)
def test_operations_of_two_arrays(name):
    variables = [placeholder(1, "x", (None, 3)), placeholder(2, "y", (None, 3))]
    x, y = RANDOM.normal(size=(2, 4, 3)).astype(np.float32)
    y[0] = x[0]
    check(graph_of(variables, [custom(3, name, [1, 2])]), {"x": x, "y": y})


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([custom(10, "reshape", [1], i_args=(99, -1, 12))], []),
        ([custom(10, "reshape", [1, 2])], [np.array([-1, 6], np.int64)]),
        ([custom(10, "permute", [1, 2])], [np.array([0, 2, 1], np.int32)]),
        ([custom(10, "transpose", [1])], []),
        ([custom(10, "expand_dims", [1], i_args=(1,))], []),
        ([custom(9, "expand_dims", [1], i_args=(1,)), custom(10, "squeeze", [9], i_args=(1,))], []),
        ([custom(10, "concat", [1, 1], i_args=(2,))], []),
        ([custom(10, "stack", [1, 1], i_args=(1,))], []),
        ([custom(10, "tile", [1, 2])], [np.array([1, 2, 1], np.int32)]),
        ([custom(10, "pad", [1, 2], t_args=(7.0,))], [np.array([[0, 0], [1, 2], [0, 1]], np.int32)]),
        ([custom(10, "pad", [1, 2], i_args=(1,))], [np.array([[0, 0], [1, 1], [0, 0]], np.int32)]),
        ([custom(10, "gather", [1, 2], i_args=(1,))], [np.array([2, 0], np.int32)]),
        ([custom(9, "shape_of", [1]), custom(10, "reshape", [1, 9])], []),
        ([custom(10, "reduce_sum", [1, 2], b_args=(True, True))], [np.array([1, 2], np.int32)]),
        ([custom(10, "reduce_mean", [1], i_args=(-1,))], []),
        ([custom(10, "argmax", [1], i_args=(2,))], []),
        ([custom(10, "softmax", [1], i_args=(1,))], []),
        ([custom(10, "strided_slice", [1, 2, 3, 4], i_args=(1, 0, 1, 0, 4))],
         [np.array([0, 1, 2]), np.array([0, 3, 0]), np.array([1, 1, 1])]),
        ([custom(9, "less", [1, 2]), custom(10, "select", [9, 1, 2])], [np.zeros((1, 3, 4), np.float32)]),
    ],
)  # fmt: skip
def test_shapes_and_axes(nodes, constants):
    variables = [placeholder(1, "x", (None, 3, 4))]
    variables += [constant(2 + place, f"c{place}", value) for place, value in enumerate(constants)]
    if nodes[-1].op_name == "select":  # its branches are of one shape
        nodes = [nodes[0], custom(10, "select", [9, 1, 1])]
    check(graph_of(variables, nodes), {"x": FLOATS})


@pytest.mark.parametrize("same", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_a_convolutional_network(same, last):
    shape = (None, 8, 8, 2) if last else (None, 2, 8, 8)
    weights = RANDOM.normal(size=(3, 3, 2, 4)).astype(np.float32)
    vectors = [np.abs(RANDOM.normal(size=4)).astype(np.float32) for _ in range(5)]
    variables = [placeholder(1, "x", shape), constant(2, "w", weights)]
    variables += [constant(3 + place, f"v{place}", each) for place, each in enumerate(vectors)]
    axis = 3 if last else 1
    nodes = [
        custom(10, "conv2d", [1, 2, 3], i_args=(3, 3, 1, 1, 0, 0, 1, 1, same, last)),
        custom(11, "batchnorm", [10, 4, 5, 6, 7], i_args=(1, 1, axis), t_args=(1e-3,)),
        custom(12, "relu", [11], t_args=(0.0,)),
        custom(13, "maxpool2d", [12], i_args=(2, 2, 2, 2, 0, 0, 1, 1, same, 0, last)),
        custom(14, "avgpool2d", [13], i_args=(2, 2, 1, 1, 0, 0, 1, 1, same, 0, last)),
        custom(15, "biasadd", [14, 3], b_args=(not last,)),
    ]
    check(graph_of(variables, nodes), {"x": RANDOM.normal(size=(3, *shape[1:])).astype(np.float32)})


def test_products():
    variables = [
        placeholder(1, "x", (None, 4)),
        constant(2, "w", RANDOM.normal(size=(5, 4)).astype(np.float32)),
        constant(3, "b", RANDOM.normal(size=5).astype(np.float32)),
    ]
    nodes = [
        custom(10, "matmul", [1, 2], i_args=(0, 1, 0)),
        custom(11, "xw_plus_b", [1, 2, 3], i_args=(0, 1)),
        custom(12, "add", [10, 11]),
    ]
    check(graph_of(variables, nodes), {"x": RANDOM.normal(size=(6, 4)).astype(np.float32)})


def test_a_replaced_constant_is_computed_with_numpy():
    servable = load(affine_graph())
    assert servable.notes == ("the graph runs on ONNX Runtime",)
    x = np.ones((1, 3), np.float32)
    fed = {"1:0 x": x, "2:0 factor": np.float32(5)}
    answers = servable.run(GRAPH_SIGNATURE, fed, ["5:0 y"], SimpleRunContext())
    np.testing.assert_array_equal(answers["5:0 y"], x * 5 + 1)


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (counting_graph(), "the graph has control flow"),
        (
            graph_of([placeholder(1, "x", (None,))], [custom(2, "cumprod", [1], name="products")]),
            "'products': 'cumprod' has no form",
        ),
        (
            graph_of(
                [placeholder(1, "x", (None,), DType.INT32), constant(3, "two", np.int32(2))],
                [custom(2, "divide", [1, 3])],
            ),
            "division of integers",
        ),
    ],
)
def test_what_onnx_cannot_do_is_computed_with_numpy_and_the_notes_say_why(graph, text):
    (note,) = load(graph, "auto").notes
    assert text in note
    with pytest.raises(ModelLoadError, match=text):
        load(graph, "onnx")
    assert load(graph, "numpy").notes == ("the graph is computed with NumPy: the options say so",)


FLAT = (None, 4)
WEIGHTS = RANDOM.normal(size=(4, 5)).astype(np.float32)
SPREAD = np.abs(RANDOM.normal(size=4)).astype(np.float32) + 0.5


@pytest.mark.parametrize(
    ("nodes", "constants", "shape"),
    [
        *(
            ([custom(10, name, [1], **how)], [], (None, 3, 4))
            for name, how in {
                **{name: {"i_args": (1,)} for name in ("reduce_norm_max", "reduce_amax", "reduce_amin")},
                **{name: {"i_args": (1, 2)} for name in ("reduce_variance", "reduce_stdev", "moments")},
                **{name: {"dimensions": (2,)} for name in ("asum", "amean", "variance", "stdev")},
                **{name: {"i_args": (-1,), "b_args": (True,)} for name in ("any", "all", "count_non_zero")},
                "cumsum": {"i_args": (1, 1, 2)},
                "flatten_2d": {"i_args": (2,)},
                "unstack": {"i_args": (1,)},
                "slice": {"i_args": (0, 1, 0, -1, 2, 3)},
                "top_k": {"i_args": (2,)},
                "fill_as": {"t_args": (3.0,)},
                "size_at": {"i_args": (2,)},
                "crelu": {},
                "standardize": {"i_args": (2,)},
            }.items()
        ),
        *(
            ([custom(9, "multiply", [1, 2]), custom(10, name, [9])], [np.float32(1.7)], FLAT)
            for name in ("round", "precise_gelu", "hardtanh", "logsigmoid", "rectifiedtanh", "erfc", "expm1")
        ),
        *(
            ([custom(10, name, [1, 2])], [SPREAD], FLAT)
            for name in ("floordiv", "floormod", "mod", "fmod", "divide_no_nan")
        ),
        ([custom(9, "tanh", [1]), custom(10, "mergemax", [1, 9, 1])], [], FLAT),
        ([custom(9, "tanh", [1]), custom(10, "mergeavg", [1, 9, 1])], [], FLAT),
        ([custom(10, "layer_norm", [1, 2, 2], i_args=(1,))], [SPREAD], FLAT),
        ([custom(10, "layer_norm", [1, 2], i_args=(1, 2), b_args=(True,))], [SPREAD[:3]], (None, 3, 4)),
        ([custom(10, "prelu", [1, 2], i_args=(2,))], [SPREAD[:3].reshape(3, 1)], (None, 3, 4)),
        ([custom(10, "thresholdedrelu", [1], t_args=(0.3,))], [], FLAT),
        ([custom(10, "step", [1], t_args=(0.1,))], [], FLAT),
        ([custom(9, "log", [1]), custom(10, "replace_nans", [9], t_args=(5.0,))], [], FLAT),
        ([custom(10, "relu_layer", [1, 2, 3], t_args=(0.5,))], [WEIGHTS, RANDOM.normal(size=5).astype("f")], FLAT),
        ([custom(10, "tensormmul", [1, 2], i_args=(1, -1, 1, 0))], [WEIGHTS], (None, 3, 4)),
        ([custom(10, "split_v", [1, 2], i_args=(1,))], [np.array([1, 3], np.int32)], FLAT),
        ([custom(10, "mirror_pad", [1, 2])], [np.array([[0, 0], [1, 2]], np.int32)], FLAT),
        ([custom(10, "broadcast_to", [1, 2])], [np.array([2, 3, 4], np.int32)], (1, 1, 4)),
        ([custom(9, "tanh", [1]), custom(10, "reshape_as", [2, 9])], [np.zeros(4, np.float32)], (1, 4)),
        ([custom(9, "tanh", [1]), custom(10, "assign", [9, 2])], [SPREAD], FLAT),
        ([custom(9, "tanh", [1]), custom(10, "identity_n", [1, 9])], [], FLAT),
        ([custom(9, "flatten", [1, 2]), custom(10, "neg", [9])], [SPREAD], FLAT),
        ([custom(9, "zeros_as", [1]), custom(10, "add", [1, 9])], [], FLAT),
        ([custom(9, "ones_as", [1]), custom(10, "add", [1, 9])], [], FLAT),
        ([custom(9, "shape_of", [1]), custom(10, "fill", [9, 2])], [np.float32(2)], FLAT),
        ([custom(9, "rank", [1]), custom(8, "to_float32", [9]), custom(10, "add", [1, 8])], [], FLAT),
        ([custom(9, "size", [1]), custom(8, "to_float32", [9]), custom(10, "divide", [1, 8])], [], FLAT),
        ([custom(8, "multiply", [1, 2]), custom(9, "to_int32", [8]), custom(10, "onehot", [9], i_args=(-1, 3))],
         [np.float32(2)], FLAT),
        ([custom(10, "gather_nd", [1, 2])], [np.array([[0, 1], [0, 2]], np.int32)], (None, 3, 4)),
        ([custom(10, "scatter_nd_update", [1, 2, 3])],
         [np.array([[0, 1]], np.int32), np.float32([9])], FLAT),
        ([custom(10, "scatter_nd_add", [1, 2, 3])],
         [np.array([[0, 1], [0, 1]], np.int32), np.float32([9, 1])], FLAT),
        ([custom(10, "fused_batch_norm", [1, 2, 2, 3, 2])], [SPREAD, np.float32([1, 2, 3, 4])], (None, 2, 3, 4)),
        ([custom(10, "lrn", [1], i_args=(1,), t_args=(1.5, 0.1, 0.7))], [], (None, 2, 3, 4)),
        ([custom(10, "resize_bilinear", [1], i_args=(5, 7), b_args=(False, True))], [], (None, 2, 3, 4)),
        ([custom(10, "resize_bilinear", [1], i_args=(5, 7), b_args=(True, False))], [], (None, 2, 3, 4)),
        ([custom(10, "resize_bilinear", [1, 2])], [np.array([4, 6], np.int32)], (None, 2, 3, 4)),
        ([custom(10, "resize_nearest_neighbor", [1, 2])], [np.array([5, 4], np.int32)], (None, 2, 3, 4)),
        ([custom(10, "upsampling2d", [1], i_args=(2, 3, 0))], [], (None, 2, 3, 4)),
        ([custom(10, "depth_to_space", [1], i_args=(2, 1))], [], (None, 2, 3, 8)),
        ([custom(10, "space_to_depth", [1], i_args=(2, 0))], [], (None, 2, 4, 6)),
    ],
)  # fmt: skip
def test_other_operations(nodes, constants, shape):
    variables = [placeholder(1, "x", shape)]
    variables += [constant(2 + place, f"c{place}", value) for place, value in enumerate(constants)]
    check(
        graph_of(variables, nodes), {"x": RANDOM.normal(size=(shape[0] or 2, *shape[1:])).astype(np.float32)}
    )


MOVES = (3, 2, 1, 2, 1, 0, 1, 1, 0)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize(
    ("operation", "weights", "arguments", "spatial"),
    [
        ("conv2d", [(3, 2, 2, 4), (4,)], (*MOVES, None, 0), (6, 5)),
        ("conv2d", [(4, 2, 3, 2)], (*MOVES, None, 1), (6, 5)),
        ("conv2d", [(4, 3, 2, 2)], (*MOVES, None, 2), (6, 5)),
        ("conv3dnew", [(2, 2, 2, 2, 3), (3,)], (2, 2, 2, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, None, 0), (4, 3, 5)),
        ("pointwise_conv2d", [(1, 1, 2, 3), (3,)], (None, 0), (4, 5)),
        ("depthwise_conv2d", [(3, 2, 2, 3), (6,)], (*MOVES, None, 0), (6, 5)),
        ("depthwise_conv2d", [(3, 2, 3, 2)], (*MOVES, None, 1), (6, 5)),
        ("sconv2d", [(3, 2, 2, 3), (1, 1, 6, 4), (4,)], (*MOVES, None, 0), (6, 5)),
        ("deconv2d", [(3, 2, 4, 2), (4,)], (*MOVES, None, 0), (4, 5)),
        ("maxpool2d", [], (*MOVES, 0, None), (6, 5)),
        ("avgpool2d", [], (*MOVES, 1, None), (6, 5)),
        ("avgpool2d", [], (*MOVES, 0, None), (6, 5)),
        ("maxpool3dnew", [], (2, 2, 2, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, None), (4, 3, 5)),
        ("avgpool3dnew", [], (2, 2, 2, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, None), (4, 3, 5)),
    ],
)
def test_windows(operation, weights, arguments, spatial, last):
    shape = (None, *spatial, 2) if last else (None, 2, *spatial)
    variables = [placeholder(1, "x", shape)]
    variables += [
        constant(2 + place, f"w{place}", RANDOM.normal(size=each).astype(np.float32))
        for place, each in enumerate(weights)
    ]
    numbers = tuple(last if each is None else each for each in arguments)
    node = custom(10, operation, range(1, len(variables) + 1), i_args=numbers)
    check(graph_of(variables, [node]), {"x": RANDOM.normal(size=(3, *shape[1:])).astype(np.float32)})


@pytest.mark.parametrize("index", [-1, 3])
@pytest.mark.parametrize("engine", ["numpy", "onnx"])
@pytest.mark.parametrize("operation", ["gather", "gather_nd"])
def test_indices_that_are_outside_are_errors_of_both(operation, engine, index):
    variables = [
        placeholder(1, "i", (None, 1), DType.INT32),
        constant(2, "x", RANDOM.normal(size=(3, 2)).astype(np.float32)),
    ]
    servable = load(graph_of(variables, [custom(3, operation, [2, 1], name="y")]), engine)
    good = servable.run(DEFAULT_SIGNATURE, {"i": np.int32([[2]])}, ["y"], SimpleRunContext())
    assert good["y"].size == 2
    with pytest.raises(InferenceError):
        servable.run(DEFAULT_SIGNATURE, {"i": np.int32([[index]])}, ["y"], SimpleRunContext())


def test_an_input_of_any_number_of_axes_stays_with_numpy():
    """A form is written for one number of axes: the mean along the first of two would be that of everything."""
    node = custom(2, "reduce_mean", [1], name="y", i_args=(0,))
    servable = load(graph_of([placeholder(1, "x", None)], [node]), "auto")
    assert "the number of axes of input 'x' is not known" in servable.notes[0]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    answer = servable.run(DEFAULT_SIGNATURE, {"x": x}, ["y"], SimpleRunContext())
    np.testing.assert_array_equal(answer["y"], x.mean(axis=0))


def test_a_form_that_knows_an_open_size_stays_with_numpy():
    """It was written for a made-up input of three columns, and others may have any number."""
    variables = [placeholder(1, "x", (None, None)), placeholder(2, "slopes", (None,))]
    servable = load(graph_of(variables, [custom(3, "prelu", [1, 2], name="y")]), "auto")
    for size in (2, 5):
        x, slopes = RANDOM.normal(size=(4, size)), RANDOM.uniform(size=size)
        fed = {"x": x.astype(np.float32), "slopes": slopes.astype(np.float32)}
        answer = servable.run(DEFAULT_SIGNATURE, fed, ["y"], SimpleRunContext())
        np.testing.assert_allclose(answer["y"], np.where(x < 0, x * slopes, x), rtol=1e-5)
    assert "is computed with NumPy" in servable.notes[0]


def test_a_shape_that_is_not_the_declared_one_is_computed_by_numpy():
    """GraphServer's clients may feed any, as to the server in C++."""
    servable = load(graph_of([placeholder(1, "x", (None, 3))], [custom(2, "neg", [1], name="y")]))
    x = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
    name, output = "1:0 x", "2:0 y"
    answer = servable.run(GRAPH_SIGNATURE, {name: x}, [output], SimpleRunContext())
    np.testing.assert_array_equal(answer[output], -x)


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # NumPy's word for it
@pytest.mark.parametrize("operation", ["reduce_mean", "any"])
def test_of_nothing_both_engines_make_the_same(operation):
    graph = graph_of([placeholder(1, "x", (None, None))], [custom(2, operation, [1], name="y", i_args=(1,))])
    fed = {"x": np.empty((2, 0), np.float32)}
    got, expected = (
        load(graph, engine).run(DEFAULT_SIGNATURE, fed, ["y"], SimpleRunContext())["y"]
        for engine in ("onnx", "numpy")
    )
    np.testing.assert_array_equal(got, expected)
