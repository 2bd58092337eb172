"""The pre-bound callable and the public way in its place: the same answers."""

from __future__ import annotations

import numpy as np
import pytest
from navi_tf import callables
from navi_tf.framework import tf1
from navi_tf.testing import mlp_module, store_graph, store_module

pytestmark = pytest.mark.integration

BASE_SESSION = tf1.Session.__mro__[1]


@pytest.fixture
def probe_again():
    callables.has_prebound_callables.cache_clear()
    yield
    callables.has_prebound_callables.cache_clear()


def test_prebound__is_there():
    """What the figures of the README are about; should it go, the public way is used and this says so."""
    assert callables.has_prebound_callables()


def gone(monkeypatch):
    monkeypatch.delattr(BASE_SESSION, "_make_callable_from_options")


def other_arguments(monkeypatch):
    monkeypatch.setattr(BASE_SESSION, "_make_callable_from_options", lambda self: None)


def other_answers(monkeypatch):
    monkeypatch.setattr(
        BASE_SESSION, "_make_callable_from_options", lambda self, options: lambda *arrays: {"y:0": arrays[0]}
    )


def wrong_answers(monkeypatch):
    monkeypatch.setattr(
        BASE_SESSION, "_make_callable_from_options", lambda self, options: lambda *arrays: list(arrays)
    )


@pytest.mark.parametrize("change", [gone, other_arguments, other_answers, wrong_answers])
@pytest.mark.parametrize("inter_op_threads", [1, 2])
def test_public__is_used_where_the_private_one_is_not_what_it_was(
    load, tmp_path, monkeypatch, probe_again, change, inter_op_threads
):
    artifact = store_module(mlp_module(), tmp_path / "1")
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    expected = load(artifact).run(x=x)["y"]
    callables.has_prebound_callables.cache_clear()
    change(monkeypatch)
    loaded = load(artifact, load={"inter_op_threads": inter_op_threads})
    assert "through Session.run, which costs more" in loaded.notes
    np.testing.assert_allclose(loaded.run(x=x)["y"], expected, rtol=1e-6, atol=1e-6)
    assert loaded.run(x=x[:0])["y"].shape == (0, 4)


@pytest.mark.parametrize("private", [True, False])
def test_calls__feeds_and_fetches_may_be_the_same_tensors(load, tmp_path, monkeypatch, probe_again, private):
    if not private:
        gone(monkeypatch)

    def build():
        x = tf1.placeholder(tf1.float32, [None], name="x")
        y = x + 1
        return {"x": x, "also_x": x}, {"y": y, "also_y": y, "x": x}

    loaded = load(store_graph(build, tmp_path / "1"))
    x, other = np.array([1, 2], np.float32), np.array([5, 6], np.float32)
    got = loaded.run(x=x, also_x=other)
    assert got["y"].tolist() == got["also_y"].tolist()
    assert got["y"].tolist() in ([2, 3], [6, 7])  # which of the two counts, the file does not say
    assert got["x"].tolist() == [value - 1 for value in got["y"].tolist()]
    assert not np.shares_memory(got["y"], got["also_y"])
