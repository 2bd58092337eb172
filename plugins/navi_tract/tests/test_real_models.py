"""Models that others made, with answers that others computed; and ONNX Runtime's, where it is installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from navi_core import Artifact, DType, ModelLoadError

pytestmark = pytest.mark.integration


def shared(name: str) -> Path:
    """Return a folder of the shared test data, or skip."""
    root = os.environ.get("NAVI_SHARED_DATA")
    data = Path(root) if root else Path(__file__).parents[3].parent / "shared" / "data"
    if not (data / "onnx" / name).is_dir():
        pytest.skip(f"no shared data folder with onnx/{name} (NAVI_SHARED_DATA names another place)")
    return data / "onnx" / name


def packaged(package: str, *parts: str) -> Path:
    """Return a file inside an installed package, or skip."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{package} has no {path.name}")
    return path


def single(path: Path) -> Artifact:
    return Artifact(name=path.stem, version=1, path=path)


def compare_with_onnx_runtime(loaded, path, inputs, rtol=1e-4, atol=1e-5):
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    got = loaded.run(**inputs)
    assert list(got) == names
    for name, want in zip(names, session.run(names, inputs), strict=True):
        np.testing.assert_allclose(got[name], want, rtol=rtol, atol=atol, err_msg=name)


def test_sigmoid__bundled_with_onnxruntime(load):
    path = packaged("onnxruntime", "datasets", "sigmoid.onnx")
    loaded = load(single(path), rehearse=True)
    assert not loaded.signature.batchable
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(loaded.run(x=x)["y"], 1 / (1 + np.exp(-x)), rtol=1e-5)


def test_mul_1__bundled_with_onnxruntime(load):
    loaded = load(single(packaged("onnxruntime", "datasets", "mul_1.onnx")))
    assert loaded.run(X=np.full((3, 2), 2, np.float32))["Y"].tolist() == [[2, 4], [6, 8], [10, 12]]


def test_logreg_iris__its_zipmap_is_refused_by_name(load):
    with pytest.raises(ModelLoadError, match="tract has no operator ZipMap"):
        load(single(packaged("onnxruntime", "datasets", "logreg_iris.onnx")))


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_light_models__answer_as_recorded(load, name):
    onnx = pytest.importorskip("onnx")
    folder = packaged("onnx", "backend", "test", "data", "light")
    loaded = load(single(folder / f"light_{name}.onnx"), rehearse=True)
    [name_in], [name_out] = loaded.signature.inputs, loaded.signature.outputs
    got = loaded.run(**{name_in: np.zeros((1, 3, 224, 224), np.float32)})[name_out]
    recorded = onnx.TensorProto.FromString((folder / f"light_{name}_output_0.pb").read_bytes())
    want = onnx.numpy_helper.to_array(recorded)
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-4, atol=1e-6)


def test_simple__adds_and_subtracts(load):
    loaded = load(Artifact(name="simple", version=1, path=shared("simple") / "1"), rehearse=True)
    assert loaded.signature.batchable
    a = np.arange(32, dtype=np.int32).reshape(2, 16)
    got = loaded.run(INPUT0=a, INPUT1=np.ones_like(a))
    np.testing.assert_array_equal(got["OUTPUT0"], a + 1)
    np.testing.assert_array_equal(got["OUTPUT1"], a - 1)


def test_simple_string__is_refused_by_type(load):
    with pytest.raises(ModelLoadError, match=r"input 'INPUT0': expected a tensor of .* got string"):
        load(Artifact(name="simple_string", version=1, path=shared("simple_string") / "1"))


def test_simple_sequence__is_described(load):
    loaded = load(Artifact(name="simple_sequence", version=1, path=shared("simple_sequence") / "1"))
    assert list(loaded.signature.inputs) == ["INPUT", "START", "READY"]
    assert loaded.signature.inputs["INPUT"].dtype is DType.INT32


def test_lgbm_classifier__gives_the_recorded_answers(load):
    folder = shared("lgbm_classifier_tensor")
    loaded = load(Artifact(name="lgbm", version=1, path=folder), rehearse=True)
    assert loaded.signature.batchable
    with np.load(folder / "io.npz") as recorded:
        arrays = dict(recorded)
    got = loaded.run(**{name: arrays[name] for name in loaded.signature.inputs})
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


def test_rapidocr__an_image_of_any_size(load):
    """A convolutional classifier of text lines with three dynamic dimensions."""
    path = packaged("rapidocr_onnxruntime", "models", "ch_ppocr_mobile_v2.0_cls_infer.onnx")
    loaded = load(single(path), rehearse=True, shapes=({"x": (1, 3, 48, 192)},))
    x = np.linspace(-1, 1, 3 * 48 * 192, dtype=np.float32).reshape(1, 3, 48, 192)
    [got] = loaded.run(x=x).values()
    np.testing.assert_allclose(got, [[0.505836, 0.494164]], atol=1e-5)
    compare_with_onnx_runtime(loaded, path, {"x": np.repeat(x, 2, axis=0)})


def hum():
    """Return half a second of a hum in chunks: (5, 512) float32 at 16 kHz."""
    n = np.arange(5 * 512)
    sound = 0.5 * np.sin(2 * np.pi * 220 * n / 16000) * np.sin(2 * np.pi * 3 * n / 16000)
    return np.float32(sound).reshape(5, 512)


def test_silero_vad__carries_its_state(load):
    """Voice activity: the caller hands the state from chunk to chunk."""
    loaded = load(single(packaged("silero_vad", "data", "silero_vad_openvino_16k.onnx")), rehearse=True)
    context, state = np.zeros(64, np.float32), np.zeros((2, 1, 128), np.float32)
    answers = []
    for chunk in hum():
        got = loaded.run(input=np.concatenate([context, chunk])[None], state=state)
        answers.append(got["output"].item())
        state, context = got["stateN"], chunk[-64:]
    np.testing.assert_allclose(answers, [0.1217625, 0.1817959, 0.1324517, 0.0873464, 0.1352549], atol=1e-6)
