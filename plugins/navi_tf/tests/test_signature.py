"""Signatures: which are served, what they declare, defaults, and the configuration's say."""

from __future__ import annotations

import numpy as np
import pytest
from navi_tf.framework import tf, tf1, types_pb2
from navi_tf.testing import edit, identity_graph, pair_graph, store_graph, store_module

from navi_core import DType, InputNamesError, ModelLoadError

pytestmark = pytest.mark.integration

X = np.ones((2, 3), np.float32)


def several():
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    s = tf1.placeholder(tf.string, name="s")
    return {
        "serving_default": ({"x": x}, {"y": x + 1}),
        "scaled": ({"x": x}, {"y": x * 2, "z": x * 3}),
        "lengths": ({"inputs": s}, {"lengths": tf.strings.length(s)}),
        "constants": ({}, {"pi": tf.constant(3.14), "words": tf.constant([b"a", b"b"])}),
    }


def test_describe__all_signatures_the_default_one_first(load, tmp_path):
    loaded = load(store_graph(several, tmp_path / "1"))
    signatures = loaded.servable.signatures
    assert list(signatures) == ["serving_default", "constants", "lengths", "scaled"]
    assert signatures["lengths"].inputs["inputs"].shape is None
    assert not signatures["lengths"].batchable
    assert signatures["scaled"].batchable
    assert list(signatures["scaled"].outputs) == ["y", "z"]
    assert loaded.run(key="scaled", x=X)["z"].tolist() == [[3, 3, 3]] * 2
    assert loaded.run(key="lengths", inputs=np.array([[b"abc"], [b""]], object))["lengths"].tolist() == [
        [3],
        [0],
    ]


def test_describe__a_signature_without_inputs_is_never_batched(load, tmp_path):
    loaded = load(store_graph(several, tmp_path / "1"))
    constants = loaded.servable.signatures["constants"]
    assert not constants.batchable
    assert constants.not_batchable_because == "it has no inputs"
    got = loaded.run(key="constants")
    assert got["pi"].shape == ()
    assert got["pi"] == np.float32(3.14)
    assert got["words"].tolist() == [b"a", b"b"]


def test_describe__the_initialisation_of_tensorflow_2_is_no_signature(load, tmp_path):
    module = tf.Module()
    module.v = tf.Variable(1.0)
    function = tf.function(
        lambda x: {"y": x + module.v}, input_signature=[tf.TensorSpec([None], tf.float32, "x")]
    )
    loaded = load(store_module(module, tmp_path / "1", signatures={"serving_default": function}))
    assert list(loaded.servable.signatures) == ["serving_default"]
    assert "left out" not in loaded.notes


def test_describe__without_a_default_signature(load, tmp_path):
    def build():
        return {"other": pair_graph()}

    artifact = store_graph(build, tmp_path / "1")
    loaded = load(artifact)
    assert list(loaded.servable.signatures) == ["other"]
    assert "there is no signature 'serving_default', so requests must name one of {other}" in loaded.notes
    chosen = load(artifact, load={"signature": "other"})
    assert list(chosen.servable.signatures) == ["serving_default", "other"]
    assert chosen.run(a=X, b=X)["sum"].tolist() == [[2, 2, 2]] * 2


def test_describe__the_configuration_chooses_the_default_one(load, tmp_path):
    loaded = load(store_graph(several, tmp_path / "1"), load={"signature": "scaled", "outputs": ("z",)})
    assert list(loaded.signature.outputs) == ["z"]
    assert list(loaded.servable.signatures["scaled"].outputs) == ["y", "z"]
    assert loaded.run(x=X)["z"].tolist() == [[3, 3, 3]] * 2
    with pytest.raises(ModelLoadError, match=r"expected one of {constants, .*}, got 'nothing'"):
        load(store_graph(several, tmp_path / "2"), load={"signature": "nothing"})


def test_describe__no_signature_at_all(load, tmp_path):
    module = tf.Module()
    module.v = tf.Variable(1.0)
    module.f = tf.function(lambda x: x + module.v)
    module.f(tf.constant(1.0))
    with pytest.raises(ModelLoadError, match=r"no signature that can be served; export it with signatures="):
        load(store_module(module, tmp_path / "1"))


# --- what cannot be served ----------------------------------------------------------------------------


