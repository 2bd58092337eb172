"""What a plan makes of a graph: what is returned, what is fed, what is left out, what numbers mean, where bytes lie."""

from __future__ import annotations

import random
import struct
import time

import flatbuffers
import numpy as np
import pytest
from navi_graphserver.errors import GraphError, OperationError
from navi_graphserver.evaluator import CancelledRunError, Evaluator
from navi_graphserver.flat.enums import Generation, OutputMode, VariableKind
from navi_graphserver.flat.errors import FlatBufferError
from navi_graphserver.flat.read_graph import read_graph
from navi_graphserver.flat.records import Address, FlatGraph, FlatNode, FlatVariable
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.operations.names import resolve
from navi_graphserver.operations.table import OPERATIONS, Operation
from navi_graphserver.plan import make_plan
from navi_graphserver.program import Loop, make_program
from navi_graphserver.testing import (
    affine_graph,
    constant,
    counting_graph,
    custom,
    graph_of,
    logic,
    placeholder,
)

ONE = np.ones(3, np.float32)


def three_nodes(**options):
    """x -> twice -> {sum, half}, a constant, and a trained variable that nothing takes."""
    variables = [
        placeholder(1, "x", (3,)),
        constant(2, "two", np.float32(2)),
        FlatVariable(
            address=Address(3), name="w", kind=VariableKind.VARIABLE, array=np.float32([7]), shape=(1,)
        ),
    ]
    nodes = [
        custom(6, "reduce_sum", [5], name="sum"),
        custom(5, "multiply", [1, 2], name="twice"),
        custom(7, "divide", [5, 2], name="half"),
    ]
    return graph_of(variables, nodes, **options)


# --- what comes back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "outputs", "expected"),
    [
        (OutputMode.IMPLICIT, (), [6, 7]),
        (OutputMode.IMPLICIT, (Address(5),), [6, 7]),
        (OutputMode.EXPLICIT, (Address(5), Address(1), Address(5, 1)), [5, 1]),
        (OutputMode.EXPLICIT_AND_IMPLICIT, (Address(7),), [7]),
        (OutputMode.VARIABLE_SPACE, (), [1, 2, 3, 6, 5, 7]),
        (OutputMode.OPTIMIZED, (Address(7),), []),
    ],
)
def test_output_modes(mode, outputs, expected):
    plan = make_plan(three_nodes(output_mode=mode, outputs=outputs))
    assert list(plan.outputs) == expected
    values = Evaluator(plan).run({Address(1): ONE}, plan.outputs)
    assert [address.node for address in values] == expected


@pytest.mark.parametrize("mode", [OutputMode.EXPLICIT, OutputMode.EXPLICIT_AND_IMPLICIT])
def test_an_output_that_does_not_exist_is_refused(mode):
    with pytest.raises(GraphError, match="the output 9:0 does not exist"):
        make_plan(three_nodes(output_mode=mode, outputs=(Address(9),)))


def test_without_a_configuration_the_mode_is_implicit():
    data = write_graph(three_nodes())
    builder = flatbuffers.Builder(0)
    builder.StartObject(6)
    builder.Finish(builder.EndObject())
    assert read_graph(data).output_mode is OutputMode.IMPLICIT
    assert read_graph(bytes(builder.Output())).output_mode is OutputMode.IMPLICIT


def test_every_output_of_a_wanted_node_is_returned():
    graph = graph_of([placeholder(1, "x", (4,))], [custom(2, "split", [1], i_args=(2, 0))])
    values = Evaluator(make_plan(graph)).run({Address(1): np.arange(4.0)}, [2])
    assert {str(address): array.tolist() for address, array in values.items()} == {
        "2:0": [0, 1],
        "2:1": [2, 3],
    }


# --- what is fed ----------------------------------------------------------------------------------------------


