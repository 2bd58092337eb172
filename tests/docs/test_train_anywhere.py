"""docs/train-anywhere.md, done as it says, in order; then every model is served and compared with its framework."""

from __future__ import annotations

import os
import re
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from navi_core import Host, HostConfig, ModelConfig

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = Path(__file__).parents[2] / "docs" / "train-anywhere.md"
BLOCK = re.compile(r"^```(?:python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOLERANCE = 1e-5  # float32, sums in another order


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Run the page's blocks in order in an empty folder; return that folder and the names they made."""
    for needed in ("torch", "tensorflow", "sklearn", "skl2onnx", "onnxscript"):
        pytest.importorskip(needed)
    if shutil.which("g++") is None:
        pytest.skip("no g++: PyTorch cannot compile ahead of time")
    folder, before = tmp_path_factory.mktemp("page"), Path.cwd()
    names: dict[str, object] = {"__name__": "page"}
    os.chdir(folder)
    try:
        with warnings.catch_warnings():  # the frameworks' own exporters warn of themselves
            warnings.simplefilter("ignore")
            for source in blocks():
                exec(compile(source, PAGE.name, "exec"), names)
                an_hour_ago = time.time() - 3600
                for entry in folder.rglob("*"):  # complete when the host of the last block starts
                    os.utime(entry, (an_hour_ago, an_hour_ago))
    finally:
        os.chdir(before)
    return folder, names


def blocks():
    """Return the page's programs; a configuration file becomes the program that writes it."""
    for found in BLOCK.finditer(PAGE.read_text()):
        if not found[0].startswith("```toml"):
            yield found[1]
            continue
        file = re.fullmatch(r"# (\S+)\n.*", found[1], re.DOTALL)
        assert file, "a configuration of the page begins with a comment that names its file"
        yield f"Path({file[1]!r}).write_text({found[1]!r})"


@pytest.fixture(scope="module")
def host(done):
    folder, _ = done
    models = tuple(ModelConfig(path=str(path)) for path in sorted((folder / "models").iterdir()))
    with Host(HostConfig(models=models)) as running:
        yield running


def test_the_page_writes_a_model_for_every_row_of_its_table(done):
    folder, _ = done
    assert {path.name for path in (folder / "models").iterdir()} == {
        "iris_export",
        "iris_compiled",
        "iris_script",
        "iris_onnx",
        "iris_keras",
        "iris_sklearn",
    }


@pytest.mark.parametrize("model", ["iris_export", "iris_compiled", "iris_script", "iris_onnx"])
def test_the_network_answers_as_in_pytorch(done, host, model):
    import torch

    _, names = done
    with torch.inference_mode():
        want = names["network"](torch.from_numpy(names["measures"])).numpy()
    name = {"iris_onnx": "measures"}.get(model, "input")
    [got] = host.predict(model, {name: names["measures"]}).values()
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE)


def test_keras_answers_as_in_keras(done, host):
    _, names = done
    want = names["model"].predict(names["measures"], verbose=0)
    [got] = host.predict("iris_keras", {"measures": names["measures"]}).values()
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE)


def test_the_pipeline_answers_as_in_scikit_learn(done, host):
    _, names = done
    got = host.predict("iris_sklearn", {"X": names["measures"]})
    np.testing.assert_array_equal(got["label"], names["pipeline"].predict(names["measures"]))
    want = names["pipeline"].predict_proba(names["measures"])
    np.testing.assert_allclose(got["probabilities"], want, rtol=0, atol=TOLERANCE)
