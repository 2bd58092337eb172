"""Which artifacts are ONNX models, by name alone."""

from __future__ import annotations

import pytest
from navi_onnx.runtime import OnnxRuntime

from navi_core import Artifact


@pytest.fixture
def recognise():
    return OnnxRuntime().recognise


def test_recognise__a_directory_with_the_model_file(recognise, tmp_path):
    (tmp_path / "model.onnx").touch()
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) == "onnx"


def test_recognise__not_a_directory_with_another_onnx_file(recognise, tmp_path):
    (tmp_path / "other.onnx").touch()
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) is None


@pytest.mark.parametrize(
    ("name", "kind"), [("anything.onnx", "onnx"), ("model.onnx.data", None), ("model.pt", None)]
)
def test_recognise__a_single_file_by_its_suffix(recognise, tmp_path, name, kind):
    (tmp_path / name).touch()
    assert recognise(Artifact(name="m", version=1, path=tmp_path / name)) == kind


@pytest.mark.parametrize(
    ("files", "kind"), [({"model.onnx": b""}, "onnx"), ({"graph.onnx": b""}, None), ({}, None)]
)
def test_recognise__files_in_memory(recognise, files, kind):
    assert recognise(Artifact(name="m", version=1, files=files)) == kind


def test_estimate__is_twice_the_files(tmp_path):
    (tmp_path / "model.onnx").write_bytes(bytes(1000))
    (tmp_path / "model.onnx.data").write_bytes(bytes(5000))
    assert OnnxRuntime().estimate_bytes(Artifact(name="m", version=1, path=tmp_path)) == 12_000
