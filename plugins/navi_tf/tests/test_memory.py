"""Freed memory goes back to the system after large models, and only then."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from navi_tf import memory
from navi_tf.framework import tf, tf1
from navi_tf.runtime import TensorFlowRuntime
from navi_tf.testing import pair_graph, store_graph

from navi_core.testing.memory import resident_bytes

pytestmark = pytest.mark.integration


@pytest.fixture
def trims(monkeypatch):
    """Return when memory was given back: each time glibc is told to."""
    calls = []
    monkeypatch.setattr(memory, "_trim", lambda: calls.append)
    return calls


def large():
    """A graph with 24 MB of constants, (any, 2048) -> (any, 3072)."""
    x = tf1.placeholder(tf.float32, [None, 2048], name="x")
    weights = np.random.default_rng(0).normal(size=(2048, 3072)).astype(np.float32)
    return {"x": x}, {"y": tf.matmul(x, tf.constant(weights))}


def test_memory__of_small_models_is_kept_for_the_next(load, tmp_path, trims):
    load(store_graph(pair_graph, tmp_path / "1")).servable.close()
    assert trims == []


def test_memory__of_large_ones_is_given_back_after_load_and_close(load, tmp_path, trims):
    loaded = load(store_graph(large, tmp_path / "1"))
    assert trims == [0]
    loaded.servable.close()
    loaded.servable.close()
    assert trims == [0, 0]


def test_memory__a_closed_model_s_constants_are_gone_and_the_estimate_was_enough(load, tmp_path):
    artifact = store_graph(large, tmp_path / "1")
    gc.collect()
    load(artifact).servable.close()
    before = resident_bytes()
    if before is None:
        pytest.skip("this system does not say how much memory is resident")
    loaded = load(artifact)
    loaded.run(x=np.ones((1, 2048), np.float32))
    taken = resident_bytes() - before
    loaded.servable.close()
    assert 24e6 < taken < TensorFlowRuntime().estimate_bytes(artifact)
    assert resident_bytes() - before < 20e6
