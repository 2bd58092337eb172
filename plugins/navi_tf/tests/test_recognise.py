"""Which artifacts are SavedModels, by name alone."""

from __future__ import annotations

import sys

import pytest
from navi_tf.runtime import TensorFlowRuntime

from navi_core import Artifact, LoadOptions, ModelLoadError


@pytest.fixture
def recognise():
    return TensorFlowRuntime().recognise


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_recognise__a_directory_with_the_graph(recognise, tmp_path, name):
    (tmp_path / name).touch()
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) == "saved_model"
    assert recognise(Artifact(name="m", version=1, path=tmp_path / name)) == "saved_model"


@pytest.mark.parametrize("name", ["model.pb", "frozen.pb", "saved_model.pb.tmp", "keras_metadata.pb"])
def test_recognise__no_other_file(recognise, tmp_path, name):
    (tmp_path / name).touch()
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) is None
    assert recognise(Artifact(name="m", version=1, path=tmp_path / name)) is None


def test_recognise__no_files_in_memory(recognise):
    assert recognise(Artifact(name="m", version=1, files={"saved_model.pb": b""})) is None


def test_estimate__counts_the_graph_and_the_variables(tmp_path):
    runtime = TensorFlowRuntime()
    artifact = Artifact(name="m", version=1, path=tmp_path)
    nothing = runtime.estimate_bytes(artifact)
    (tmp_path / "saved_model.pb").write_bytes(bytes(1000))
    graph = runtime.estimate_bytes(artifact)
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(5000))
    assert graph - nothing == 14_000
    assert runtime.estimate_bytes(artifact) - graph == 10_000
    file = Artifact(name="m", version=1, path=tmp_path / "saved_model.pb")
    assert runtime.estimate_bytes(file) == runtime.estimate_bytes(artifact)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("tensorflow", "TensorFlow is not installed; 'pip install tensorflow-cpu'"),
        ("google.protobuf", "TensorFlow is installed but cannot be imported"),
    ],
)
def test_load__without_tensorflow_says_what_to_install(monkeypatch, tmp_path, missing, expected):
    for name in [name for name in sys.modules if name.startswith("navi_tf.")]:
        if name not in ("navi_tf.runtime", "navi_tf.options", "navi_tf.flags", "navi_tf.plugin"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelLoadError, match=expected):
        TensorFlowRuntime().load(Artifact(name="m", version=1, path=tmp_path), LoadOptions())
