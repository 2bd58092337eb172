"""External data stays inside the model's directory: our own check, and with ONNX Runtime behind it."""

from __future__ import annotations

import numpy as np
import pytest
from navi_onnx.options import OnnxOptions
from navi_onnx.runtime import OnnxRuntime
from navi_onnx.testing import build, store
from onnx import TensorProto, helper

from navi_core import Artifact, LoadOptions, ModelLoadError
from navi_core.testing.external_data import GOOD_LOCATIONS, REFUSED_LOCATIONS, make_model_directory
from navi_core.testing.run_context import SimpleRunContext

WEIGHTS = np.array([1, 2, 3], np.float32)


@pytest.fixture
def folder(tmp_path):
    return make_model_directory(tmp_path, WEIGHTS.tobytes())


def model_with(location, **entries):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y"))
    return build([helper.make_node("Add", ["x", "w"], ["y"])], [x], [y], [tensor])


@pytest.mark.integration
@pytest.mark.parametrize("location", [*GOOD_LOCATIONS, "hard.bin"])
def test_load__reads_weights_from_inside(folder, location):
    options = LoadOptions(options=OnnxOptions(allow_hard_links=location == "hard.bin"))
    servable = OnnxRuntime().load(store(model_with(location), folder), options)
    try:
        x = np.ones((2, 3), np.float32)
        got = servable.run("serving_default", {"x": x}, ["y"], SimpleRunContext())
        np.testing.assert_array_equal(got["y"], x + WEIGHTS)
    finally:
        servable.close()


@pytest.mark.integration
@pytest.mark.parametrize("location", REFUSED_LOCATIONS, ids=lambda location: repr(location[:30]))
def test_load__refuses_weights_from_outside(folder, location):
    with pytest.raises(ModelLoadError, match=REFUSED_LOCATIONS[location]) as caught:
        OnnxRuntime().load(store(model_with(location), folder), LoadOptions(options=OnnxOptions()))
    assert str(folder) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.integration
def test_load__onnx_runtime_confines_external_data_by_itself_too(folder, monkeypatch):
    """Should our own reader ever be fooled, the session still refuses to leave the directory."""
    monkeypatch.setattr("navi_onnx.loading.check_external_data", lambda *args, **options: None)
    for location in ("../secret.bin", str(folder.parent / "secret.bin"), "leak.bin"):
        with pytest.raises(ModelLoadError) as caught:
            OnnxRuntime().load(store(model_with(location), folder), LoadOptions())
        assert str(folder) not in str(caught.value)


@pytest.mark.integration
def test_load__a_model_in_memory_reads_no_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    artifact = Artifact(name="m", version=1, files={"model.onnx": model_with("w.bin"), "w.bin": b""})
    with pytest.raises(ModelLoadError, match="in memory cannot have external data"):
        OnnxRuntime().load(artifact, LoadOptions())
    monkeypatch.setattr("navi_onnx.loading.check_external_data", lambda *args, **options: None)
    with pytest.raises(ModelLoadError):
        OnnxRuntime().load(artifact, LoadOptions())
