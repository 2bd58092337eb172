"""Models that change themselves: found, run alone, not warmed up."""

from __future__ import annotations

import numpy as np
import pytest
from navi_tf.testing import mlp_module, store_module

from navi_core import Host, HostConfig, ModelConfig, ModelRef


def counter():
    """A module whose signature adds its input's sum to what it has, and answers with that."""
    import tensorflow as tf

    module = tf.Module()
    module.total = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def add(x):
        return {"total": module.total.assign_add(tf.reduce_sum(x)) + tf.zeros_like(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def look(x):
        return {"total": module.total + x}

    module.signatures_of_test = {"serving_default": add, "look": look}
    return module


@pytest.fixture
def stored(tmp_path):
    import tensorflow as tf

    module = counter()
    folder = tmp_path / "counter" / "1"
    tf.saved_model.save(module, str(folder), signatures=module.signatures_of_test)
    return folder


@pytest.mark.parametrize("loader", ["session", "function"])
async def test_the_first_request_is_the_first_run(stored, loader):
    model = ModelConfig(path=str(stored.parent), stable_ms=0, runtime_options={"loader": loader})
    async with Host(HostConfig(models=(model,))) as host:
        for expected in (3.0, 4.0, 5.0):
            got = await host.predict("counter", {"x": np.ones(1, np.float32)})
            assert got["total"].tolist() == [expected]
        with host.plane.acquire(ModelRef("counter")) as handle:
            signatures = handle.signatures
    assert not signatures["serving_default"].batchable
    assert "changes the model" in signatures["serving_default"].not_batchable_because
    assert signatures["look"].batchable


@pytest.mark.parametrize("loader", ["session", "function"])
async def test_reading_variables_is_no_state(tmp_path, loader):
    store_module(mlp_module(), tmp_path / "mlp" / "1")
    model = ModelConfig(path=str(tmp_path / "mlp"), stable_ms=0, runtime_options={"loader": loader})
    async with Host(HostConfig(models=(model,))) as host:
        with host.plane.acquire(ModelRef("mlp")) as handle:
            [signature] = handle.signatures.values()
    assert signature.batchable, signature.not_batchable_because
