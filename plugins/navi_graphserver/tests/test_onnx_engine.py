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

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions, ModelLoadError
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
    "maxpool2d": None,
    "avgpool2d": None,
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
            graph_of([placeholder(1, "x", (None,))], [custom(2, "cumsum", [1], name="sums")]),
            "'sums': 'cumsum' has no form",
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
