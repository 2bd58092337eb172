"""Models that others made, with answers that others computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from navi_tf.framework import tf

from navi_core import Artifact, DType, ModelLoadError, RequestError

pytestmark = pytest.mark.integration


def shared(name: str) -> Path:
    """Return the newest version of a model of the shared test data, or skip."""
    root = os.environ.get("NAVI_SHARED_DATA")
    data = Path(root) if root else Path(__file__).parents[3].parent / "shared" / "data"
    versions = sorted((data / "tf" / name).glob("*/saved_model.pb"))
    if not versions:
        pytest.skip(f"no shared data folder with tf/{name} (NAVI_SHARED_DATA names another place)")
    return versions[-1].parent


def artifact(name: str) -> Artifact:
    path = shared(name)
    return Artifact(name=name, version=int(path.name), path=path)


def examples(**features):
    """Return serialized tf.Example, one for each item of the features."""
    rows = [dict(zip(features, row, strict=True)) for row in zip(*features.values(), strict=True)]
    serialized = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                    for name, value in row.items()
                }
            )
        ).SerializeToString()
        for row in rows
    ]
    return np.array(serialized, dtype=object)


X = np.array([[1.0], [2.0], [-5.0]], np.float32)


@pytest.mark.parametrize("loader", ["auto", "session", "function"])
def test_half_plus_two__of_tensorflow_1(load, loader):
    loaded = load(artifact("saved_model_half_plus_two_cpu"), loader=loader)
    assert list(loaded.servable.signatures) == [
        "serving_default",
        "classify_x_to_y",
        "regress_x2_to_y3",
        "regress_x_to_y",
        "regress_x_to_y2",
    ]
    assert loaded.signature.inputs["x"].shape == (None, 1)
    assert loaded.signature.batchable
    np.testing.assert_array_equal(loaded.run(x=X)["y"], X / 2 + 2)
    np.testing.assert_array_equal(loaded.run(key="regress_x2_to_y3", inputs=X)["outputs"], X / 2 + 3)
    serialized = examples(x=X[:, 0])
    np.testing.assert_array_equal(loaded.run(key="classify_x_to_y", inputs=serialized)["scores"], X / 2 + 2)
    np.testing.assert_array_equal(loaded.run(key="regress_x_to_y", inputs=serialized)["outputs"], X / 2 + 2)
    np.testing.assert_array_equal(loaded.run(key="regress_x_to_y2", inputs=serialized)["outputs"], X / 2 + 3)
    methods = {name: signature.method_name for name, signature in loaded.servable.signatures.items()}
    assert methods["classify_x_to_y"] == "tensorflow/serving/classify"
    assert methods["regress_x_to_y"] == "tensorflow/serving/regress"
    assert loaded.servable.signatures["classify_x_to_y"].inputs["inputs"].dtype is DType.STRING
    assert loaded.servable.signatures["classify_x_to_y"].inputs["inputs"].shape is None


@pytest.mark.parametrize("loader", ["auto", "session", "function"])
def test_half_plus_two__of_tensorflow_2(load, loader):
    loaded = load(artifact("saved_model_half_plus_two_tf2_cpu"), loader=loader)
    assert loaded.signature.inputs["x"].shape == (1,)
    assert not loaded.signature.batchable
    assert loaded.signature.not_batchable_because == "no input has a leading dimension that is dynamic"
    assert loaded.run(x=np.array([4], np.float32))["y"].tolist() == [4]
    assert loaded.run()["y"].tolist() == [2], "x has a default, 0"
    serialized = examples(x=X[:, 0])
    assert loaded.servable.signatures["regress_x_to_y2"].batchable
    np.testing.assert_array_equal(loaded.run(key="regress_x_to_y2", inputs=serialized)["outputs"], X / 2 + 3)
    assert {each.method_name for each in loaded.servable.signatures.values()} == {
        "tensorflow/serving/predict"
    }


def test_half_plus_two__an_example_that_is_none(load):
    loaded = load(artifact("saved_model_half_plus_two_cpu"))
    with pytest.raises(RequestError, match="Could not parse example input") as caught:
        loaded.run(key="regress_x_to_y", inputs=np.array([b"private words"], object))
    assert "private" not in str(caught.value)
    with pytest.raises(RequestError, match="is required but could not be found"):
        loaded.run(key="regress_x_to_y", inputs=np.array([b""], object))


def test_matrix_half_plus_two(load):
    loaded = load(artifact("matrix_half_plus_two"))
    assert loaded.signature.inputs["x"].shape == (None, 3, 3)
    x = np.random.default_rng(0).normal(size=(4, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded.run(x=x)["y"], x / 2 + 2, rtol=1e-6)


def test_two_versions__each_loads(load):
    newest = shared("saved_model_half_plus_two_2_versions")
    for path in newest.parent.iterdir():
        loaded = load(Artifact(name="m", version=int(path.name), path=path))
        np.testing.assert_array_equal(loaded.run(x=X)["y"], X / 2 + 2)
        assert len(loaded.servable.signatures) == 6


def test_half_plus_two__has_one_tag_set(load):
    with pytest.raises(ModelLoadError, match="available tags"):
        load(artifact("saved_model_half_plus_two_cpu"), saved_model_tags=("gpu",))
