"""Which loader a SavedModel gets: models that one of the two cannot load, or cannot run."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from google.protobuf import text_format
from navi_tf.framework import saved_model_pb2, tf, tf1
from navi_tf.testing import edit, mlp_module, pair_graph, store_graph, store_module

from navi_core import Artifact, DType, ModelLoadError, NaviError

pytestmark = pytest.mark.integration

X = np.ones((2, 3), np.float32)


def named(name):
    def build():
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        return {name: x}, {"y": x + 1}

    return build


def reference_variable():
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    v = tf1.get_variable("v", initializer=[1.0, 2.0, 3.0], use_resource=False)
    return {"x": x}, {"y": x + v, "v": v}


def wrong_output_rank(meta_graph):
    del meta_graph.signature_def["serving_default"].outputs["y"].tensor_shape.dim[:]


def named_self():
    x, other = (tf1.placeholder(tf.float32, [None, 3], name=name) for name in ("x", "other"))
    return {"self": x, "other": other}, {"y": x + other}


@pytest.fixture(params=["keyword", "self", "reference variable", "wrong rank"])
def only_for_sessions(request, tmp_path):
    """Return a model that TensorFlow 2's loader cannot serve, and its answer to ones."""
    folder = tmp_path / "1"
    if request.param == "keyword":
        return store_graph(named("lambda"), folder), [2, 2, 2]
    if request.param == "self":
        return store_graph(named_self, folder), [2, 2, 2]
    if request.param == "reference variable":
        return store_graph(reference_variable, folder), [2, 3, 4]
    return edit(store_graph(named("x"), folder), wrong_output_rank), [2, 2, 2]


def test_session__serves_what_the_function_loader_cannot(load, only_for_sessions):
    artifact, row = only_for_sessions
    loaded = load(artifact)
    assert loaded.feed(dict.fromkeys(loaded.signature.inputs, X))["y"].tolist() == [row, row]
    assert loaded.signature.outputs["y"].shape == (None, 3)
    assert "loaded by the session loader; runs on the calling thread" in loaded.notes


def test_function__cannot_serve_it(load, only_for_sessions):
    """If it could, the other tests would prove nothing."""

    def load_and_run():
        loaded = load(only_for_sessions[0], loader="function")
        return loaded.feed(dict.fromkeys(loaded.signature.inputs, X))

    with pytest.raises(NaviError):
        load_and_run()


class Tables(tf.Module):
    """Variables, a table from a file, a table with content of its own, captured resources."""

    def __init__(self, folder):
        super().__init__()
        words = folder / "words.txt"
        words.write_text("a\nb\nc\n")
        self.words = tf.saved_model.Asset(str(words))
        self.static = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                self.words,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            -1,
        )
        self.mutable = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -5)
        self.mutable.insert(tf.constant(["a"]), tf.constant([77], tf.int64))
        self.v = tf.Variable([1.0, 2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
    def __call__(self, s):
        return {"line": self.static.lookup(s), "value": self.mutable.lookup(s), "v": self.v * 2}


@pytest.fixture(params=[False, True], ids=["with saver", "without saver"])
def tables(request, tmp_path):
    store_module(Tables(tmp_path), tmp_path / "saved" / "1", without_saver=request.param)
    moved = shutil.move(tmp_path / "saved" / "1", tmp_path / "1")  # assets are found where the model is now
    (tmp_path / "words.txt").unlink()
    return Artifact(name="model", version=1, path=moved), request.param


def check_tables(loaded):
    got = loaded.run(s=np.array([b"c", b"a", b"?"], object))
    assert got["line"].tolist() == [2, 0, -1]
    assert got["value"].tolist() == [-5, 77, -5]
    assert got["v"].tolist() == [2, 4, 6]


def test_auto__restores_tables_assets_and_variables(load, tables):
    artifact, without_saver = tables
    loaded = load(artifact)
    check_tables(loaded)
    expected = (
        "loaded by the function loader, because the session loader cannot: the SavedModel has no operators that "
        "restore its variables"
        if without_saver
        else "loaded by the session loader"
    )
    assert expected in loaded.notes


def test_function__restores_tables_assets_and_variables(load, tables):
    loaded = load(tables[0], loader="function")
    check_tables(loaded)
    assert loaded.notes == "loaded by the function loader, as the configuration says"


@pytest.mark.parametrize("loader", ["auto", "session", "function"])
def test_an_asset_that_is_missing_is_named_once(load, tables, loader):
    artifact, without_saver = tables
    if without_saver and loader != "function":
        pytest.skip("it is refused for its variables")
    (artifact.path / "assets" / "words.txt").unlink()
    with pytest.raises(ModelLoadError, match=r"version 1: assets/words.txt; No such file or directory\Z"):
        load(artifact, loader=loader)


def test_session__refuses_variables_that_it_cannot_restore(load, tables):
    artifact, without_saver = tables
    if without_saver:
        with pytest.raises(ModelLoadError, match="no operators that restore its variables"):
            load(artifact, loader="session")
    else:
        check_tables(load(artifact, loader="session"))


def test_session__of_tensorflow_1_tables(load, tmp_path):
    def build():
        x = tf1.placeholder(tf.string, [None], name="x")
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2]), -1)
        return {"x": x}, {"y": table.lookup(x)}

    loaded = load(store_graph(build, tmp_path / "1"))
    assert loaded.run(x=np.array([b"b", b"z"], object))["y"].tolist() == [2, -1]