def test_a_placeholder_that_brings_a_value_keeps_it_until_it_is_fed():
    sample = FlatVariable(
        address=Address(1), name="x", kind=VariableKind.PLACEHOLDER, shape=(None,), array=np.float32([5])
    )
    plan = make_plan(graph_of([sample], [custom(2, "square", [1])]))
    (feed,) = plan.feeds.values()
    assert (feed.is_placeholder, feed.is_constant, feed.shape) == (True, False, (None,))
    evaluator = Evaluator(plan)
    assert not evaluator.constants, "what is meant to be fed is not computed beforehand"
    assert evaluator.run({}, [2])[Address(2)].tolist() == [25]
    assert evaluator.run({Address(1): np.float32([2, 3])}, [2])[Address(2)].tolist() == [4, 9]


@pytest.mark.parametrize("kind", [VariableKind.CONSTANT, VariableKind.VARIABLE])
def test_constants_and_trained_variables_can_be_replaced(kind):
    weights = FlatVariable(address=Address(2), name="w", kind=kind, array=np.float32([1, 2]), shape=(2,))
    nodes = [custom(3, "neg", [2]), custom(4, "add", [1, 3], name="y")]
    evaluator = Evaluator(make_plan(graph_of([placeholder(1, "x", (2,)), weights], nodes)))
    x = {Address(1): np.float32([10, 10])}
    assert Address(3) in evaluator.constants
    assert evaluator.run(x, [4])[Address(4)].tolist() == [9, 8]
    assert evaluator.run(x | {Address(2): np.float32([5, 5])}, [4])[Address(4)].tolist() == [5, 5]
    assert evaluator.run(x, [4])[Address(4)].tolist() == [9, 8]


# --- what is left out -----------------------------------------------------------------------------------------


def counted(monkeypatch, name):
    """Count how often an operation is computed."""
    own, calls = OPERATIONS[name], []

    def evaluate(inputs, arguments):
        calls.append(name)
        return own.evaluate(inputs, arguments)

    made = Operation(name=name, evaluate=evaluate, min_inputs=own.min_inputs, max_inputs=own.max_inputs)
    monkeypatch.setattr("navi_graphserver.plan.resolve", lambda node, generation: (
        made if node.op_name == name else resolve(node, generation)
    ))  # fmt: skip
    return calls


def test_nodes_that_nobody_asks_for_are_not_computed(monkeypatch):
    calls = counted(monkeypatch, "divide")
    evaluator = Evaluator(make_plan(three_nodes()))
    assert evaluator.run({Address(1): ONE}, [6])[Address(6)] == 6
    assert calls == []
    evaluator.run({Address(1): ONE}, [7])
    assert calls == ["divide"]
    program = make_program(make_plan(three_nodes()), [6])
    assert [item.id for item in program] == [5, 6]


def test_what_depends_on_constants_alone_is_computed_once(monkeypatch):
    calls = counted(monkeypatch, "add")
    graph = graph_of(
        [placeholder(1, "x", (2,)), constant(2, "c", np.float32([1, 2]))],
        [custom(3, "add", [2, 2]), custom(4, "multiply", [1, 3])],
    )
    evaluator = Evaluator(make_plan(graph))
    for _ in range(5):
        evaluator.run({Address(1): np.float32([1, 1])}, [4])
    assert calls == ["add"]


def test_what_fails_or_is_not_finite_beforehand_waits_until_somebody_asks():
    graph = graph_of(
        [placeholder(1, "x", (2,)), constant(2, "c", np.float32([0, -1]))],
        [
            custom(3, "Log", [2]),
            custom(4, "multiply", [1, 3], name="y"),
            custom(5, "reshape", [2], i_args=(-99, 7), name="bad"),
        ],
    )
    evaluator = Evaluator(make_plan(graph))
    answer = evaluator.run({Address(1): np.float32([1, 1])}, [4])[Address(4)]
    assert np.isneginf(answer[0])
    assert np.isnan(answer[1])
    with pytest.raises(OperationError, match="'bad'"):
        evaluator.run({}, [5])


