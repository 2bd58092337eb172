"""Models that others made, with answers that others computed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.datasets import get_example

from navi_core import Artifact, DType

pytestmark = pytest.mark.integration


def shared(name: str) -> Path:
    """Return a folder of the shared test data, or skip."""
    root = os.environ.get("NAVI_SHARED_DATA")
    data = Path(root) if root else Path(__file__).parents[3].parent / "shared" / "data"
    if not (data / "onnx" / name).is_dir():
        pytest.skip(f"no shared data folder with onnx/{name} (NAVI_SHARED_DATA names another place)")
    return data / "onnx" / name


def single(path: str | Path) -> Artifact:
    return Artifact(name=Path(path).stem, version=1, path=Path(path))


def test_sigmoid__bundled_with_onnxruntime(load):
    loaded = load(single(get_example("sigmoid.onnx")))
    assert not loaded.signature.batchable
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(loaded.run(x=x)["y"], 1 / (1 + np.exp(-x)), rtol=1e-5)


def test_mul_1__bundled_with_onnxruntime(load):
    loaded = load(single(get_example("mul_1.onnx")))
    x = np.full((3, 2), 2, np.float32)
    assert loaded.run(X=x)["Y"].tolist() == [[2, 4], [6, 8], [10, 12]]


def test_logreg_iris__its_zipmap_is_a_matrix(load):
    loaded = load(single(get_example("logreg_iris.onnx")))
    assert list(loaded.signature.outputs) == ["label", "probabilities", "probabilities_keys"]
    assert loaded.signature.outputs["probabilities"].shape == (None, 3)
    got = loaded.run(float_input=np.array([[5.1, 3.5], [6.2, 2.9], [7.7, 3.8]], np.float32))
    assert got["label"].tolist() == [0, 0, 0]
    np.testing.assert_allclose(got["probabilities"][:, 0], [0.978253, 0.895727, 0.937442], atol=1e-6)
    np.testing.assert_allclose(got["probabilities"].sum(axis=1), 1, rtol=1e-6)
    assert got["probabilities_keys"].tolist() == [[0, 1, 2]] * 3


def test_simple__adds_and_subtracts(load):
    loaded = load(Artifact(name="simple", version=1, path=shared("simple") / "1"))
    a = np.arange(32, dtype=np.int32).reshape(2, 16)
    got = loaded.run(INPUT0=a, INPUT1=np.ones_like(a))
    np.testing.assert_array_equal(got["OUTPUT0"], a + 1)
    np.testing.assert_array_equal(got["OUTPUT1"], a - 1)


def test_simple_string__adds_and_subtracts_texts(load):
    loaded = load(Artifact(name="simple_string", version=1, path=shared("simple_string") / "1"))
    assert {spec.dtype for spec in loaded.signature.inputs.values()} == {DType.STRING}
    a = np.array([[str(n).encode() for n in range(16)]], dtype=object)
    b = np.full((1, 16), b"1", dtype=object)
    got = loaded.run(INPUT0=a, INPUT1=b)
    assert got["OUTPUT0"].tolist() == [[str(n + 1).encode() for n in range(16)]]
    assert got["OUTPUT1"].tolist() == [[str(n - 1).encode() for n in range(16)]]


def test_simple_sequence__is_described(load):
    loaded = load(Artifact(name="simple_sequence", version=1, path=shared("simple_sequence") / "1"))
    assert list(loaded.signature.inputs) == ["INPUT", "START", "READY"]
    assert loaded.signature.inputs["INPUT"].dtype is DType.INT32


def test_lgbm_classifier__gives_the_recorded_answers(load):
    folder = shared("lgbm_classifier_tensor")
    loaded = load(Artifact(name="lgbm", version=1, path=folder))
    with np.load(folder / "io.npz") as recorded:
        arrays = dict(recorded)
    inputs = {name: arrays[name] for name in loaded.signature.inputs}
    got = loaded.run(**inputs)
    compared = [name for name in got if name in arrays]
    assert compared
    for name in compared:
        np.testing.assert_allclose(got[name], arrays[name], rtol=1e-5)


def test_linear_models__give_the_known_answers(load):
    classifier = load(Artifact(name="classifier", version=1, path=shared("linear_classifier")))
    regressor = load(Artifact(name="regressor", version=1, path=shared("linear_regressor")))
    [name], [other] = classifier.signature.inputs, regressor.signature.inputs
    label, probability = classifier.run(
        **{name: np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 12)}
    ).values()
    [value] = regressor.run(**{other: np.linspace(0, 1, 21, dtype=np.float32).reshape(1, 21)}).values()
    assert label.tolist() == [3]
    assert probability.max() == pytest.approx(0.866796, abs=1e-6)
    assert value.item() == pytest.approx(8.290698, abs=1e-5)


def test_silero_vad__carries_its_state(load):
    """Voice activity of a hum: the caller hands the state from chunk to chunk."""
    package = importlib.util.find_spec("silero_vad")
    if package is None or package.origin is None:
        pytest.skip("silero-vad is not installed")
    path = Path(package.origin).parent / "data" / "silero_vad_openvino_16k.onnx"
    if not path.exists():
        pytest.skip(f"silero-vad has no {path.name}")
    loaded = load(single(path))
    n = np.arange(5 * 512)
    sound = np.float32(0.5 * np.sin(2 * np.pi * 220 * n / 16000) * np.sin(2 * np.pi * 3 * n / 16000))
    context, state = np.zeros(64, np.float32), np.zeros((2, 1, 128), np.float32)
    answers = []
    for chunk in sound.reshape(5, 512):
        got = loaded.run(input=np.concatenate([context, chunk])[None], state=state)
        answers.append(got["output"].item())
        state, context = got["stateN"], chunk[-64:]
    np.testing.assert_allclose(answers, [0.1217625, 0.1817959, 0.1324517, 0.0873464, 0.1352549], atol=1e-6)
