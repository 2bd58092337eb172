"""What is read from an ONNX file before tract opens it."""

from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_tract.onnx_file import read_onnx_file, without_shapes_within
from navi_tract.onnx_graph import Declared
from navi_tract.testing import build, pair_model
from onnx import TensorProto, helper, numpy_helper

from navi_core import ExternalTensor, FileFormatError

FLOAT = TensorProto.FLOAT


def info(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def branching_model():
    """An If whose branches name an inner size, and hold a weight of their own."""
    weight = numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["b"])],
        "branch",
        [],
        [info("b", ["inner", 3])],
        [weight],
        value_info=[info("h", ["inner", 3])],
    )
    node = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)
    return build([node], [info("c", [], TensorProto.BOOL), info("x", ["n", 3])], [info("y", ["n", 3])])


def test_read__declared_tensors():
    model = build(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        [info("a", ["n", 3, None]), info("b", [], TensorProto.INT64), info("c", None)],
        [info("y", None)],
        [numpy_helper.from_array(np.zeros(3, np.float32), "c")],
    )
    file = read_onnx_file(model)
    assert file.graph.inputs == [
        Declared("a", FLOAT, ("n", 3, None)),
        Declared("b", TensorProto.INT64, ()),
        Declared("c", FLOAT, None),
    ]
    assert [each.name for each in file.inputs] == ["a", "b"], "an input with a default is a constant"
    assert file.graph.outputs == [Declared("y", FLOAT, None)]
    assert file.graph.initializers == {"c"}


def test_read__a_negative_size_is_none():
    x = info("x", [1, 3])
    x.type.tensor_type.shape.dim[0].dim_value = -1
    assert read_onnx_file(build([], [x], [])).graph.inputs == [Declared("x", FLOAT, (None, 3))]


@pytest.mark.parametrize("name", ["", "?", "-1", "None"])
def test_read__a_size_called_nothing_is_none(name):
    assert read_onnx_file(build([], [info("x", [name, name])], [])).graph.inputs[0].dims == (None, None)


def test_read__nodes_and_the_graphs_in_them():
    [node] = read_onnx_file(branching_model()).graph.nodes
    assert (node.op_type, node.name, node.inputs, node.outputs) == ("If", "choice", ["c"], ["y"])
    assert [[inner.op_type for inner in graph.nodes] for graph in node.graphs] == [["MatMul", "Relu"]] * 2
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)
    assert read_onnx_file(build([cast], [], [])).graph.nodes[0].to == TensorProto.INT64


def test_read__external_tensors_wherever_they_are():
    def external(name):
        tensor = TensorProto(name=name, data_type=FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", f"{name}.bin"), ("offset", "4"), ("length", "8")):
            tensor.external_data.add(key=key, value=value)
        return tensor

    inner = helper.make_graph([], "inner", [], [], [external("inner")])
    constant = helper.make_node("Constant", [], ["k"], value=external("constant"))
    model = build(
        [helper.make_node("If", ["c"], ["y"], then_branch=inner), constant], [], [], [external("main")]
    )
    found = read_onnx_file(model).external
    assert sorted(each.name for each in found) == ["constant", "inner", "main"]
    assert ExternalTensor("inner", "inner.bin", "4", "8") in found


def test_without_shapes_within__leaves_everything_else():
    model = branching_model()
    file = read_onnx_file(model)
    assert len(file.inner_shapes) == 2
    changed = bytes(without_shapes_within(model, file))
    assert read_onnx_file(changed).inner_shapes == []
    expected = onnx.ModelProto.FromString(model)
    for attribute in expected.graph.node[0].attribute:
        del attribute.g.value_info[:]
    got = onnx.ModelProto.FromString(changed)
    for attribute in got.graph.node[0].attribute:
        attribute.g.DiscardUnknownFields()
    assert got == expected


def test_without_shapes_within__keeps_sizes_that_are_numbers():
    relu = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    model = build(relu, [info("x", [2])], [info("y", [2])], value_info=[info("h", [2])])
    assert read_onnx_file(model).inner_shapes == []


@pytest.mark.parametrize("data", [b"", b"\x08\x01", b"not a model at all", b"\x3a\xff\xff\xff\xff\x0f"])
def test_read__what_is_no_model_is_refused(data):
    with pytest.raises(FileFormatError):
        read_onnx_file(data)


def test_read__two_graphs_are_refused():
    model = pair_model()
    with pytest.raises(FileFormatError, match="a second graph"):
        read_onnx_file(model + model)


def test_read__graphs_nested_too_deep_are_refused():
    def field(number, content):
        length = len(content)
        return bytes([number << 3 | 2, length & 0x7F | 0x80, length >> 7]) + content

    graph = b""
    for _ in range(101):  # a graph's node's attribute's graph
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(FileFormatError, match="nested more than 100 deep"):
        read_onnx_file(field(7, graph))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_read__damaged_files_are_read_or_refused(data):
    model = bytearray(branching_model())
    for _ in range(data.draw(st.integers(1, 4))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(model[: data.draw(st.integers(0, len(model)))])
    with contextlib.suppress(FileFormatError):
        read_onnx_file(damaged)
