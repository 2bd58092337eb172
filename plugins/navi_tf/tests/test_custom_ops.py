"""Libraries with operators: built, loaded, counted as Navi does."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from navi_tf.framework import tf, tf1
from navi_tf.testing import edit, pair_graph, store_graph

from navi_core import ModelLoadError

pytestmark = pytest.mark.integration

X = np.ones((2, 3), np.float32)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Return the path of a library with the operator NaviAddSeven."""
    compiler = shutil.which("g++")
    include = Path(tf.sysconfig.get_include())
    if compiler is None or not (include / "tensorflow" / "c" / "kernels.h").exists():
        pytest.skip("there is no g++, or this TensorFlow came without its headers")
    path = tmp_path_factory.mktemp("ops") / "add_seven.so"
    package = tf.sysconfig.get_lib()
    command = [compiler, "-shared", "-fPIC", str(Path(__file__).parent / "add_seven.cc"), "-o", str(path)]
    command += [f"-I{include}", f"-L{package}", "-l:libtensorflow_framework.so.2", "-l:libtensorflow_cc.so.2"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"the library cannot be built here: {built.stderr.splitlines()[0]}")
    return path


@pytest.fixture
def model(tmp_path):
    """Return a model whose outputs need the operator, written without it."""

    def build():
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        return {"x": x}, {"y": tf.identity(tf.negative(x, name="seven"))}

    def use_the_operator(meta_graph):
        for node in meta_graph.graph_def.node:
            if node.name == "seven":
                node.op = "NaviAddSeven"
                node.attr.clear()

    return edit(store_graph(build, tmp_path / "1"), use_the_operator)


def test_custom_ops__a_model_runs_with_its_library_and_not_without(load, model, library):
    with pytest.raises(ModelLoadError, match=r"NaviAddSeven.*custom_op_libraries"):
        load(model)
    loaded = load(model, custom_op_libraries=(str(library),))
    assert loaded.run(x=X)["y"].tolist() == [[8, 8, 8]] * 2
    again = load(model, custom_op_libraries=(str(library),))
    assert again.run(x=X)["y"].tolist() == [[8, 8, 8]] * 2
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    assert dict(loaded.servable.gauges) == {"customop_version": int(digest[-4:], 16)}
    assert again.servable.gauges == loaded.servable.gauges


def test_custom_ops__no_library_no_version(load, tmp_path):
    assert dict(load(store_graph(pair_graph, tmp_path / "1")).servable.gauges) == {}


def test_custom_ops__the_last_library_s_version_counts(load, tmp_path, library):
    other = tmp_path / "other.so"
    shutil.copy(library, other)
    with other.open("ab") as stream:
        stream.write(b"another version")  # after what the linker reads
    artifact = store_graph(pair_graph, tmp_path / "1")
    loaded = load(artifact, custom_op_libraries=(str(library), str(other)))
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    assert dict(loaded.servable.gauges) == {"customop_version": int(digest[-4:], 16)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "custom_op_libraries: nothing.so: no such file or directory"),
        (b"", "custom_op_libraries: nothing.so: "),
        (b"no library", "custom_op_libraries: nothing.so: "),
    ],
)
def test_custom_ops__what_is_no_library_is_refused(load, tmp_path, content, expected):
    path = tmp_path / "nothing.so"
    if content is not None:
        path.write_bytes(content)
    artifact = store_graph(pair_graph, tmp_path / "1")
    with pytest.raises(ModelLoadError) as caught:
        load(artifact, custom_op_libraries=(str(path),))
    text = str(caught.value)
    assert text.startswith(f"model 'model' version 1: {expected}")
    assert str(tmp_path) not in text
    assert "\n" not in text
