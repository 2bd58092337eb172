"""Loads: what is refused and how it is said, how a model is planned, what the signature shows."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from navi_tract.rehearsal import rehearse
from navi_tract.testing import build, fixed_model, identity_model, mlp_model, node_model, pair_model, store
from onnx import TensorProto, helper, numpy_helper

from navi_core import Artifact, DType, ModelLoadError

pytestmark = pytest.mark.integration

F, I64 = TensorProto.FLOAT, TensorProto.INT64


def info(name, shape, kind=F):
    return helper.make_tensor_value_info(name, kind, shape)


def lstm_model():
    """A recurrent network over (5, batch, 3): tract 0.23 panics where the batch size is a symbol."""
    weights = [("w", np.full((1, 8, 3), 0.1, np.float32)), ("r", np.full((1, 8, 2), 0.1, np.float32))]
    return node_model("LSTM", [("x", F, [5, "batch", 3])], initializers=weights, hidden_size=2)


def pooling_model():
    return node_model("MaxPool", [("x", F, ["n", 1, "h", "w"])], kernel_shape=[3, 3])


def third_column_model():
    """``y = x[:1, 2:3]``: tract panics where there is no such column."""
    return node_model("GatherElements", [("x", F, ["n", "m"])], initializers=[("i", np.array([[2]]))], axis=1)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", [DType.STRING, DType.BFLOAT16, DType.COMPLEX64, DType.FLOAT8_E5M2, DType.FLOAT8_E4M3FN]
)
def test_load__dtypes_that_tract_does_not_carry_are_named(load, dtype):
    names = {DType.FLOAT8_E4M3FN: "FLOAT8E4M3FN", DType.FLOAT8_E5M2: "FLOAT8E5M2"}
    kind = getattr(TensorProto, names.get(dtype, dtype.upper()))
    model = build(
        [helper.make_node("Identity", ["x"], ["y"])], [info("x", ["n"], kind)], [info("y", ["n"], kind)]
    )
    with pytest.raises(ModelLoadError, match=f"input 'x': expected a tensor of .*, got {dtype}, which tract"):
        load(model)


def test_load__an_output_of_strings_is_named(load):
    model = node_model("Cast", [("x", F, ["n"])], output_type=TensorProto.STRING, to=TensorProto.STRING)
    with pytest.raises(ModelLoadError, match=r"output 'y': expected a tensor of .*, got string"):
        load(model)


def test_load__an_operator_that_tract_lacks_is_named(load):
    model = build(
        [
            helper.make_node(
                "ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1], name="zip"
            )
        ],
        [info("x", ["n", 2])],
        [info("y", None)],
    )
    with pytest.raises(ModelLoadError, match=r"model.onnx: tract has no operator ZipMap \(node 'zip'\)$"):
        load(model)


@pytest.mark.parametrize("rehearse", [False, True])
def test_load__texts_are_one_line_without_backtraces_and_paths(load, tmp_path, rehearse):
    model = build([helper.make_node("Relu", ["nowhere"], ["y"])], [info("x", ["n"])], [info("y", ["n"])])
    with pytest.raises(ModelLoadError) as caught:
        load(store(model, tmp_path / "broken"), rehearse=rehearse)
    text = str(caught.value)
    for leak in ("backtrace", "anyhow", "ffi_call", "\n", str(tmp_path), "panicked"):
        assert leak not in text
    assert text.startswith("model 'model' version 1: model.onnx: ")


def test_load__an_empty_file_and_a_missing_one(load, tmp_path):
    with pytest.raises(
        ModelLoadError, match=r"model.onnx: expected a model that tract reads, but it is empty"
    ):
        load(b"")
    with pytest.raises(ModelLoadError, match="no such file"):
        load(Artifact(name="m", version=1, path=tmp_path / "nowhere.onnx"))
    with pytest.raises(ModelLoadError):
        load(Artifact(name="m", version=1, path=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no tar archive"), (b"\x1f\x8bnot gzip", "no tar archive"), (b"x" * 2000, "no tar")],
)
def test_load__damaged_archives(load, content, why):
    with pytest.raises(ModelLoadError, match=why):
        load(Artifact(name="m", version=1, files={"model.nnef.tgz": content}))


def test_load__names_of_files_in_memory_stay_inside(load):
    files = {"graph.nnef": b"", "../outside.dat": b""}
    with pytest.raises(ModelLoadError, match=r"'../outside.dat': expected a relative path"):
        load(Artifact(name="m", version=1, files=files))


def test_load__a_model_that_ends_the_process_is_refused(load):
    """An output that nobody makes is a panic in tract, which nothing can catch."""
    model = build([helper.make_node("Relu", ["x"], ["y"])], [info("x", ["n"])], [info("z", ["n"])])
    with pytest.raises(ModelLoadError, match=r"tract ends the process: .* \(onnx/src/model.rs\)"):
        load(model, rehearse=True)


def test_load__signatures_and_inputs_that_are_not_there(load):
    with pytest.raises(ModelLoadError, match="a model has one, 'serving_default', got 'other'"):
        load(pair_model(), load={"signature": "other"})
    with pytest.raises(ModelLoadError, match="'b' cannot be left out"):
        load(pair_model(), load={"inputs": ("a",)})


# --- planning -------------------------------------------------------------------------------------


def test_plan__one_serves_any_number_of_rows(load):
    loaded = load(mlp_model(), rehearse=True)
    assert loaded.signature.batchable
    assert list(loaded.servable.notes) == ["one plan serves any number of rows"]
    for rows in (1, 7, 0, 300):
        assert loaded.run(x=np.ones((rows, 16), np.float32))["y"].shape == (rows, 4)


@pytest.mark.parametrize("rehearse", [False, True])
def test_plan__any_rank_and_any_size(load, rehearse):
    loaded = load(identity_model(DType.FLOAT32, None), rehearse=rehearse)
    assert loaded.signature.inputs["x"].shape is None
    assert not loaded.signature.batchable
    for shape in ((), (3,), (2, 3)):
        x = np.ones(shape, np.float32)
        np.testing.assert_array_equal(loaded.run(x=x)["y"], x)


def test_plan__names_of_sizes_may_be_anything(load):
    for name in ("batch size", "batch-size", "2*N", "min", "\u4f60", "x" * 300):
        loaded = load(identity_model(DType.FLOAT32, [name, 3]))
        assert loaded.signature.inputs["x"].shape == loaded.signature.outputs["y"].shape == (name, 3)
        assert loaded.signature.batchable
        assert loaded.run(x=np.ones((5, 3), np.float32))["y"].shape == (5, 3)


def test_plan__sizes_within_the_graph_may_be_called_otherwise(load):
    """Exporters name them as they please, and tract takes that for a contradiction."""
    weight = numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    model = build(
        nodes, [info("x", ["n", 3])], [info("y", ["m", 4])], [weight], value_info=[info("h", ["k", 4])]
    )
    loaded = load(model)
    assert loaded.signature.outputs["y"].shape == ("n", 4), "what tract infers is right"
    assert loaded.run(x=np.ones((5, 3), np.float32))["y"].tolist() == [[3.0] * 4] * 5


def test_plan__unnamed_leading_sizes_are_rows_where_the_outputs_agree(load):
    loaded = load(pair_model(None))
    assert loaded.signature.batchable
    assert loaded.signature.inputs["a"].shape == loaded.signature.outputs["sum"].shape == (None, 3)


def test_plan__unnamed_leading_sizes_that_are_no_rows_are_free(load):
    model = node_model("Einsum", [("a", F, [None, 3]), ("b", F, [None, 3])], equation="ik,jk->ij")
    loaded = load(model)
    assert loaded.signature.not_batchable_because == ""
    # ... since tract infers (rows, rows); a model that stacks its inputs does not batch:
    stacked = load(node_model("Concat", [("a", F, [None, 3]), ("b", F, [None, 3])], axis=0))
    assert "2*rows" in stacked.signature.not_batchable_because
    a, b = np.zeros((2, 3), np.float32), np.ones((4, 3), np.float32)
    assert stacked.run(a=a, b=b)["y"].shape == (6, 3)


def test_plan__what_tract_cannot_plan_for_any_number_of_rows_is_planned_for_each(load):
    """A symbolic batch size in a recurrent network ends the process, in the rehearsal only."""
    loaded = load(lstm_model(), rehearse=True)
    assert any("tract has no plan for sizes that are not known" in note for note in loaded.servable.notes)
    for rows in (1, 3):
        assert loaded.run(x=np.ones((5, rows, 3), np.float32))["y"].shape == (5, 1, rows, 2)


def test_plan__shapes_given_are_planned_when_the_model_loads(load, monkeypatch):
    loaded = load(pooling_model(), shapes=({"x": (1, 1, 8, 8)},))
    monkeypatch.setattr("navi_tract.plans.make_plan", None)  # nothing can be planned any more
    assert loaded.run(x=np.ones((1, 1, 8, 8), np.float32))["y"].shape == (1, 1, 6, 6)
    with pytest.raises(TypeError):
        loaded.run(x=np.ones((1, 1, 9, 9), np.float32))


def test_plan__shapes_given_that_do_not_fit_fail_the_load(load):
    with pytest.raises(ModelLoadError, match=r"expected the inputs {x}, got {z}"):
        load(pooling_model(), shapes=({"z": (1,)},))
    with pytest.raises(ModelLoadError, match="input 'x': expected shape"):
        load(pooling_model(), shapes=({"x": (1, 2, 8, 8)},))
    with pytest.raises(ModelLoadError, match="tract ends the process"):
        load(third_column_model(), shapes=({"x": (2, 2)},), rehearse=True)


def test_plan__rows_too_where_asked_for(load):
    loaded = load(mlp_model(), plan_rows=True)
    assert loaded.signature.batchable
    for rows in (1, 2, 5):
        assert loaded.run(x=np.ones((rows, 16), np.float32))["y"].shape == (rows, 4)


def test_plan__inputs_with_a_default_are_constants(load):
    default = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "bias")
    model = build(
        [helper.make_node("Add", ["x", "bias"], ["y"])],
        [info("x", ["n", 3]), info("bias", [3])],
        [info("y", ["n", 3])],
        [default],
    )
    loaded = load(model)
    assert list(loaded.signature.inputs) == ["x"]
    assert "inputs with a default are constants for tract: bias" in loaded.servable.notes
    assert loaded.run(x=np.zeros((1, 3), np.float32))["y"].tolist() == [[1, 2, 3]]


def test_plan__integers_made_from_floats_are_int64(load):
    """tract keeps them as integers of its own kind, which its binding does not carry."""
    loaded = load(node_model("Cast", [("x", F, ["n"])], output_type=I64, to=I64))
    assert loaded.signature.outputs["y"].dtype is DType.INT64
    got = loaded.run(x=np.array([2.7, -3.2], np.float32))["y"]
    assert (got.dtype, got.tolist()) == (np.int64, [2, -3])


# --- files and processes --------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_files__in_memory_are_written_for_the_load_only(load, temporary):
    loaded = load(Artifact(name="m", version=1, files={"model.onnx": mlp_model(), "other": b"x"}))
    assert list(temporary.iterdir()) == []
    assert loaded.run(x=np.ones((2, 16), np.float32))["y"].shape == (2, 4)


def test_files__stay_while_plans_are_made_from_them(load, temporary):
    loaded = load(Artifact(name="m", version=1, files={"model.onnx": pooling_model()}))
    assert len(list(temporary.iterdir())) == 1
    assert loaded.run(x=np.ones((1, 1, 4, 4), np.float32))["y"].shape == (1, 1, 2, 2)
    loaded.servable.close()
    assert list(temporary.iterdir()) == []


def test_files__are_removed_when_a_load_fails(load, temporary):
    for model in (pair_model()[:-9], lstm_model().replace(b"LSTM", b"XSTM")):
        with pytest.raises(ModelLoadError):
            load(Artifact(name="m", version=1, files={"model.onnx": model}))
    assert list(temporary.iterdir()) == []


def test_rehearsal__an_interpreter_that_cannot_start_is_noted(load, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    loaded = load(fixed_model(), rehearse=True)
    assert any("not tried in a process of their own" in note for note in loaded.servable.notes)


def test_rehearsal__an_interpreter_without_tract_is_noted(load, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    loaded = load(pooling_model(), rehearse=True, shapes=({"x": (1, 1, 4, 4)},))
    notes = [note for note in loaded.servable.notes if "could not import tract" in note]
    if sys.prefix == sys.base_prefix:
        assert len(notes) == 1
    assert loaded.run(x=np.ones((1, 1, 4, 4), np.float32))["y"].shape == (1, 1, 2, 2)


def test_rehearsal__reports_how_far_it_came(tmp_path):
    store(third_column_model(), tmp_path)
    job = {"kind": "onnx", "path": str(tmp_path / "model.onnx"), "facts": {"x": "5,5,f32"}, "symbols": {}}
    report = rehearse(job, [[("float32", (5, 5))], [("float32", (5, 5))]])
    assert (report.runs, report.died, report.error) == (2, False, "")
    assert report.outputs[0]["dims"] == ["1", "1"]
    report = rehearse({**job, "facts": {"x": "2,2,f32"}}, [[("float32", (2, 2))]])
    assert report.died
    assert "panicked at" in report.error
    assert Path(job["path"]).exists()
