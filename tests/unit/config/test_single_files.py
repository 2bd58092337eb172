from __future__ import annotations

import pytest

from navi_core.config.records import HostConfig, ModelConfig
from navi_core.config.single_files import name_single_files


@pytest.fixture
def path(tmp_path):
    (tmp_path / "resnet.v2.onnx").write_text("x")
    (tmp_path / "ranker.d").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("where", "name", "expected"),
    [
        ("resnet.v2.onnx", None, "resnet.v2"),
        ("resnet.v2.onnx", "mine", "mine"),
        ("ranker.d", None, "ranker.d"),
        ("missing.onnx", None, "missing.onnx"),
    ],
)
def test_only_a_file_without_a_name_is_named(path, where, name, expected):
    config = HostConfig(models=(ModelConfig(path=f"{path}/{where}", name=name),))
    assert [model.model_name for model in name_single_files(config).models] == [expected]


def test_a_url_is_left_alone(path):
    model = ModelConfig(path=f"file://{path}/resnet.v2.onnx")
    assert name_single_files(HostConfig(models=(model,))).models == (model,)