def test_both_loaders_give_the_same_answers(load, tmp_path):
    artifact = store_module(mlp_module(), tmp_path / "1")
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    session, function = (load(artifact, loader=loader).run(x=x)["y"] for loader in ("session", "function"))
    np.testing.assert_allclose(session, function, rtol=1e-6, atol=1e-6)


def test_load__the_text_form(load, tmp_path):
    artifact = store_graph(pair_graph, tmp_path / "1")
    binary = artifact.path / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
    (artifact.path / "saved_model.pbtxt").write_text(text_format.MessageToString(saved_model))
    binary.unlink()
    for loader in ("session", "function"):
        loaded = load(artifact, loader=loader)
        assert loaded.run(a=X, b=X)["sum"].tolist() == [[2, 2, 2]] * 2


@pytest.mark.parametrize("loader", ["auto", "session", "function"])
def test_load__another_tag_set(load, tmp_path, loader):
    artifact = store_graph(pair_graph, tmp_path / "1", tags=("serve", "gpu"))
    loaded = load(artifact, saved_model_tags=("gpu", "serve"), loader=loader)
    assert loaded.run(a=X, b=X)["difference"].tolist() == [[0, 0, 0]] * 2
    with pytest.raises(ModelLoadError, match="serve") as caught:
        load(artifact, loader=loader)
    assert "gpu" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda path: (path / "saved_model.pb").write_bytes(b"\xff\xff"), "damaged|parse"),
        (lambda path: (path / "saved_model.pb").write_bytes(b""), "available tags|expected one of"),
        (lambda path: (path / "saved_model.pb").unlink(), "does not exist|no such file"),
        (lambda path: (path / "variables" / "variables.index").unlink(), "variables"),
    ],
    ids=["garbage", "empty", "gone", "no variables"],
)
def test_load__what_is_damaged_is_refused_in_one_line(load, tmp_path, spoil, expected):
    artifact = store_module(mlp_module(), tmp_path / "model" / "1")
    spoil(artifact.path)
    for loader in ("auto", "session", "function"):
        with pytest.raises(ModelLoadError, match=f"(?i){expected}") as caught:
            load(artifact, loader=loader)
        text = str(caught.value)
        assert text.startswith("model 'model' version 1: ")
        assert str(tmp_path) not in text
        assert "\n" not in text


def test_load__an_unknown_operator_says_what_helps(load, tmp_path):
    def rename(meta_graph):
        for node in meta_graph.graph_def.node:
            if node.op == "AddV2":
                node.op = "NobodyHasThis"

    with pytest.raises(ModelLoadError, match=r"NobodyHasThis.*custom_op_libraries"):
        load(edit(store_graph(pair_graph, tmp_path / "1"), rename))


def test_load__device_cpu(load, tmp_path):
    for loader in ("session", "function"):
        loaded = load(store_module(mlp_module(), tmp_path / loader), loader=loader, device="cpu")
        assert loaded.run(x=np.zeros((1, 16), np.float32))["y"].tolist() == [[0, 0, 0, 0]]
    assert loaded.signature.inputs["x"].dtype is DType.FLOAT32