# --- what numbers mean ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "family", "number", "name"),
    [
        (1, "TRANSFORM", 15, "tanh"),
        (2, "TRANSFORM_STRICT", 29, "tanh"),
        (1, "TRANSFORM", 0, "abs"),
        (2, "TRANSFORM_SAME", 0, "abs"),
        (1, "TRANSFORM", 33, "relu"),
        (2, "SCALAR", 39, "relu"),
        (1, "PAIRWISE", 5, "less"),
        (2, "PAIRWISE", 5, "reversesubtract"),
        (2, "PAIRWISE_BOOL", 2, "less"),
        (1, "PAIRWISE", 6, "multiply"),
        (2, "PAIRWISE", 3, "multiply"),
        (1, "SCALAR", 12, "minimum"),
        (2, "SCALAR", 13, "minimum"),
        (1, "BROADCAST", 7, "equals"),
        (2, "BROADCAST", 7, "pow"),
        (2, "BROADCAST_BOOL", 11, "less_equal"),
        (1, "ACCUMULATION", 1, "reduce_sum"),
        (2, "REDUCE_SAME", 0, "reduce_sum"),
        (2, "REDUCE_FLOAT", 0, "reduce_mean"),
        (2, "REDUCE_LONG", 0, "count_non_zero"),
        (2, "REDUCE_BOOL", 1, "all"),
        (1, "INDEX_ACCUMULATION", 0, "argmax"),
        (2, "INDEX_REDUCE", 1, "argmin"),
        (1, "SUMMARYSTATS", 1, "stdev"),
        (2, "SUMMARYSTATS", 0, "variance"),
        (2, "REDUCE_3", 2, "cosine_similarity"),
        (1, "ACCUMULATION3", 0, "manhattan"),
        (2, "TRANSFORM_STRICT", 53, "gelu"),
        (2, "TRANSFORM_ANY", 0, "assign"),
        (2, "RANDOM", 1, "identity"),
        (1, "CUSTOM", -273014250715117663, "matmul"),
        (2, "CUSTOM", -5703288138645919278, "divide"),
    ],
)
def test_numbers_of_both_generations(generation, family, number, name):
    node = FlatNode(id=1, family=family, op_number=number)
    assert resolve(node, Generation(generation)).name == name


def test_a_legacy_number_of_nothing_is_refused():
    nodes = [FlatNode(id=2, name="odd", family="PAIRWISE", op_number=999, inputs=(Address(1), Address(1)))]
    with pytest.raises(
        GraphError, match=r"node 'odd': the operation 'number 999' \(PAIRWISE\) is not served"
    ):
        make_plan(graph_of([placeholder(1, "x", ())], nodes))


def test_an_operation_that_is_not_served_is_refused_even_if_nobody_asks_for_it():
    nodes = [custom(2, "neg", [1], name="y"), custom(3, "lstmLayer", [1], name="unused")]
    graph = graph_of([placeholder(1, "x", ())], nodes, outputs=(Address(2),), output_mode=OutputMode.EXPLICIT)
    with pytest.raises(
        GraphError, match=r"node 'unused': the operation 'lstmLayer' \(CUSTOM\) is not served"
    ):
        make_plan(graph)


# --- loops ----------------------------------------------------------------------------------------------------


def test_a_loop_is_one_item_and_a_cycle_of_other_nodes_is_refused_wherever_it_is():
    program = make_program(make_plan(counting_graph()), [16])
    assert [type(item) for item in program] == [Loop]
    graph = counting_graph()
    cycle = [custom(30, "add", [1, 31]), custom(31, "add", [30, 1])]
    with pytest.raises(GraphError, match="a cycle that is no loop"):
        Evaluator(make_plan(graph_of(graph.variables, [*graph.nodes, *cycle])))
    with pytest.raises(GraphError, match="a cycle that is no loop"):
        Evaluator(make_plan(graph_of(graph.variables, [custom(4, "add", [1, 4])])))


def test_values_enter_and_leave_where_no_round_is_taken():
    nodes = [logic(4, 100, [1], i_args=(3,)), custom(5, "neg", [4]), logic(6, 90, [5], name="out")]
    values = Evaluator(make_plan(graph_of([placeholder(1, "x", ())], nodes))).run(
        {Address(1): np.float32(2)}, [6]
    )
    assert values[Address(6)] == -2


