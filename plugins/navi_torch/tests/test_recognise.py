"""Which artifacts are torch's, and of which kind: by names and bytes, nothing is opened by torch."""

from __future__ import annotations

import io
import pickle

import pytest
import torch
from navi_torch.runtime import TorchRuntime
from navi_torch.testing import Mlp, exported, scripted

from navi_core import Artifact


@pytest.fixture
def recognise():
    return TorchRuntime().recognise


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


CONTENTS = {
    "torchscript": lambda: scripted(Mlp()),
    "torch_export": lambda: exported(Mlp(), torch.zeros(3, 16)),
    "pickle": lambda: saved(Mlp()),
    "unknown": lambda: b"neither zip nor pickle",
}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("name", ["model.pt", "model.pt2"])
def test_recognise__tells_kinds_by_content_whatever_the_name(recognise, tmp_path, kind, name):
    content = CONTENTS[kind]()
    (tmp_path / name).write_bytes(content)
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) == kind
    assert recognise(Artifact(name="m", version=1, path=tmp_path / name)) == kind
    assert recognise(Artifact(name="m", version=1, files={name: content})) == kind


@pytest.mark.parametrize(
    "content",
    [
        saved({"weight": torch.zeros(3)}),
        saved(Mlp(), _use_new_zipfile_serialization=False),
        pickle.dumps({"a": 1}),
        pickle.dumps([1], protocol=2),
    ],
    ids=["state dict", "before 1.6", "pickle", "pickle of protocol 2"],
)
def test_recognise__pickles_of_every_kind(recognise, content):
    assert recognise(Artifact(name="m", version=1, files={"model.pt": content})) == "pickle"


@pytest.mark.parametrize(
    ("name", "mine"),
    [("net.pt", True), ("net.pt2", True), ("net.pth", True), ("model.onnx", False), ("pt", False)],
)
def test_recognise__a_single_file_by_its_suffix(recognise, tmp_path, name, mine):
    (tmp_path / name).write_bytes(scripted(Mlp()))
    assert (recognise(Artifact(name="m", version=1, path=tmp_path / name)) is not None) is mine


def test_recognise__not_a_directory_with_another_file(recognise, tmp_path):
    (tmp_path / "net.pt").write_bytes(scripted(Mlp()))
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) is None


def test_recognise__a_folder_of_the_file_s_name_is_no_crash(recognise, tmp_path):
    (tmp_path / "model.pt").mkdir()
    assert recognise(Artifact(name="m", version=1, path=tmp_path)) == "unknown"


def test_estimate__is_twice_the_files(tmp_path):
    (tmp_path / "model.pt").write_bytes(bytes(1000))
    assert TorchRuntime().estimate_bytes(Artifact(name="m", version=1, path=tmp_path)) == 2000
