"""The ONNX file reader against files that the onnx package wrote, whole and damaged."""

from __future__ import annotations

import mmap
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_onnx.model_file import read_model_facts
from navi_onnx.testing import build, identity_model, mlp_model, optional_input_model, zipmap_model
from onnx import TensorProto, helper, numpy_helper

from navi_core import DType, ExternalTensor, FileFormatError


def external(name="w", **entries):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def values(*names, shape=("n",)):
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]


def test_facts__unknown_rank_differs_from_a_scalar():
    assert read_model_facts(identity_model(DType.FLOAT32, None)).unranked == {"x", "y"}
    assert read_model_facts(identity_model(DType.FLOAT32, [])).unranked == set()
    assert read_model_facts(identity_model(DType.FLOAT32, [None])).unranked == set()


@pytest.mark.parametrize("labels", [(3, -1, 2**40), ("b", "a", "h\u00e4"), (0,)])
def test_facts__class_labels_in_column_order(labels):
    expected = tuple(label.encode() if isinstance(label, str) else label for label in labels)
    assert read_model_facts(zipmap_model(labels)).class_labels == {"probabilities": expected}


def test_facts__a_zipmap_of_another_domain_has_no_labels():
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="com.example", classlabels_int64s=[1, 2])
    assert read_model_facts(build([node], values("x"), values("y"))).class_labels == {}


def _external_cases():
    inputs, outputs = values("x"), values("y")
    tensor = external(location="w.bin", offset=8, length=12)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    yield "initializer", build([add], inputs, outputs, [tensor])

    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    yield "attribute", build([constant, add], inputs, outputs)

    branch = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "branch", [], outputs)
    condition = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    yield "subgraph", build([condition], inputs, outputs)

    inner = helper.make_graph([condition], "inner", [], outputs)
    outer = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    yield "subgraph of a subgraph", build([outer], inputs, outputs)

    indices = numpy_helper.from_array(np.array([0, 1, 2]), "indices")
    sparse = helper.make_sparse_tensor(tensor, indices, [3])
    model = onnx.load_from_string(build([add], inputs, outputs))
    model.graph.sparse_initializer.append(sparse)
    yield "sparse initializer", model.SerializeToString()

    node = helper.make_node("Constant", [], ["w"], sparse_value=sparse)
    yield "sparse attribute", build([node, add], inputs, outputs)

    many = helper.make_node("Several", [], ["w"], domain="com.example")
    many.attribute.append(helper.make_attribute("tensors", [tensor]))
    many.attribute.append(helper.make_attribute("graphs", [inner]))
    many.attribute.append(helper.make_attribute("sparse", [sparse]))
    yield "lists of attributes", build([many, add], inputs, outputs)

    model = onnx.load_from_string(build([add], inputs, outputs))
    model.functions.append(
        helper.make_function("com.example", "F", ["x"], ["w"], [constant], [helper.make_opsetid("", 21)])
    )
    yield "function", model.SerializeToString()

    function = model.functions[0]
    del function.node[:]
    function.attribute_proto.append(helper.make_attribute("default", tensor))
    yield "function's default attribute", model.SerializeToString()

    model = onnx.load_from_string(build([add], inputs, outputs))
    training = model.training_info.add()
    training.initialization.initializer.append(tensor)
    training.algorithm.initializer.append(tensor)
    yield "training information", model.SerializeToString()


@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in _external_cases()])
def test_facts__external_data_is_found_wherever_a_tensor_can_be(model):
    found = read_model_facts(model).external
    assert set(found) == {ExternalTensor("w", "w.bin", "8", "12")}


def test_facts__either_sign_of_external_data_counts():
    marked = TensorProto(name="marked", data_location=TensorProto.EXTERNAL)
    listed = external(name="listed", location="w.bin")
    listed.data_location = TensorProto.DEFAULT
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    model = build(
        nodes, values("x"), values("y"), [marked, listed, numpy_helper.from_array(np.ones(3), "in")]
    )
    assert read_model_facts(model).external == [
        ExternalTensor("marked", None),
        ExternalTensor("listed", "w.bin"),
    ]


def test_facts__long_lists_of_numbers_are_passed_over():
    """A tree ensemble's attributes: hundreds of thousands of numbers, one field each."""
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "y"],
        domain="ai.onnx.ml",
        nodes_values=[float(n) for n in range(100_000)],
        nodes_treeids=[*range(100_000), -1, 2**62],
        nodes_modes=["BRANCH_LEQ"] * 100,
    )
    tail = helper.make_node("Constant", [], ["w"], value=external(location="w.bin"))
    model = build([node, tail], values("x"), values("y", shape=None))
    facts = read_model_facts(model)
    assert facts.unranked == {"y"}
    assert [tensor.location for tensor in facts.external] == ["w.bin"]


def test_facts__a_mapped_file_is_read_like_bytes(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(zipmap_model([1, 2]))
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert read_model_facts(data) == read_model_facts(path.read_bytes())


def test_facts__of_deeply_nested_graphs_are_refused():
    graph = b""
    for _ in range(150):
        attribute = b"\x32" + _sized(graph)  # g
        graph = b"\x0a" + _sized(b"\x2a" + _sized(attribute))  # node { attribute }
    with pytest.raises(FileFormatError, match="nested"):
        read_model_facts(b"\x3a" + _sized(graph))


def _sized(data):
    length, out = len(data), bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*out, length]) + data


@pytest.mark.parametrize("data", [b"", b"\x08\x0a", b"\x08", b"garbage", b"\x3a\x05\x0a", b"\x00\x00"])
def test_facts__of_no_model_are_refused(data):
    with pytest.raises(FileFormatError):
        read_model_facts(data)


MODELS = [mlp_model(), optional_input_model(), zipmap_model(["a", "b"])]


@pytest.mark.parametrize("model", MODELS)
def test_facts__every_truncation_is_read_or_refused(model):
    refused = 0
    for cut in range(len(model)):
        try:
            read_model_facts(model[:cut])
        except FileFormatError:
            refused += 1
    assert refused > len(model) // 2


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODELS), st.data())
def test_facts__damaged_bytes_are_read_or_refused(model, data):
    damaged = bytearray(model)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FileFormatError):
        read_model_facts(bytes(damaged))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_facts__random_bytes_are_read_or_refused(data):
    with suppress(FileFormatError):
        read_model_facts(data)