def test_a_deadline_ends_a_loop_that_never_ends():
    loop = counting_graph()
    graph = graph_of(loop.variables, [*loop.nodes, custom(20, "neg", [16])])
    started = time.monotonic()
    with pytest.raises(CancelledRunError):
        Evaluator(make_plan(graph)).run(
            {Address(1): np.float32(0), Address(2): np.float32(np.inf)},
            [20],
            lambda: time.monotonic() - started > 0.05,
        )
    assert time.monotonic() - started < 60


def test_the_first_generation_s_nodes_may_name_inputs_without_outputs():
    nodes = (
        FlatNode(id=2, name="y", family="TRANSFORM", op_number=6, inputs=(Address(1),)),
        FlatNode(id=3, name="z", family="SCALAR", op_number=2, inputs=(Address(2),), scalar=np.float32(3)),
    )
    variables = (FlatVariable(address=Address(1), name="x", shape=(2,)),)
    graph = read_graph(
        write_graph(FlatGraph(generation=Generation.GEN1, variables=variables, nodes=nodes), big_endian=True)
    )
    plan = make_plan(graph)
    (feed,) = plan.feeds.values()
    assert feed.is_placeholder
    assert Evaluator(plan).run({Address(1): np.float32([1, 2])}, [3])[Address(3)].tolist() == [-3, -6]


# --- where bytes lie ------------------------------------------------------------------------------------------


def places_of_offsets(data):
    """Return where the offsets of a graph's tables, vectors and strings lie: what a reader may follow."""
    size = len(data)
    found = []
    for place in range(0, size - 4, 4):
        (value,) = struct.unpack_from("<I", data, place)
        if 0 < value < size - place:
            found.append(place)
    return found


@pytest.mark.parametrize("graph", [affine_graph(), counting_graph()], ids=["affine", "loop"])
@pytest.mark.parametrize("wrong", ["itself", "beyond", "before", "huge"])
def test_offsets_that_point_to_themselves_or_out_of_the_bytes(graph, wrong):
    """Change every offset: each is refused with its place, or was no offset; the reader always comes to an end."""
    data, refused = write_graph(graph), []
    for place in places_of_offsets(data):
        value = {"itself": 0, "beyond": len(data) - place, "before": 2**32 - 4, "huge": 2**31 - 1}[wrong]
        changed = bytearray(data)
        struct.pack_into("<I", changed, place, value)
        try:
            read_graph(bytes(changed))
        except FlatBufferError as error:
            refused.append(error.place)
    assert len(refused) > 20
    assert all(place.startswith("graph") for place in refused)


def test_an_offset_to_itself_is_said_to_be_one():
    data = bytearray(write_graph(affine_graph()))
    messages = set()
    for place in places_of_offsets(bytes(data)):
        changed = bytearray(data)
        struct.pack_into("<I", changed, place, 0)
        try:
            read_graph(bytes(changed))
        except FlatBufferError as error:
            messages.add(str(error))
    assert any("points to itself" in message for message in messages)
    assert any(message.startswith("graph.nodes[0]") for message in messages)


def test_mutated_graphs_end_in_values_or_in_errors_that_are_known():
    """What is read is planned and run as well; nothing else than these errors comes out, and everything ends."""
    source, outcomes = random.Random(7), set()
    written = [write_graph(graph) for graph in (affine_graph(), counting_graph(), three_nodes())]
    for _ in range(1200):
        data = bytearray(source.choice(written))
        for _ in range(source.randint(1, 3)):
            data[source.randrange(len(data))] = source.choice((0, 1, 4, 127, 128, 255, source.randrange(256)))
        asked = iter(range(200))
        try:
            plan = make_plan(read_graph(bytes(data)))
            feeds = {address: np.ones(3, np.float32) for address in plan.feeds}
            Evaluator(plan).run(feeds, plan.outputs, lambda: next(asked, None) is None)  # noqa: B023 - runs now
            outcomes.add("values")
        except (FlatBufferError, GraphError, OperationError, CancelledRunError) as error:
            outcomes.add(type(error).__name__)
    assert outcomes >= {"values", "FlatBufferError", "GraphError"}
