"""External data stays inside the model's directory: our own check, and with tract behind it."""

from __future__ import annotations

import numpy as np
import pytest
from navi_tract.testing import build, store, store_nnef
from onnx import TensorProto, helper

from navi_core import Artifact, ModelLoadError
from navi_core.testing.external_data import GOOD_LOCATIONS, REFUSED_LOCATIONS, make_model_directory

WEIGHTS = np.array([1, 2, 3], np.float32)


@pytest.fixture
def folder(tmp_path):
    return make_model_directory(tmp_path, WEIGHTS.tobytes())


def model_with(location, *, inner_size=False, **entries):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    x, h, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "h", "y"))
    nodes = [helper.make_node("Add", ["x", "w"], ["h"]), helper.make_node("Identity", ["h"], ["y"])]
    return build(nodes, [x], [y], [tensor], value_info=[h] if inner_size else [])


@pytest.mark.integration
@pytest.mark.parametrize("inner_size", [False, True], ids=["in place", "through a copy"])
@pytest.mark.parametrize("location", [*GOOD_LOCATIONS, "hard.bin"])
def test_load__reads_weights_from_inside(load, folder, location, inner_size):
    artifact = store(model_with(location, inner_size=inner_size), folder)
    x = np.ones((2, 3), np.float32)
    got = load(artifact, allow_hard_links=location == "hard.bin").run(x=x)
    np.testing.assert_array_equal(got["y"], x + WEIGHTS)


@pytest.mark.integration
@pytest.mark.parametrize("location", REFUSED_LOCATIONS, ids=lambda location: repr(location[:30]))
def test_load__refuses_weights_from_outside(load, folder, location):
    with pytest.raises(ModelLoadError, match=REFUSED_LOCATIONS[location]) as caught:
        load(store(model_with(location), folder))
    assert str(folder) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.integration
def test_load__tract_confines_external_data_by_itself_too(load, folder, monkeypatch):
    """Should our own reader ever be fooled, tract still refuses to leave the directory, in our words."""
    monkeypatch.setattr("navi_tract.source.check_external_data", lambda *args, **options: {})
    for location in ("../secret.bin", str(folder.parent / "secret.bin"), "leak.bin"):
        with pytest.raises(ModelLoadError) as caught:
            load(store(model_with(location), folder))
        assert str(folder.parent) not in str(caught.value)


@pytest.mark.integration
def test_load__a_model_in_memory_reads_no_file(load, folder, monkeypatch):
    monkeypatch.chdir(folder)
    artifact = Artifact(name="m", version=1, files={"model.onnx": model_with("w.bin"), "w.bin": b""})
    with pytest.raises(ModelLoadError, match="in memory cannot have external data"):
        load(artifact)


@pytest.mark.integration
def test_load__an_nnef_folder_has_no_links_out_of_it(load, tmp_path):
    artifact = store_nnef(build_weighted(), tmp_path / "nnef", kind="folder")
    [weight] = (tmp_path / "nnef").glob("*.dat")
    (tmp_path / "elsewhere.dat").write_bytes(weight.read_bytes())
    load(artifact)
    weight.unlink()
    weight.symlink_to(tmp_path / "elsewhere.dat")
    with pytest.raises(ModelLoadError, match="a link leads out of the model's directory"):
        load(artifact)


def build_weighted():
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y"))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 3], range(9))
    return build([helper.make_node("MatMul", ["x", "w"], ["y"])], [x], [y], [weight])
