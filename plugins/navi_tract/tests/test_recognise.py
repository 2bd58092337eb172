"""Which artifacts are tract's, by name alone; and who comes first."""

from __future__ import annotations

import pytest
from navi_tract.runtime import TractRuntime

from navi_core import Artifact


@pytest.fixture
def recognise():
    return TractRuntime().recognise


FILES = [
    ("model.onnx", "onnx"),
    ("model.nnef.tgz", "nnef"),
    ("model.nnef.tar.gz", "nnef"),
    ("model.nnef.tar", "nnef"),
    ("graph.nnef", "nnef"),
    ("other.onnx", None),
    ("other.nnef.tgz", None),
    ("model.pt", None),
]


@pytest.mark.parametrize(("name", "kind"), FILES)
def test_recognise__a_directory_or_files_in_memory_by_the_file_in_it(recognise, tmp_path, name, kind):
    (tmp_path / name).touch()
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) == kind
    assert recognise(Artifact(name="m", version=1, files={name: b""})) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("anything.onnx", "onnx"),
        ("anything.nnef.tgz", "nnef"),
        ("anything.nnef.tar", "nnef"),
        ("graph.nnef", None),
        ("anything.tgz", None),
        ("model.onnx.data", None),
    ],
)
def test_recognise__a_single_file_by_its_suffix(recognise, tmp_path, name, kind):
    (tmp_path / name).touch()
    assert recognise(Artifact(name="m", version=1, path=tmp_path / name)) == kind


def test_recognise__onnx_runtime_comes_first():
    onnx_runtime = pytest.importorskip("navi_onnx.runtime").OnnxRuntime
    assert TractRuntime.priority < onnx_runtime.priority


def test_estimate__is_three_times_the_files(tmp_path):
    (tmp_path / "model.onnx").write_bytes(bytes(1000))
    (tmp_path / "model.onnx.data").write_bytes(bytes(5000))
    assert TractRuntime().estimate_bytes(Artifact(name="m", version=1, path=tmp_path)) == 18_000