def sparse_and_dense():
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    sparse = tf1.sparse_placeholder(tf.float32, name="sparse")
    return {
        "serving_default": ({"x": x}, {"y": x + 1}),
        "sparse": ({"s": sparse}, {"y": tf.sparse.to_dense(sparse)}),
        "quantised": (
            {"x": x},
            {"y": tf.cast(x, tf.float64), "q": tf.quantization.quantize(x, 0.0, 1.0, tf.qint8)[0]},
        ),
    }


def test_describe__what_navi_cannot_carry_is_left_out_with_a_note(load, tmp_path):
    artifact = store_graph(sparse_and_dense, tmp_path / "1")
    loaded = load(artifact)
    assert list(loaded.servable.signatures) == ["serving_default"]
    assert (
        "signature 'sparse' is left out: input 's': expected a dense tensor, got a sparse tensor"
        in loaded.notes
    )
    assert "signature 'quantised' is left out: output 'q': expected one of {bool" in loaded.notes
    assert "got qint8" in loaded.notes
    assert loaded.run(x=X)["y"].tolist() == [[2, 2, 2]] * 2


def test_describe__what_the_configuration_asks_for_must_be_servable(load, tmp_path):
    artifact = store_graph(sparse_and_dense, tmp_path / "1")
    for name, expected in (("sparse", "got a sparse tensor"), ("quantised", "output 'q'")):
        with pytest.raises(ModelLoadError, match=f"signature '{name}': .*{expected}"):
            load(artifact, load={"signature": name})
    rescued = load(artifact, load={"signature": "quantised", "outputs": ("y",)})
    assert rescued.run(x=X)["y"].dtype == np.float64


def test_describe__tensors_that_the_graph_does_not_have(load, tmp_path):
    def spoil(meta_graph):
        definitions = meta_graph.signature_def
        definitions["gone"].CopyFrom(definitions["serving_default"])
        definitions["gone"].outputs["sum"].name = "nothing:0"
        definitions["other dtype"].CopyFrom(definitions["serving_default"])
        definitions["other dtype"].inputs["a"].dtype = types_pb2.DT_INT64
        definitions["operation"].CopyFrom(definitions["serving_default"])
        definitions["operation"].outputs["sum"].name = "add"
        definitions["empty"].inputs["a"].CopyFrom(definitions["serving_default"].inputs["a"])

    loaded = load(edit(store_graph(pair_graph, tmp_path / "1"), spoil))
    assert list(loaded.servable.signatures) == ["serving_default"]
    for note in (
        "signature 'gone' is left out: output 'sum': the graph has no tensor 'nothing:0'",
        "signature 'other dtype' is left out: input 'a': it is declared as int64 and is float32 in the graph",
        "signature 'operation' is left out: output 'sum': the graph has no tensor 'add'",
        "signature 'empty' is left out: it has no outputs",
    ):
        assert note in loaded.notes


# --- shapes --------------------------------------------------------------------------------------------


def test_describe__a_wrong_declared_shape_gives_way_to_the_graph_s(load, tmp_path):
    def spoil(meta_graph):
        del meta_graph.signature_def["serving_default"].inputs["a"].tensor_shape.dim[:]

    loaded = load(edit(store_graph(pair_graph, tmp_path / "1"), spoil))
    assert loaded.signature.inputs["a"].shape == (None, 3)
    assert loaded.signature.batchable
    assert "input 'a' is declared with shape () and has (?, 3) in the graph, which counts" in loaded.notes


def test_describe__declared_shapes_can_be_ignored(load, tmp_path):
    artifact = store_graph(identity_graph(DType.FLOAT32, []), tmp_path / "1")
    assert load(artifact).signature.inputs["x"].shape == ()
    loaded = load(artifact, ignore_declared_shapes=True)
    assert loaded.signature.inputs["x"].shape is None
    assert loaded.run(x=X)["y"].tolist() == X.tolist()


def test_describe__the_method_name_is_the_file_s(load, tmp_path):
    def regress(meta_graph):
        meta_graph.signature_def["serving_default"].method_name = "tensorflow/serving/regress"

    loaded = load(edit(store_graph(pair_graph, tmp_path / "1"), regress))
    assert loaded.signature.method_name == "tensorflow/serving/regress"


# --- restricting --------------------------------------------------------------------------------------


def test_describe__inputs_can_be_ordered_not_left_out(load, tmp_path):
    artifact = store_graph(pair_graph, tmp_path / "1")
    loaded = load(artifact, load={"inputs": ("b", "a")})
    assert list(loaded.signature.inputs) == ["b", "a"]
    assert loaded.run(a=2 * X, b=X)["difference"].tolist() == [[1, 1, 1]] * 2
    with pytest.raises(ModelLoadError, match="inputs: 'b' cannot be left out, the model has no default"):
        load(artifact, load={"inputs": ("a",)})
    with pytest.raises(ModelLoadError, match=r"outputs: expected some of {difference, sum}, got 'nothing'"):
        load(artifact, load={"outputs": ("nothing",)})


