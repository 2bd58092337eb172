"""Thread counts: one intra-op pool for the process, inter-op threads for a model."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from navi_tf import threads as settings
from navi_tf.framework import tf, tf1
from navi_tf.options import TensorFlowOptions
from navi_tf.testing import pair_graph, store_graph
from navi_tf.threads import ProcessThreads, threads_for

from navi_core import LoadOptions

pytestmark = pytest.mark.integration

X = np.ones((2, 3), np.float32)


@pytest.fixture
def process(monkeypatch):
    """Return a process whose pool nobody has made yet, without making one."""
    made = ProcessThreads()
    monkeypatch.setattr(settings, "PROCESS", made)
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda count: None)
    return made


@pytest.mark.parametrize(
    ("options", "load", "intra_op", "inter_op"),
    [
        ({}, {}, 1, 1),
        ({}, {"intra_op_threads": 3, "inter_op_threads": 2}, 3, 2),
        ({"intra_op_threads": 4, "inter_op_threads": 5}, {}, 4, 5),
        (
            {"intra_op_threads": 4, "inter_op_threads": 5},
            {"intra_op_threads": 3, "inter_op_threads": 2},
            4,
            2,
        ),
        ({"intra_op_threads": 0}, {"intra_op_threads": 3, "inter_op_threads": 0}, 0, 0),
    ],
)
def test_threads_for__the_process_s_count_first_and_the_model_s_own(
    process, options, load, intra_op, inter_op
):
    got = threads_for(LoadOptions(**load), TensorFlowOptions(**options))
    assert (got.intra_op, got.inter_op, got.note) == (intra_op, inter_op, "")


def test_process__the_first_model_decides_and_the_others_are_told(process):
    assert process.settle(2) == (2, "")
    assert process.settle(2) == (2, "")
    assert process.settle(None) == (2, "")
    count, note = process.settle(4)
    assert count == 2
    assert note.startswith("intra_op_threads is 4 for this model and 2 in this process")
    assert note.endswith("made for the first model that was loaded")


def test_process__whoever_used_tensorflow_before_decides(process, monkeypatch):
    def refuse(count):
        raise RuntimeError("Intra op parallelism cannot be modified after initialization.")

    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", refuse)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 6)
    assert process.settle(None) == (6, "")
    count, note = process.settle(1)
    assert count == 6
    assert note.endswith("made for whoever used TensorFlow here first")


def test_load__says_that_another_count_is_in_use(load, tmp_path):
    artifact = store_graph(pair_graph, tmp_path / "1")
    first = load(artifact)
    other = load(artifact, load={"intra_op_threads": 7})
    assert "intra_op_threads is 7 for this model" in other.notes
    assert "intra_op_threads" not in first.notes
    assert other.run(a=X, b=X)["sum"].tolist() == [[2, 2, 2]] * 2


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, "on the calling thread"), (0, "in TensorFlow's shared pool"), (3, "in a pool of 3 threads")],
)
def test_inter_op__says_where_it_runs_and_runs_there(load, tmp_path, count, expected):
    ran_on = []

    def note(array):  # TensorFlow holds it weakly once its graph is gone: it must outlive the runs
        ran_on.append(threading.get_ident())
        return array

    def build():
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        return {"x": x}, {"y": tf.numpy_function(note, [x * 2], tf.float32)}

    loaded = load(store_graph(build, tmp_path / "1"), load={"inter_op_threads": count})
    assert f"runs {expected} through a pre-bound callable" in loaded.notes
    assert loaded.run(x=X)["y"].tolist() == [[2, 2, 2]] * 2
    assert (ran_on[-1] == threading.get_ident()) == (count == 1)
