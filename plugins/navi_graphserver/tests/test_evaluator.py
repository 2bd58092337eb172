"""Computing graphs: known answers of third parties' files, branches, loops, what may be replaced, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from navi_graphserver.errors import GraphError, OperationError
from navi_graphserver.evaluator import CancelledRunError, Evaluator
from navi_graphserver.flat.enums import DType, Generation
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import Address, FlatGraph, FlatNode
from navi_graphserver.plan import make_plan
from navi_graphserver.testing import (
    affine_graph,
    constant,
    counting_graph,
    custom,
    graph_of,
    logic,
    placeholder,
)


def run(graph, wanted, feeds=None):
    fed = {Address(key): np.asarray(value) for key, value in (feeds or {}).items()}
    return Evaluator(make_plan(graph)).run(fed, wanted)


def test_known_answers(files):
    cases = json.loads((files / "cases.json").read_text())["cases"]
    tried = 0
    for case in cases:
        path = files / case["file"]
        if not path.exists():
            continue
        plan = make_plan(read_graph(path.read_bytes()))
        by_name = {feed.name: address for address, feed in plan.feeds.items()}
        feeds = {}
        for key, value in (case.get("feed") or {}).items():
            node, _, index = key.partition(":")
            address = by_name[key] if key in by_name else Address(int(node), int(index or 0))
            data = np.array(value["data"], value.get("dtype") or plan.feeds[address].dtype)
            feeds[address] = data.reshape(value["shape"])
        where = Address(*case["out"])
        answer = Evaluator(plan).run(feeds, [where.node])[where]
        assert list(answer.shape) == case["shape"], case["file"]
        np.testing.assert_allclose(
            np.ravel(answer).astype(float), np.ravel(case["expect"]), atol=2e-4, err_msg=case["file"]
        )
        tried += 1
    assert tried >= 8


def test_what_is_fed_and_what_is_replaced():
    graph = affine_graph()
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run(graph, [5], {1: x})[Address(5)], x * 2 + 1)
    replaced = run(graph, [5], {1: x, 2: np.float32(10)})
    np.testing.assert_array_equal(replaced[Address(5)], x * 10 + 1)
    with pytest.raises(OperationError, match="'multiply_4' \\(multiply\\): its input 'x' was not fed"):
        run(graph, [5])


def test_constants_are_folded_until_somebody_replaces_one():
    graph = graph_of(
        [constant(1, "a", np.float32([1, 2])), constant(2, "b", np.float32([3, 4]))],
        [custom(3, "add", [1, 2], name="sum"), custom(4, "multiply", [3, 3], name="square")],
    )
    evaluator = Evaluator(make_plan(graph))
    assert evaluator.run({}, [4])[Address(4)].tolist() == [16, 36]
    assert evaluator.run({Address(1): np.float32([0, 0])}, [4])[Address(4)].tolist() == [9, 16]
    assert evaluator.run({}, [4])[Address(4)].tolist() == [16, 36]


@pytest.mark.parametrize("operation", ["add_n", "mergemax", "biasadd"])
def test_constants_without_axes_are_folded_too(operation):
    graph = graph_of(
        [constant(1, "a", np.float32(2)), constant(2, "b", np.float32(3)), placeholder(3, "x", ())],
        [custom(4, operation, [1, 2], name="folded"), custom(5, "multiply", [4, 3], name="product")],
    )
    evaluator = Evaluator(make_plan(graph))
    folded = evaluator.constants[Address(4)]
    assert isinstance(folded, np.ndarray)
    assert not folded.flags.writeable
    assert evaluator.run({Address(3): np.float32(2)}, [5])[Address(5)] == 2 * folded


def test_a_branch_is_chosen_by_what_was_computed_without_axes():
    graph = graph_of(
        [placeholder(1, "x", ()), constant(2, "zero", np.float32(0))],
        [
            custom(3, "add_n", [1, 2]),
            logic(4, 30, [1, 3]),
            custom(5, "add", [Address(4, 1), 2], name="high"),
        ],
    )
    assert Address(5) in run(graph, [5], {1: np.float32(3)})
    assert Address(5) not in run(graph, [5], {1: np.float32(0)})


@pytest.mark.parametrize(("value", "expected"), [(1.0, 11.0), (-1.0, -2.0)])
def test_branches(value, expected):
    graph = graph_of(
        [placeholder(1, "x", ()), constant(2, "zero", np.float32(0)), constant(3, "ten", np.float32(10))],
        [
            custom(4, "greater", [1, 2]),
            logic(5, 30, [1, 4]),
            custom(6, "add", [Address(5, 1), 3], name="high"),
            custom(7, "add", [Address(5, 0), Address(5, 0)], name="low"),
            logic(8, 60, [7, 6], name="merged"),
        ],
    )
    values = run(graph, [8, 6, 7], {1: np.float32(value)})
    assert values[Address(8)] == expected
    assert (Address(6) in values) is (value > 0), "a branch that was not taken has no value"
    assert (Address(7) in values) is (value <= 0)


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_loops(limit):
    values = run(counting_graph(), [16], {1: np.float32(0), 2: np.float32(limit)})
    assert values[Address(16)] == limit


def test_loops_within_loops():
    """Add 1 to a sum, three times for each of four rounds."""
    outer, inner = 1, 2
    nodes = [
        logic(10, 100, [1], i_args=(outer,)),
        logic(11, 100, [1], i_args=(outer,)),
        logic(12, 60, [10, 38]),
        logic(13, 60, [11, 39]),
        custom(14, "less", [12, 2]),
        logic(15, 70, [14]),
        logic(16, 30, [12, 15]),
        logic(17, 30, [13, 15]),
        custom(18, "add", [Address(16, 1), 4]),
        logic(20, 100, [5], i_args=(inner,)),
        logic(21, 100, [Address(17, 1)], i_args=(inner,)),
        logic(22, 60, [20, 28]),
        logic(23, 60, [21, 29]),
        custom(24, "less", [22, 3]),
        logic(25, 70, [24]),
        logic(26, 30, [22, 25]),
        logic(27, 30, [23, 25]),
        custom(30, "add", [Address(26, 1), 4]),
        custom(31, "add", [Address(27, 1), 4]),
        logic(28, 80, [30]),
        logic(29, 80, [31]),
        logic(32, 90, [Address(27, 0)]),
        logic(38, 80, [18]),
        logic(39, 80, [32]),
        logic(40, 90, [Address(17, 0)], name="sum"),
    ]
    variables = [
        placeholder(1, "start", ()),
        constant(2, "rounds", np.float32(4)),
        constant(3, "times", np.float32(3)),
        constant(4, "one", np.float32(1)),
        constant(5, "zero", np.float32(0)),
    ]
    # the inner loop starts anew in every round: its counter comes from outside, its sum from the outer loop
    assert run(graph_of(variables, nodes), [40], {1: np.float32(0)})[Address(40)] == 12


def test_a_list_that_a_loop_fills():
    graph = counting_graph()
    nodes = [
        *graph.nodes,
        custom(20, "create_list", []),
        logic(21, 100, [20], i_args=(1,)),
        logic(22, 60, [21, 26]),
        logic(23, 30, [22, 14]),
        custom(24, "write_list", [Address(23, 1), Address(15, 1), Address(15, 1)]),
        logic(26, 80, [24]),
        logic(27, 90, [Address(23, 0)]),
        custom(28, "stack_list", [27], name="all"),
    ]
    values = run(graph_of(graph.variables, nodes), [28], {1: np.float32(0), 2: np.float32(4)})
    assert values[Address(28)].tolist() == [0, 1, 2, 3]


def test_a_loop_that_never_ends_is_left_when_nobody_waits():
    graph = counting_graph()
    feeds = {Address(1): np.float32(0), Address(2): np.float32(np.inf)}
    rounds = iter(range(1000))
    with pytest.raises(CancelledRunError):
        Evaluator(make_plan(graph)).run(feeds, [16], lambda: next(rounds) > 500)


def test_cycles_that_are_no_loops_are_refused():
    graph = graph_of([placeholder(1, "x", ())], [custom(2, "add", [1, 3]), custom(3, "add", [2, 1])])
    with pytest.raises(GraphError, match="part of a cycle that is no loop"):
        Evaluator(make_plan(graph))


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (custom(2, "ctc_loss", [1]), r"'ctc_loss_2': the operation 'ctc_loss' \(CUSTOM\) is not served"),
        (custom(2, "never_heard_of", [1]), "'never_heard_of'"),
        (custom(2, "add", [9]), "its input 9:0 does not exist"),
        (custom(2, "matmul", [1]), r"\(matmul\): 1 inputs; expected 2 to 3"),
        (logic(2, 10, [1]), "control flow by scopes"),
        (logic(2, 17, [1]), "17 is no operation of control flow"),
        (logic(2, 80, [1]), "is in no loop"),
    ],
)
def test_graphs_that_cannot_be_served(node, text):
    with pytest.raises(GraphError, match=text):
        Evaluator(make_plan(graph_of([placeholder(1, "x", ())], [node])))


def test_two_nodes_of_one_id_are_refused():
    graph = graph_of([placeholder(1, "x", ())], [custom(2, "add", [1, 1]), custom(2, "add", [1, 1])])
    with pytest.raises(GraphError, match="two nodes have the id 2"):
        make_plan(graph)


def test_errors_of_operations_name_the_node_and_no_values():
    graph = graph_of([placeholder(1, "x", (None, None))], [custom(2, "matmul", [1, 1], name="product")])
    with pytest.raises(OperationError, match=r"node 'product' \(matmul\)"):
        run(graph, [2], {1: np.full((2, 3), 12345.0, np.float32)})


@pytest.mark.parametrize("operation", ["fill", "tile", "range", "onehot", "broadcast_to", "pad", "eye"])
def test_sizes_are_checked_before_memory_is_taken(operation):
    huge = constant(2, "huge", np.array([2**40], np.int64))
    nodes = {
        "fill": custom(3, "fill", [2, 1]),
        "tile": custom(3, "tile", [1, 2]),
        "range": custom(3, "range", [], t_args=(0.0, 1e15, 1.0)),
        "onehot": custom(3, "onehot", [1, 2]),
        "broadcast_to": custom(3, "broadcast_to", [1, 2]),
        "pad": custom(3, "pad", [1, 4]),
        "eye": custom(3, "eye", [], i_args=(10**7, 10**7)),
    }
    variables = [placeholder(1, "x", (1,)), huge, constant(4, "sides", np.array([[0, 2**40]], np.int64))]
    with pytest.raises(OperationError, match=r"at most 1073741824 are made|bytes"):
        run(graph_of(variables, [nodes[operation]]), [3], {1: np.zeros(1, np.float32)})


def test_the_first_generation_has_one_type():
    variables = (constant(1, "x", np.float32([[1, 5, 2]])),)
    nodes = (
        FlatNode(id=2, family="INDEX_ACCUMULATION", op_number=0, inputs=(Address(1),), dimensions=(1,)),
        FlatNode(id=3, family="PAIRWISE", op_number=5, inputs=(Address(1), Address(1))),
    )
    graph = FlatGraph(generation=Generation.GEN1, variables=variables, nodes=nodes)
    values = run(graph, [2, 3])
    assert values[Address(2)].dtype == values[Address(3)].dtype == np.float32
    assert values[Address(2)].tolist() == [1]


def test_control_inputs_of_dead_nodes_are_dead():
    graph = graph_of(
        [
            placeholder(1, "flag", (), DType.BOOL),
            constant(2, "a", np.float32(1)),
            constant(3, "b", np.float32(2)),
        ],
        [
            logic(4, 30, [1, 1]),
            custom(5, "identity", [Address(4, 1)], name="when_true"),
            custom(6, "identity", [Address(4, 0)], name="when_false"),
            custom(7, "identity", [2], name="yes", control_inputs=("when_true",)),
            custom(8, "identity", [3], name="no", control_inputs=("when_false",)),
            logic(9, 60, [7, 8], name="chosen"),
        ],
    )
    assert run(graph, [9], {1: np.bool_(True)})[Address(9)] == 1
    assert run(graph, [9], {1: np.bool_(False)})[Address(9)] == 2