# --- defaults ------------------------------------------------------------------------------------------


def with_default(name, value):
    def change(meta_graph):
        proto = tf.make_tensor_proto(value)
        meta_graph.signature_def["serving_default"].defaults[name].CopyFrom(proto)

    return change


def test_defaults__of_the_signature(load, tmp_path):
    artifact = edit(
        store_graph(pair_graph, tmp_path / "1"), with_default("b", np.full((1, 3), 5, np.float32))
    )
    loaded = load(artifact)
    spec = loaded.signature.inputs["b"]
    assert spec.optional
    assert spec.default.tolist() == [[5, 5, 5]]
    assert not spec.default.flags.writeable
    assert loaded.run(a=X)["sum"].tolist() == [[6, 6, 6]] * 2
    assert loaded.run(a=X, b=X)["sum"].tolist() == [[2, 2, 2]] * 2
    with pytest.raises(InputNamesError, match=r"missing {a}"):
        loaded.run(b=X)
    only_a = load(artifact, load={"inputs": ("a",)})
    assert list(only_a.signature.inputs) == ["a"]
    assert only_a.run(a=X)["sum"].tolist() == [[6, 6, 6]] * 2
    with pytest.raises(InputNamesError, match=r"unknown {b}"):
        only_a.run(a=X, b=X)


def test_defaults__of_the_signature_by_the_function_loader(load, tmp_path):
    def add(x, bias):
        return {"y": x + bias}

    specs = [tf.TensorSpec([None, 3], tf.float32, "x"), tf.TensorSpec([3], tf.float32, "bias")]
    module = tf.Module()
    function = tf.function(add, input_signature=specs)
    artifact = store_module(module, tmp_path / "1", signatures={"serving_default": function})
    edit(artifact, with_default("bias", np.array([1, 2, 3], np.float32)))
    for loader in ("session", "function"):
        loaded = load(artifact, loader=loader)
        assert loaded.signature.batchable, "a default without rows does not keep a model from batching"
        assert loaded.run(x=X)["y"].tolist() == [[2, 3, 4]] * 2


def test_defaults__of_strings(load, tmp_path):
    def build():
        s = tf1.placeholder(tf.string, [], name="s")
        return {"s": s}, {"y": tf.strings.join([s, "!"])}

    loaded = load(edit(store_graph(build, tmp_path / "1"), with_default("s", b"hello")))
    assert loaded.run()["y"].tolist() == b"hello!"


def test_defaults__of_a_placeholder(load, tmp_path):
    def build():
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        training = tf1.placeholder_with_default(False, [], name="training")
        return {"x": x, "training": training}, {"y": tf.where(training, x * 0, x + 1)}

    loaded = load(store_graph(build, tmp_path / "1"))
    assert loaded.signature.inputs["training"].default == np.array(False)
    assert loaded.signature.batchable
    assert loaded.run(x=X)["y"].tolist() == [[2, 2, 2]] * 2
    assert loaded.run(x=X, training=np.array(True))["y"].tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((1, 3), np.float64), "expected float32 (?, 3), got float64 (1, 3)"),
        (np.zeros((1, 4), np.float32), "expected float32 (?, 3), got float32 (1, 4)"),
    ],
)
def test_defaults__that_do_not_fit_are_ignored(load, tmp_path, value, expected):
    loaded = load(edit(store_graph(pair_graph, tmp_path / "1"), with_default("b", value)))
    assert f"the default of input 'b' is ignored: {expected}" in loaded.notes
    assert not loaded.signature.inputs["b"].optional


@pytest.mark.parametrize("sizes", [(1 << 40, 3), (-5, 3)])
def test_defaults__of_absurd_size_take_no_memory(load, tmp_path, sizes):
    def change(meta_graph):
        proto = meta_graph.signature_def["serving_default"].defaults["b"]
        proto.dtype = types_pb2.DT_FLOAT
        proto.float_val.append(1.0)
        for size in sizes:
            proto.tensor_shape.dim.add().size = size

    loaded = load(edit(store_graph(pair_graph, tmp_path / "1"), change))
    assert "the default of input 'b' is ignored: expected at most 1048576 elements" in loaded.notes
