"""tract in a host: how it is chosen, options from files, requests side by side."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from navi_tract.runtime import TractRuntime
from navi_tract.testing import mlp_model, node_model, store, store_nnef
from onnx import TensorProto

from navi_core import ConfigError, Host, HostConfig, InferenceError, ModelConfig, ModelLoadError, Runtime
from navi_core.testing.registries import registry_of

pytestmark = pytest.mark.integration


class Preferred(Runtime):
    """Takes every artifact before tract does, and serves none."""

    name = "preferred"
    priority = 100

    def recognise(self, artifact):
        return "anything"

    def load(self, artifact, options):
        raise ModelLoadError("preferred came first")


def host_of(root, *runtimes):
    models = (ModelConfig(path=str(root), stable_ms=0),)
    return Host(HostConfig(models=models, max_load_retries=0), registry=registry_of(runtimes=list(runtimes)))


async def test_host__takes_tract_where_nobody_else_comes_first(tmp_path):
    store(mlp_model(), tmp_path / "m" / "1")
    async with host_of(tmp_path / "m", TractRuntime) as host:
        got = await host.predict("m", {"x": np.ones((3, 16), np.float32)})
        assert got["y"].shape == (3, 4)
    with pytest.raises(ModelLoadError, match="preferred came first"):
        async with host_of(tmp_path / "m", TractRuntime, Preferred):
            pass


async def test_host__takes_tract_where_navi_toml_says_so(tmp_path):
    store(mlp_model(), tmp_path / "m" / "1")
    (tmp_path / "m" / "navi.toml").write_text('runtime = "tract"\n[runtime_options]\nrehearse = false\n')
    async with host_of(tmp_path / "m", TractRuntime, Preferred) as host:
        got = await host.predict("m", {"x": np.ones((3, 16), np.float32)})
        assert got["y"].shape == (3, 4)


async def test_host__refuses_options_that_are_not_there(tmp_path):
    store(mlp_model(), tmp_path / "m" / "1")
    (tmp_path / "m" / "navi.toml").write_text("[runtime_options]\nrehearsals = false\n")
    with pytest.raises(ConfigError, match="rehearsals: unknown key"):
        async with host_of(tmp_path / "m", TractRuntime):
            pass


@pytest.mark.parametrize("kind", ["onnx", "nnef"])
async def test_host__batches_requests_and_gives_each_its_rows(tmp_path, kind):
    (store if kind == "onnx" else store_nnef)(mlp_model(), tmp_path / "m" / "1")
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(rows, 16)).astype(np.float32) for rows in (1, 3, 2, 7, 1, 0, 4)]
    async with host_of(tmp_path / "m", TractRuntime) as host:
        alone = [await host.predict("m", {"x": x}) for x in inputs]
        together = await asyncio.gather(*(host.predict("m", {"x": x}) for x in inputs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one["y"], other["y"], rtol=1e-5, atol=1e-6)


async def test_host__a_run_that_fails_holds_no_numbers(tmp_path):
    data = [
        ("x", TensorProto.FLOAT, ["n"]),
        ("i", TensorProto.INT64, ["k", 1]),
        ("u", TensorProto.FLOAT, ["k"]),
    ]
    store(node_model("ScatterND", data), tmp_path / "m" / "1")
    (tmp_path / "m" / "navi.toml").write_text("[runtime_options]\ntrust_requests = true\nrehearse = false\n")
    secret = np.array([123.456], np.float32)
    async with host_of(tmp_path / "m", TractRuntime) as host:
        with pytest.raises(InferenceError, match="operator ScatterNd 'y' failed") as caught:
            await host.predict("m", {"x": secret, "i": np.array([[98765]]), "u": secret})
        assert "98765" not in str(caught.value)
